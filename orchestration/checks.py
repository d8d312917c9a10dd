"""Contracts as Dagster asset checks: one blocking and one advisory check a table.

The rules of a contract that say ``blocking`` stop everything downstream of the table in the same
run; the others are reported. Results are kept with the table's fingerprint, so that an unchanged
table is not validated again, and `tracient status` can show them without Dagster.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from data_contracts import Contract
from data_contracts.expectations import validate
from orchestration.catalog import contract_of
from orchestration.home import Home
from orchestration.lake import Lake
from orchestration.memo import Memo, code_fingerprint, combine
from orchestration.resources import HomeResource

BLOCKING = "contract"
ADVISORY = "contract_advice"


def check_table(home: Home, contract: Contract) -> list[dict[str, Any]]:
    """Validate a table against its contract, or recall the result where nothing has changed.

    Returns:
        One dictionary a rule: ``rule_id``, ``column``, ``severity``, ``success``,
        ``unexpected_count``. No value of any row is in it.
    """
    lake, memo = Lake(home), Memo(home)
    fingerprint = combine([lake.fingerprint(contract.name), code_fingerprint("data_contracts")])
    step = f"contract-{contract.name}"
    if known := memo.outcome(step, fingerprint):
        return list(known["rules"])
    results = validate(contract, lake.read_without_blobs(contract.name).to_pandas())
    rules = [
        {
            "rule_id": result.rule_id,
            "column": result.column,
            "severity": result.severity,
            "success": result.success,
            "unexpected_count": result.unexpected_count,
        }
        for result in results
    ]
    memo.record(step, fingerprint, {"rules": rules})
    return rules


def build_contract_checks(dataset: str) -> list[dg.AssetChecksDefinition]:
    """Return the asset checks of one table's contract."""
    contract = contract_of(dataset)

    @dg.multi_asset_check(
        name=f"contract_of_{dataset}",
        specs=[
            dg.AssetCheckSpec(
                BLOCKING,
                asset=dataset,
                blocking=True,
                description=f"Blocking rules of contract {contract.id} {contract.version}.",
            ),
            dg.AssetCheckSpec(
                ADVISORY,
                asset=dataset,
                description=f"Advisory rules of contract {contract.id} {contract.version}.",
            ),
        ],
    )
    def check(tracient_home: HomeResource):
        rules = check_table(tracient_home.home, contract)
        for name, severity in ((BLOCKING, "blocking"), (ADVISORY, "warning")):
            yield _result(dataset, name, [r for r in rules if r["severity"] == severity])

    return [check]


def _result(dataset: str, name: str, rules: list[dict[str, Any]]) -> dg.AssetCheckResult:
    broken = [rule for rule in rules if not rule["success"]]
    return dg.AssetCheckResult(
        asset_key=dataset,
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.ERROR if name == BLOCKING else dg.AssetCheckSeverity.WARN,
        metadata={
            "rules": len(rules),
            "broken": [f"{r['rule_id']}: {r['unexpected_count']} row(s)" for r in broken],
        },
    )
