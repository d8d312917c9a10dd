"""The model specification: everything that differs between two models, as a YAML file.

Only declarations and their own consistency belong here; nothing in this module sees data or
imports pandas. The floors on group sizes are here because a specification may be stricter than
they are and never laxer.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ml.errors import SpecError

# A rate over fewer people than this says more about the people than about the model.
SMALLEST_SHOWN_GROUP = 30
# An exclusion-error rate needs this many positives before a gate may rest on it (+-0.1 at 0.5).
SMALLEST_GATED_POSITIVES = 100
# Words that give a protected attribute of a person away in a column's name.
PROTECTED_WORDS = frozenset(
    {
        "sex",
        "gender",
        "female",
        "male",
        "caste",
        "religion",
        "social",
        "disabled",
        "disability",
        "migrant",
        "residence",
        "rural",
        "urban",
        "state",
    }
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Part):
    """One sentence or label in the two languages of the product."""

    en: str
    hi: str


class Target(_Part):
    """The column to predict and how its labels came about."""

    column: str
    positive: bool | int | str = True
    title: Text | None = None
    protocol: str = "Not stated by the owner of the specification."


class Features(_Part):
    """Which columns the model may see: by prefix or by name, with constraints and words."""

    prefix: str | None = None
    columns: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    monotone: dict[str, Literal[-1, 1]] = Field(default_factory=dict)
    labels: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_rule(self) -> Features:
        if (self.prefix is None) == (not self.columns):
            raise ValueError("features: give either `prefix` or `columns`, and exactly one of them")
        if self.columns:
            unknown = sorted(({*self.monotone} | {*self.categories}) - {*self.columns})
            if unknown:
                raise ValueError(
                    f"features: constraints name columns that are not there: {unknown}"
                )
        return self


class Grouping(_Part):
    """One attribute the model is assessed by and must never see, with its closed vocabulary."""

    column: str
    title: Text
    vocabulary: tuple[str, ...] = Field(min_length=2)
    source: Literal["protected", "table"] = "protected"
    is_gated: bool = False


class Stratum(_Part):
    """A number of the table cut into intervals, to look at errors along it (share of cash)."""

    column: str
    title: Text
    edges: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rising(self) -> Stratum:
        if list(self.edges) != sorted({*self.edges}):
            raise ValueError("strata: edges must rise")
        return self


class Unseen(_Part):
    """Whole values of a column (districts, firms) kept out of training altogether."""

    column: str
    share: float = Field(gt=0, lt=0.6)


class Latest(_Part):
    """The most recent part of the table, kept for evaluation only."""

    column: str
    share: float = Field(gt=0, lt=0.8)


class Splits(_Part):
    """How rows are told apart. `groups` are columns no value of which may cross a split."""

    groups: tuple[str, ...] = ()
    unseen: Unseen | None = None
    latest: Latest | None = None
    calibration_share: float = Field(default=0.15, gt=0, lt=0.5)
    test_share: float = Field(default=0.25, gt=0, lt=0.6)
    seed: str = "tracient-splits-1"


class Incumbent(_Part):
    """The rule in use today, as a score column, so that the model has something to beat."""

    column: str
    positive_when: Literal["lower", "higher"]
    title: Text


class Budget(_Part):
    """The share of rows (by weight) that can be flagged, and who said so."""

    share: float = Field(default=0.3, gt=0, lt=1)
    set_by: str = "Not stated by the owner of the specification."
    reason: str = ""


class Training(_Part):
    """The booster's size. Depth is capped at four: contributions stay cheap and readable."""

    trees: int = Field(default=200, ge=10, le=1000)
    depth: int = Field(default=4, ge=1, le=4)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    child_weight: float = Field(default=10.0, ge=0)
    regularisation: float = Field(default=1.0, ge=0)


class Minimums(_Part):
    """The smallest sizes this model is trained, shown and gated on."""

    rows: int = Field(default=200, ge=100)
    class_rows: int = Field(default=30, ge=10)
    group_rows: int = Field(default=SMALLEST_SHOWN_GROUP, ge=SMALLEST_SHOWN_GROUP)
    gate_positives: int = Field(default=SMALLEST_GATED_POSITIVES, ge=SMALLEST_GATED_POSITIVES)


class Harm(_Part):
    """Who may be harmed, how, and what is done about it."""

    who: str
    harm: str
    mitigation: str


class CardText(_Part):
    """What no measurement can say: purpose, limits and duties, written by the model's owner."""

    summary: str = "Not stated by the owner of the specification."
    owner: str = "Not stated"
    is_about_people: bool = True
    is_sample_data: bool = False
    intended_use: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    harms: tuple[Harm, ...] = ()
    legal_basis: tuple[str, ...] = ()
    known_gaps: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    fairness_choice: str = ""
    oversight: tuple[str, ...] = ()
    appeal: tuple[str, ...] = ()
    monitoring: tuple[str, ...] = ()
    published_evidence: tuple[str, ...] = ()
    release_table: str | None = None


class ModelSpec(_Part):
    """One model, declared. `load_spec` reads it from YAML."""

    format: Literal["tracient-model-spec/1"] = "tracient-model-spec/1"
    model_id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")
    domain: str = Field(default="generic", pattern=r"^[a-z][a-z0-9_]*$")
    title: Text
    table: str = ""
    row_id: str | None = None
    where: dict[str, str | int | bool] = Field(default_factory=dict)
    target: Target
    features: Features
    groupings: tuple[Grouping, ...] = ()
    intersections: tuple[tuple[str, ...], ...] = ()
    strata: tuple[Stratum, ...] = ()
    splits: Splits = Splits()
    weight: str | None = None
    interval_cluster: str | None = None
    incumbent: Incumbent | None = None
    budget: Budget = Budget()
    training: Training = Training()
    minimums: Minimums = Minimums()
    thresholds: str = "default"
    card: CardText = CardText()

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        known = {grouping.column for grouping in self.groupings}
        for names in self.intersections:
            if len(names) < 2 or not {*names} <= known:
                raise ValueError(f"intersections: {list(names)} must join two declared groupings")
        refuse_protected(self, self.features.columns)
        return self

    def attribute_title(self, attribute: str) -> Text:
        """The words for a grouping, a stratum or a crossing of groupings ("sex x age_band")."""
        parts = (*self.groupings, *self.strata)
        titles = {part.column: part.title for part in parts}
        found = [titles[name] for name in attribute.split(" x ")]
        return Text(en=" x ".join(t.en for t in found), hi=" x ".join(t.hi for t in found))


def refuse_protected(spec: ModelSpec, features: tuple[str, ...] | list[str]) -> None:
    """Refuse a feature list that holds what the model must not see.

    Args:
        spec: the specification the features belong to.
        features: names of feature columns.

    Raises:
        ValueError: a feature is a protected attribute, the target, a key, a weight or the
            incumbent's score; names only, no values.
    """
    closed = {grouping.column for grouping in spec.groupings}
    keys = {spec.row_id, spec.target.column, spec.weight, spec.interval_cluster}
    keys |= {*spec.splits.groups}
    keys |= {spec.splits.unseen.column} if spec.splits.unseen else set()
    prefix = spec.features.prefix or ""
    for name in features:
        bare = name.removeprefix(prefix)
        words = {*re.split(r"[^a-z]+", bare.lower())} if spec.card.is_about_people else set()
        if {bare, name} & closed or PROTECTED_WORDS & words:
            raise ValueError(
                f"features: {name!r} is or names a protected attribute; these are joined for "
                "assessment only. Remove it from the features."
            )
        if name in keys:
            raise ValueError(f"features: {name!r} is the target, a key or a weight. Remove it.")


def load_spec(path: Path) -> ModelSpec:
    """Read a specification from YAML.

    Args:
        path: the YAML file.

    Returns:
        The validated, frozen specification.

    Raises:
        SpecError: the file is missing, not YAML, or not a specification; the message lists each
            place and what is wrong there.
    """
    if not path.is_file():
        raise SpecError(f"specification not found: expected a YAML file at {path}")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: expected YAML in UTF-8; {error}") from error
    return parse_spec(document, str(path))


def parse_spec(document: Any, where: str = "specification") -> ModelSpec:
    """Validate a specification that was already read.

    Args:
        document: the decoded YAML or JSON value.
        where: what to call it in an error.

    Returns:
        The validated, frozen specification.

    Raises:
        SpecError: see `load_spec`.
    """
    if not isinstance(document, dict):
        raise SpecError(f"{where}: expected a mapping with model_id, title, target and features")
    try:
        return ModelSpec.model_validate(document)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(step) for step in item['loc']) or '(whole file)'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SpecError(f"{where}: not a valid model specification:\n" + "\n".join(lines)) from None


def dump_spec(spec: ModelSpec) -> str:
    """Write a specification as YAML with every default spelled out, the same text every time."""
    return yaml.safe_dump(spec.model_dump(mode="json"), allow_unicode=True, sort_keys=False)


def spec_sha256(spec: ModelSpec) -> str:
    """SHA-256 of `dump_spec`, lower-case hex: the identity of what was asked for."""
    return hashlib.sha256(dump_spec(spec).encode()).hexdigest()
