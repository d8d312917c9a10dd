"""The release specification: what is published, from which public keys, at what cost.

Loads and checks the YAML files in ``specs/`` and hashes them. No data and no noise here: a
specification is known, and its hash fixed, before a row is read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from orchestration.release.errors import SpecificationError

SPECS = Path(__file__).with_name("specs")


def parse_rational(value: object) -> Fraction:
    """Read an exact number such as ``"0.70"`` or ``"1/3"``.

    Args:
        value: A string, an integer or a rational; a YAML float is read by its shortest decimal.

    Raises:
        ValueError: If it is not a rational number.
    """
    if isinstance(value, Fraction):
        return value
    return Fraction(str(value))


Rational = Annotated[
    Fraction, BeforeValidator(parse_rational), PlainSerializer(str, return_type=str)
]


class Strict(BaseModel):
    """A part of a specification: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Text(Strict):
    """A text in both languages."""

    en: str = Field(min_length=1)
    hi: str = Field(min_length=1)


class Period(Strict):
    """First and last day of what a release is about; whole months."""

    from_: date = Field(alias="from")
    to: date

    def months(self) -> list[date]:
        """First days of the months of the period, in order."""
        first, last = self.from_.year * 12 + self.from_.month, self.to.year * 12 + self.to.month
        return [date((i - 1) // 12, (i - 1) % 12 + 1, 1) for i in range(first, last + 1)]

    def quarters(self) -> list[str]:
        """Quarters of the period as ``2024-Q1``, in order."""
        return list(dict.fromkeys(quarter_of(month) for month in self.months()))


class Keys(Strict):
    """A public list of groups: either written here or a public frame, with its source."""

    values: tuple[str, ...] | None = None
    frame: str | None = None
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Keys:
        if (self.values is None) == (self.frame is None):
            raise ValueError("keys need either `values` or `frame`")
        return self


class Bounds(Strict):
    """Clip bounds of a value, from a public source and never from the data."""

    lower: int
    upper: int
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _centre_is_whole(self) -> Bounds:
        if self.lower >= self.upper or (self.lower + self.upper) % 2:
            raise ValueError("`lower` must be below `upper` and their middle a whole number")
        return self

    @property
    def centre(self) -> int:
        """Mid-range: what is subtracted before a sum is measured."""
        return (self.lower + self.upper) // 2

    @property
    def half_range(self) -> int:
        """The most that one centred row can add to a sum."""
        return (self.upper - self.lower) // 2


def _check_sum(shares: dict[str, Fraction], what: str) -> None:
    if sum(shares.values()) != 1 or min(shares.values()) <= 0:
        listed = ", ".join(f"{name} {float(share):g}" for name, share in shares.items())
        raise ValueError(
            f"{what} must be positive and sum to exactly 1; found {listed} = "
            f"{float(sum(shares.values())):g}"
        )


class MeasurementSpec(Strict):
    """One noisy measurement: which rows, at which levels, at what share of the budget."""

    id: str
    dataset: str
    share: Rational
    levels: dict[str, Rational]
    queries: dict[str, Rational]
    rows_per_worker: int = Field(gt=0)
    group: str | None = None
    split: str | None = None

    @model_validator(mode="after")
    def _shares(self) -> MeasurementSpec:
        _check_sum(self.levels, f"the level shares of measurement {self.id!r}")
        _check_sum(self.queries, f"the query shares of measurement {self.id!r}")
        return self


class MeasureSpec(Strict):
    """One published measure of a table; ``kind`` picks its safety numbers."""

    id: str
    kind: Literal["count", "mean", "share", "group_share"]
    unit: str
    label: Text


class ReleaseTable(Strict):
    """One published table."""

    name: str
    title: Text
    description: Text
    levels: tuple[str, ...]
    period_type: Literal["month", "quarter", "year"]
    dimensions: tuple[str, ...]
    measures: tuple[MeasureSpec, ...]


class ReferenceSpec(Strict):
    """Dated policy figures beside a measure; ``where`` picks the usable rows of the seed."""

    measure: str
    level: Literal["state"]
    seed: str
    where: dict[str, str]
    label: Text


class ReleaseSpecification(Strict):
    """What both kinds of release say about themselves."""

    format: Literal["tracient-release-specification/1"]
    domain: str
    title: Text
    description: Text
    what_it_cannot_say: Text
    licence: str
    citation: str
    contract: str
    rule_version: str
    period: Period
    keys: dict[str, Keys]
    tables: tuple[ReleaseTable, ...]


class Budget(Strict):
    """Whose budget a release spends."""

    population: str
    year: int


class DpSpecification(ReleaseSpecification):
    """A release about people, with differential privacy."""

    kind: Literal["dp"]
    privacy_unit: Literal["one worker"]
    budget: Budget
    bounds: dict[str, Bounds]
    measurements: tuple[MeasurementSpec, ...]
    reference_lines: tuple[ReferenceSpec, ...] = ()

    @model_validator(mode="after")
    def _whole_budget(self) -> DpSpecification:
        _check_sum({m.id: m.share for m in self.measurements}, "the budget shares")
        if {month.year for month in self.period.months()} != {self.budget.year}:
            raise ValueError("the period must lie in the calendar year of the budget")
        return self

    def measurement(self, measurement_id: str) -> MeasurementSpec:
        """The measurement with this id.

        Raises:
            KeyError: If there is none.
        """
        return {m.id: m for m in self.measurements}[measurement_id]


class SdcSpecification(ReleaseSpecification):
    """A release about firms, with statistical disclosure control."""

    kind: Literal["sdc"]
    dataset: str
    contributor: str
    quantities: tuple[str, ...]


class Cap(Strict):
    """The most that may be spent on a population in any one calendar year."""

    population: str
    epsilon: Rational
    delta: Rational


class Limit(Strict):
    """How wide half a 95% interval may be: of the value, or in the measure's unit."""

    relative: Rational | None = None
    absolute: Rational | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Limit:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("a quality limit is either `relative` or `absolute`")
        return self

    @property
    def number(self) -> float:
        """The limit as one number, for the manifest."""
        return float(self.relative if self.relative is not None else self.absolute or 0)


class PeopleRules(Strict):
    """Safety numbers of releases about people."""

    caps: tuple[Cap, ...]
    threshold: int = Field(gt=0)
    quality_limits: dict[str, Limit]
    rounding: dict[str, Rational]
    review_limit: Rational


class Dominance(Strict):
    """The n largest contributors must not hold more than k of a cell."""

    n: int = Field(gt=0)
    k: Rational


class FirmRules(Strict):
    """Safety numbers of releases about firms."""

    threshold: int = Field(ge=3)
    dominance: Dominance
    p_percent: Rational
    rounding: dict[str, Rational]
    contributor_rounding: int = Field(gt=0)
    review_limit: Rational


class Disclosure(Strict):
    """The safety numbers, with their owner."""

    format: Literal["tracient-disclosure/1"]
    owner: str
    decided_on: date
    people: PeopleRules
    firms: FirmRules


@dataclass(frozen=True)
class Specification:
    """A release specification together with the safety numbers it runs under."""

    release: DpSpecification | SdcSpecification
    disclosure: Disclosure

    @property
    def sha256(self) -> str:
        """Hash of everything that decides what the release looks like."""
        return sha256_of(
            {
                "release": self.release.model_dump(mode="json", by_alias=True),
                "disclosure": self.disclosure.model_dump(mode="json", by_alias=True),
            }
        )

    def cap(self) -> Cap:
        """The budget cap of the specification's population.

        Raises:
            SpecificationError: If the safety numbers know no such population.
        """
        if not isinstance(self.release, DpSpecification):
            raise SpecificationError(
                where=f"specification {self.release.domain}",
                expected="a release about people (kind: dp)",
                found=f"kind: {self.release.kind}",
                what_to_do="Firms have no privacy budget: use publish_sdc.",
            )
        caps = {cap.population: cap for cap in self.disclosure.people.caps}
        population = self.release.budget.population
        if population not in caps:
            raise SpecificationError(
                where=f"specification {self.release.domain}, budget.population",
                expected=f"one of {sorted(caps)}",
                found=repr(population),
                what_to_do="Ask the owner of disclosure.yaml for a cap, or correct the name.",
            )
        return caps[population]

    def draw_sha256(self, measurement: MeasurementSpec, places_sha256: str) -> str:
        """Hash of everything that decides one measurement's noise, and nothing else.

        Words, thresholds and rounding are left out on purpose: they can be corrected and the
        release made again from the same draw, at no cost in privacy.
        """
        release = self.release
        if not isinstance(release, DpSpecification):
            raise TypeError("only a release about people is drawn")
        return sha256_of(
            {
                "measurement": measurement.model_dump(mode="json"),
                "period": release.period.model_dump(mode="json", by_alias=True),
                "bounds": {n: [b.lower, b.upper] for n, b in release.bounds.items()},
                "keys": {n: list(k.values or ()) for n, k in release.keys.items()},
                "places": places_sha256,
                "privacy_unit": release.privacy_unit,
                "budget": release.budget.model_dump(mode="json"),
                "cap": self.cap().model_dump(mode="json"),
            }
        )


Model = TypeVar("Model", bound=BaseModel)


def quarter_of(day: date) -> str:
    """The quarter of a day as ``2024-Q1``."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: equal values give equal bytes.

    Args:
        value: Plain lists, dicts, strings, integers, booleans and null.

    Raises:
        TypeError: If a value is not JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_of(value: object) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def load_release_spec(
    source: str | Path, disclosure: str | Path = SPECS / "disclosure.yaml"
) -> Specification:
    """Load a release specification and the safety numbers it runs under.

    Args:
        source: Name of a domain of this project (``"wages"``) or path of a YAML file.
        disclosure: Path of the safety numbers.

    Raises:
        SpecificationError: If a file is missing or does not hold together.
    """
    path = SPECS / f"{source}.yaml" if isinstance(source, str) and "/" not in source else source
    content = read_yaml(Path(path))
    model = SdcSpecification if content.get("kind") == "sdc" else DpSpecification
    release = _validated(model, content, Path(path))
    rules = Path(disclosure)
    return Specification(
        release=release, disclosure=_validated(Disclosure, read_yaml(rules), rules)
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        SpecificationError: If there is none or it is something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SpecificationError(
            where=str(path.name),
            expected="a YAML file of a release specification",
            found=type(error).__name__,
            what_to_do="See orchestration/release/specs for the ones that ship with Tracient.",
        ) from error
    if not isinstance(content, dict):
        raise SpecificationError(
            where=str(path.name),
            expected="a YAML mapping",
            found=type(content).__name__,
            what_to_do="Start from orchestration/release/specs/wages.yaml.",
        )
    return content


def _validated(model: type[Model], content: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise SpecificationError(
            where=f"{path.name}, {place}",
            expected="a specification that holds together",
            found=f"{first['msg']} ({error.error_count()} problem(s) in all)",
            what_to_do="Correct the file; the fields are documented in docs/guides/releases.md.",
        ) from error
