"""The domains: what differs between them, as data.

A third domain is a folder in each room and one more ``Domain`` here; no room is edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class ModelPlan:
    """One model of a domain.

    Attributes:
        model_id: Folder below ``models/``.
        spec: The ``ModelSpec`` file.
        training_table: Curated table with one row per labelled unit.
        protected_table: Restricted table joined for assessment only, or None.
        evaluation_table: Name of the per-row evaluation table, or None where nothing is
            published from it.
    """

    model_id: str
    spec: Path
    training_table: str
    protected_table: str | None = None
    evaluation_table: str | None = None


@dataclass(frozen=True)
class ReleasePlan:
    """One release of a domain.

    Attributes:
        kind: ``dp`` for people, ``sdc`` for firms.
        spec: The release specification file.
        tables: Curated (or evaluation) tables that it is drawn from.
        rule_table: Curated table whose ``rule_version`` says which policy rules were applied.
    """

    kind: Literal["dp", "sdc"]
    spec: Path
    tables: tuple[str, ...]
    rule_table: str


@dataclass(frozen=True)
class Domain:
    """One policy domain, from its ledger to its release.

    Attributes:
        name: Used in table names, groups and folders.
        title: For people.
        description: What it holds.
        ledger: Name of the ledger's raw tables (``fabric`` or ``eledger``).
        raw: Its raw tables.
        ledger_people: Raw ledger table and field of its JSON values that names a person, or None.
        model: Its model.
        release: Its release.
        owner: Dagster owner.
    """

    name: str
    title: str
    description: str
    ledger: str
    raw: tuple[str, ...]
    model: ModelPlan
    release: ReleasePlan
    owner: str
    ledger_people: tuple[str, str] | None = None

    @property
    def dbt_tag(self) -> str:
        """The tag of the domain's dbt models."""
        return f"domain:{self.name}"


WAGES = Domain(
    name="wages",
    title="Wage payments of informal workers",
    description="Wages on the Fabric channel `wages`, with the feeds that join it.",
    ledger="fabric",
    raw=(
        "raw_fabric__blocks",
        "raw_fabric__transactions",
        "raw_fabric__writes",
        "raw_fabric__certificates",
        "raw_wages__upi_settlements",
        "raw_wages__eshram_registry",
        "raw_wages__scheme_enrolments",
        "raw_wages__income_audit",
        "raw_wages__employer_registry",
        "raw_wages__death_register",
    ),
    model=ModelPlan(
        model_id="wages_bpl",
        spec=REPOSITORY / "ml" / "wages" / "bpl.yaml",
        training_table="fct_wages__bpl_training",
        protected_table="dim_wages__worker_protected",
        evaluation_table="ml_wages__evaluation",
    ),
    release=ReleasePlan(
        kind="dp",
        spec=REPOSITORY / "orchestration" / "release" / "specs" / "wages.yaml",
        tables=("rel_wages__worker_month_bounded", "ml_wages__evaluation"),
        rule_table="fct_wages__minimum_wage_compliance",
    ),
    owner="team:wages",
    ledger_people=("raw_fabric__writes", "workerIdHash"),
)

PHARMA = Domain(
    name="pharma",
    title="Medicines from maker to patient",
    description="Medicines on the E-Ledger and in EPCIS, with the registries that join them.",
    ledger="eledger",
    raw=(
        "raw_eledger__blocks",
        "raw_eledger__transactions",
        "raw_epcis__events",
        "raw_pharma__gln_registry",
        "raw_pharma__product_master",
        "raw_pharma__inspections",
    ),
    model=ModelPlan(
        model_id="pharma_batch_risk",
        spec=REPOSITORY / "ml" / "pharma" / "batch_risk.yaml",
        training_table="fct_pharma__batch_training",
    ),
    release=ReleasePlan(
        kind="sdc",
        spec=REPOSITORY / "orchestration" / "release" / "specs" / "pharma.yaml",
        tables=("rel_pharma__firm_quarter",),
        rule_table="fct_pharma__compliance_product_jurisdiction",
    ),
    owner="team:pharma",
)

DOMAINS = (WAGES, PHARMA)
