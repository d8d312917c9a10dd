"""What changed between two versions of a contract, and whether readers of the table break.

Breaking is what can make a reader fail or make good old rows bad: a column that goes, a type that
narrows, a value that may newly be missing for readers or must newly be present for writers, a
tightened rule, a changed key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_contracts.contract import Column, Contract, Rule

# What a type may become without losing a value.
_WIDER = {
    "INTEGER": {"BIGINT", "DOUBLE"},
    "DATE": set[str](),
}
_LIMITS = {"range", "length"}


@dataclass(frozen=True)
class Change:
    """One difference between two versions.

    Attributes:
        kind: ``breaking`` or ``compatible``.
        where: The column or rule that changed.
        message: What was, what is, and why that breaks readers or writers if it does.
    """

    kind: Literal["breaking", "compatible"]
    where: str
    message: str


def compare_versions(old: Contract, new: Contract) -> list[Change]:
    """List what changed from one version of a contract to the next, breaking changes first.

    Args:
        old: The version that readers know.
        new: The version that is to replace it; of the same table.

    Raises:
        ValueError: The contracts are of different tables.
    """
    if old.name != new.name:
        raise ValueError(
            f"expected two versions of one contract; found {old.name!r} and {new.name!r}"
        )
    changes = [*_column_changes(old, new), *_key_changes(old, new), *_rule_changes(old, new)]
    changes += _version_changes(old, new, changes)
    return sorted(changes, key=lambda change: change.kind != "breaking")


def is_compatible(old: Contract, new: Contract) -> bool:
    """Say whether readers and writers of the old version can go on with the new one."""
    return not any(change.kind == "breaking" for change in compare_versions(old, new))


def _column_changes(old: Contract, new: Contract) -> Iterator[Change]:
    known, named = set(old.column_names), set(new.column_names)
    for column in old.columns:
        if column.name not in named:
            hint = _renamed_to(column, [c for c in new.columns if c.name not in known])
            yield Change("breaking", column.name, f"column {column.name!r} was removed{hint}")
    for column in new.columns:
        if column.name in known:
            yield from _type_changes(old.column(column.name), column)
        elif column.is_required:
            yield Change(
                "breaking",
                column.name,
                f"column {column.name!r} is new and required: tables written before lack it",
            )
        else:
            yield Change("compatible", column.name, f"column {column.name!r} is new and optional")


def _renamed_to(column: Column, candidates: list[Column]) -> str:
    same = [c.name for c in candidates if c.physical_type == column.physical_type]
    return f" (renamed to {same[0]!r}? a rename is a removal to its readers)" if same else ""


def _type_changes(old: Column, new: Column) -> Iterator[Change]:
    name = new.name
    if old.physical_type != new.physical_type:
        is_wider = _is_wider(old.physical_type, new.physical_type)
        yield Change(
            "compatible" if is_wider else "breaking",
            name,
            f"column {name!r} was {old.physical_type} and is {new.physical_type}"
            + (", which holds every old value" if is_wider else ", which not every value fits"),
        )
    if not old.is_required and new.is_required:
        text = f"column {name!r} could be missing and is now required: old rows may lack it"
        yield Change("breaking", name, text)
    if old.is_required and not new.is_required:
        text = f"column {name!r} was required and may now be missing: readers may rely on it"
        yield Change("breaking", name, text)
    if old.classification != new.classification:
        order = ("public", "internal", "restricted")
        is_looser = order.index(new.classification) < order.index(old.classification)
        yield Change(
            "breaking" if is_looser else "compatible",
            name,
            f"column {name!r} was {old.classification} and is {new.classification}"
            + (": what was protected would be shown" if is_looser else ""),
        )


def _is_wider(old: str, new: str) -> bool:
    decimals = [re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind) for kind in (old, new)]
    if decimals[0] and decimals[1]:
        (precision, scale), (wide, deep) = ((int(m[1]), int(m[2])) for m in decimals if m)
        return deep >= scale and wide - deep >= precision - scale
    return new in _WIDER.get(old, set())


def _key_changes(old: Contract, new: Contract) -> Iterator[Change]:
    if old.unique_key != new.unique_key:
        yield Change(
            "breaking",
            "key",
            f"the key was ({', '.join(old.unique_key)}) and is ({', '.join(new.unique_key)})",
        )
    if old.subject_column != new.subject_column:
        yield Change(
            "breaking",
            "subjectColumn",
            f"the subject was {old.subject_column} and is {new.subject_column}: "
            "commitments made before cannot be opened by subject",
        )


def _rule_changes(old: Contract, new: Contract) -> Iterator[Change]:
    # Required and key rules are told by the columns and the key.
    before = {r.rule_id: r for r in old.rules if not _is_told_elsewhere(r)}
    after = {r.rule_id: r for r in new.rules if not _is_told_elsewhere(r)}
    columns = set(old.column_names)
    for rule_id, rule in after.items():
        if rule_id in before:
            yield from _one_rule(before[rule_id], rule)
        elif set(rule.columns) <= columns:
            kind: Literal["breaking", "compatible"] = (
                "breaking" if rule.severity == "blocking" else "compatible"
            )
            yield Change(kind, rule_id, f"rule {rule_id} is new ({rule.severity})")
    for rule_id, rule in before.items():
        if rule_id not in after and set(rule.columns) <= set(new.column_names):
            yield Change("compatible", rule_id, f"rule {rule_id} was dropped")


def _is_told_elsewhere(rule: Rule) -> bool:
    return rule.kind == "required" or rule.rule_id.endswith(".key.unique")


def _one_rule(old: Rule, new: Rule) -> Iterator[Change]:
    if old.severity != new.severity:
        kind: Literal["breaking", "compatible"] = (
            "breaking" if new.severity == "blocking" else "compatible"
        )
        yield Change(
            kind, new.rule_id, f"rule {new.rule_id} was {old.severity} and is {new.severity}"
        )
    if old.kind != new.kind or dict(old.arguments) != dict(new.arguments):
        is_looser = old.kind == new.kind and _is_looser(old, new)
        yield Change(
            "compatible" if is_looser else "breaking",
            new.rule_id,
            f"rule {new.rule_id} was {_in_words(old.arguments)} and is {_in_words(new.arguments)}"
            + (", which accepts every old value" if is_looser else ", which old values may break"),
        )


def _is_looser(old: Rule, new: Rule) -> bool:
    """Say whether everything that satisfied the old rule satisfies the new one."""
    if old.kind == "valid_values":
        return set(old.arguments["values"]) <= set(new.arguments["values"])
    if old.kind == "row_count":
        return bool(new.arguments["more_than"] <= old.arguments["more_than"])
    if old.kind in _LIMITS:
        low, high = (new.arguments[end] for end in ("minimum", "maximum"))
        old_low, old_high = (old.arguments[end] for end in ("minimum", "maximum"))
        is_low_looser = low is None or (old_low is not None and low <= old_low)
        is_high_looser = high is None or (old_high is not None and high >= old_high)
        return is_low_looser and is_high_looser
    return False


def _in_words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in arguments.items()) or "without limits"


def _version_changes(old: Contract, new: Contract, changes: list[Change]) -> list[Change]:
    """Hold the version number to what changed: a breaking change needs a new major version."""
    before, after = (tuple(map(int, c.version.split("."))) for c in (old, new))
    if changes and after <= before:
        text = f"the table changed, but version {new.version} does not follow {old.version}"
        return [Change("breaking", "version", text)]
    if any(change.kind == "breaking" for change in changes) and after[0] == before[0]:
        text = f"breaking changes need a new major version; {new.version} follows {old.version}"
        return [Change("breaking", "version", text)]
    return []
