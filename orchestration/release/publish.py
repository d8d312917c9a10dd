"""Publish a release: check, reserve, draw, compute, write, list, in this order.

The only two doors of this package. Both are idempotent on (snapshots, specification): a second call
draws nothing, writes nothing and returns what stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestration.release import pharma, privacy, wages
from orchestration.release.budget import BudgetLedger, CapEntry, LedgerState, Request
from orchestration.release.draws import draw_measurement, read_draw, write_draw
from orchestration.release.errors import InputError, PublishedFileError
from orchestration.release.hierarchy import Layout
from orchestration.release.manifest import (
    SourceSnapshot,
    build_manifest,
    check_kind_of_home,
    publish_lock,
    read_index,
    read_release,
    release_id_of,
    release_key,
    staging,
    update_index,
    write_files,
    write_manifest,
)
from orchestration.release.measure import (
    EVALUATION,
    EVALUATION_COLUMNS,
    WORKER_MONTH,
    WORKER_MONTH_COLUMNS,
    Frame,
    ReviewItem,
    Vector,
    as_pandas,
    evaluation_vectors,
    layout_of,
    places_frame,
    worker_month_vectors,
    worker_months,
)
from orchestration.release.places import places_table
from orchestration.release.reference import reference_lines
from orchestration.release.spec import (
    DpSpecification,
    MeasurementSpec,
    SdcSpecification,
    Specification,
    sha256_of,
)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class ReleaseResult:
    """What a publish call leaves behind.

    Attributes:
        release_id: Of the release.
        folder: Where its files are.
        manifest: Its manifest.
        is_new: False when it stood already and nothing was drawn or written.
        review: Rows left out, for the operator only; empty when nothing new was counted.
    """

    release_id: str
    folder: Path
    manifest: dict[str, Any]
    is_new: bool
    review: tuple[ReviewItem, ...] = ()


@dataclass
class _DpRun:
    """One publish_dp call; its parts share too much to be passed around singly."""

    spec: Specification
    release: DpSpecification
    frames: Mapping[str, Frame]
    places: pd.DataFrame
    layout: Layout
    sources: list[SourceSnapshot]
    ledger: BudgetLedger
    clock: Clock
    review: list[ReviewItem] = field(default_factory=list)

    @property
    def rho(self) -> Fraction:
        """The cap of the population and year."""
        cap = self.spec.cap()
        return privacy.rho_of(cap.epsilon, cap.delta)

    @property
    def draws_folder(self) -> Path:
        """Where noisy vectors are kept: beside the ledger."""
        return self.ledger.path.parent / "draws"

    def cap_entry(self) -> CapEntry:
        """The cap with a sub-cap for each measurement."""
        cap = self.spec.cap()
        purposes = {m.id: self.rho * m.share for m in self.release.measurements}
        return CapEntry(cap.epsilon, cap.delta, self.rho, purposes)

    def requests(self) -> dict[str, Request]:
        """What each measurement asks of the budget."""
        budget = self.release.budget
        return {
            m.id: Request(
                self.draw_key(m), budget.population, budget.year, m.id, self.rho * m.share
            )
            for m in self.release.measurements
        }

    def draw_key(self, measurement: MeasurementSpec) -> str:
        """Hash of the snapshots a measurement counts and of how it is drawn."""
        own = sorted(
            [s.dataset, s.snapshot_id, s.root]
            for s in self.sources
            if s.dataset == measurement.dataset
        )
        draw = self.spec.draw_sha256(
            measurement, sha256_of([list(d) for d in self.layout.districts])
        )
        return sha256_of({"snapshots": own, "draw": draw})


def utc_now() -> datetime:
    """The time, UTC, to the second."""
    return datetime.now(tz=UTC).replace(microsecond=0)


def publish_dp(
    spec: Specification,
    frames: Mapping[str, Frame],
    *,
    places: Frame,
    snapshots: Sequence[object],
    home_released: Path,
    budget_ledger_path: Path,
    is_sample: bool,
    clock: Clock = utc_now,
    rule_version: str | None = None,
) -> ReleaseResult:
    """Publish a release about people, with differential privacy.

    Args:
        spec: Of ``load_release_spec``.
        frames: Each dataset of the measurements, as pandas or Arrow. A mapping that loads on
            access works: when the release stands already, none is read.
        places: The public key table, one row per district: ``state_code``, ``state_iso``,
            ``state_name``, ``district_code``, ``district_name``, and Hindi names where known.
        snapshots: The anchored snapshots of those datasets.
        home_released: The released folder.
        budget_ledger_path: The ledger; draws are kept in ``draws/`` beside it.
        is_sample: Whether the data is simulated; the release then says so everywhere. No part of
            the key: a home never changes from one to the other.
        clock: Time of ledger entries and manifest.
        rule_version: Of the policy rules behind the figures, several separated by "; "; the
            specification's by default (public policy, not what a row happens to say).

    Returns:
        The release; ``is_new`` says whether anything was written.

    Raises:
        InputError: If a frame cannot be released from, or this home's releases are of the other
            kind; nothing was spent.
        BudgetRefusedError: If a cap would be passed; nothing was drawn.
        BudgetLedgerError: If the ledger does not replay.
        PublishedFileError: If what stands is not what was published.
    """
    run = _prepare(spec, frames, places, snapshots, BudgetLedger(budget_ledger_path), clock)
    names = places_table(run.places)
    lines = _reference_lines(run)
    key = release_key(spec, run.sources, sha256_of([names.to_pylist(), lines]))
    release_id = release_id_of(spec, key)
    folder = home_released / run.release.domain / release_id
    with publish_lock(home_released):
        check_kind_of_home(home_released, is_sample)
        entry = run.ledger.state().publications.get(key)
        standing = read_release(folder, entry["manifest_sha256"]) if entry else None
        if standing:
            update_index(home_released, *standing)
            return ReleaseResult(release_id, folder, standing[0], is_new=False)
        reservations = _ensure_draws(run)
        created_at = entry["created_at"] if entry else run.clock().isoformat()
        with staging(home_released, run.release.domain, release_id) as temporary:
            tables = _dp_tables(run, reservations)
            manifest = build_manifest(
                spec,
                release_id=release_id,
                created_at=created_at,
                sources=run.sources,
                files=write_files(temporary, {**tables, "places": names}),
                mechanism=privacy.mechanism(),
                rule_version=rule_version or run.release.rule_version,
                is_sample=is_sample,
                reference_lines=lines,
                budget=_budget_entry(run, run.ledger.state(), reservations),
                disclosure_control=None,
            )
            digest = write_manifest(temporary, manifest)
            _check_rebuilt(release_id, entry, digest)
        if entry is None:
            run.ledger.publish(
                key,
                release_id=release_id,
                reservations=list(reservations.values()),
                manifest_sha256=digest,
                created_at=created_at,
                at=run.clock(),
            )
        update_index(home_released, manifest, digest)
    return ReleaseResult(release_id, folder, manifest, is_new=True, review=tuple(run.review))


def publish_sdc(
    spec: Specification,
    frames: Mapping[str, Frame],
    *,
    snapshots: Sequence[object],
    home_released: Path,
    is_sample: bool,
    clock: Clock = utc_now,
    rule_version: str | None = None,
) -> ReleaseResult:
    """Publish a release about firms, with disclosure control.

    Args:
        spec: Of ``load_release_spec``.
        frames: The dataset of the specification, as pandas or Arrow.
        snapshots: Its anchored snapshot.
        home_released: The released folder.
        is_sample: Whether the data is simulated; the release then says so everywhere.
        clock: Time of the manifest.
        rule_version: Of the policy rules behind the figures, several separated by "; "; the
            specification's by default.

    Returns:
        The release; ``is_new`` says whether anything was written.

    Raises:
        InputError: If the frame cannot be released from, or this home's releases are of the other
            kind.
        DisclosureError: If no safe suppression was found; nothing was written.
        PublishedFileError: If what stands is not what was published.
    """
    release = spec.release
    if not isinstance(release, SdcSpecification):
        raise _wrong_kind("publish_sdc", "sdc", release.kind)
    sources = _sources(snapshots, [release.dataset])
    key = release_key(spec, sources)
    release_id = release_id_of(spec, key)
    folder = home_released / release.domain / release_id
    with publish_lock(home_released):
        check_kind_of_home(home_released, is_sample)
        listed = {e["release_id"]: e["manifest_sha256"] for e in read_index(home_released)}
        standing = read_release(folder, listed[release_id]) if release_id in listed else None
        if standing:
            update_index(home_released, *standing)
            return ReleaseResult(release_id, folder, standing[0], is_new=False)
        frame = as_pandas(frames, release.dataset, pharma.columns(release))
        tables, control, review = pharma.build_tables(frame, spec)
        with staging(home_released, release.domain, release_id) as temporary:
            manifest = build_manifest(
                spec,
                release_id=release_id,
                created_at=clock().isoformat(),
                sources=sources,
                files=write_files(temporary, tables),
                mechanism=pharma.mechanism(),
                rule_version=rule_version or release.rule_version,
                is_sample=is_sample,
                reference_lines=[],
                budget=None,
                disclosure_control=control,
            )
            digest = write_manifest(temporary, manifest)
        update_index(home_released, manifest, digest)
    return ReleaseResult(release_id, folder, manifest, is_new=True, review=tuple(review))


def _prepare(
    spec: Specification,
    frames: Mapping[str, Frame],
    places: Frame,
    snapshots: Sequence[object],
    ledger: BudgetLedger,
    clock: Clock,
) -> _DpRun:
    release = spec.release
    if not isinstance(release, DpSpecification):
        raise _wrong_kind("publish_dp", "dp", release.kind)
    checked = places_frame(places)
    sources = _sources(snapshots, list(dict.fromkeys(m.dataset for m in release.measurements)))
    layout = layout_of(checked, release.keys["sex"].values or ())
    return _DpRun(spec, release, frames, checked, layout, sources, ledger, clock)


def _reference_lines(run: _DpRun) -> list[dict[str, Any]]:
    states = {int(code) for code in run.places["state_code"]}
    return reference_lines(run.release.reference_lines, run.release.period, states)


def _dp_tables(run: _DpRun, reservations: Mapping[str, str]) -> dict[str, pa.Table]:
    # From the stored draws only, so that a release can be built again byte for byte.
    draws = _read_draws(run, reservations, run.ledger.state())
    return wages.build_tables(draws, run.spec, run.layout)


def _ensure_draws(run: _DpRun) -> dict[str, str]:
    # Everything that can fail on the data fails here, before a reservation.
    state = run.ledger.state()
    requests = run.requests()
    due = [m for m in run.release.measurements if state.measured(requests[m.id].key) is None]
    vectors = _exact_vectors(run, due)
    budget = run.release.budget
    run.ledger.set_cap(budget.population, budget.year, run.cap_entry(), at=run.clock())
    ids = run.ledger.reserve(list(requests.values()), at=run.clock())
    reservations = dict(zip(requests, ids, strict=True))
    for measurement in due:
        noisy = draw_measurement(measurement, vectors[measurement.id], requests[measurement.id].rho)
        reservation = reservations[measurement.id]
        sha256 = write_draw(run.draws_folder, reservation, measurement.id, noisy)
        run.ledger.measure(reservation, sha256, at=run.clock())
    return reservations


def _exact_vectors(run: _DpRun, measurements: Sequence[MeasurementSpec]) -> dict[str, list[Vector]]:
    vectors: dict[str, list[Vector]] = {}
    wanted = {m.dataset for m in measurements}
    limit = float(run.spec.disclosure.people.review_limit)
    if WORKER_MONTH in wanted:
        frame = as_pandas(run.frames, WORKER_MONTH, WORKER_MONTH_COLUMNS)
        rows, run.review = worker_months(frame, run.release, run.layout, limit)
    for measurement in measurements:
        if measurement.dataset == WORKER_MONTH:
            counted = worker_month_vectors(rows, measurement, run.release, run.layout)
        else:
            frame = as_pandas(run.frames, EVALUATION, EVALUATION_COLUMNS)
            counted = evaluation_vectors(frame, measurement, run.release)
        vectors[measurement.id] = counted
    return vectors


def _read_draws(run: _DpRun, reservations: Mapping[str, str], state: LedgerState) -> wages.Draws:
    return {
        name: read_draw(run.draws_folder, reservation, state.measurements[reservation])
        for name, reservation in reservations.items()
    }


def _budget_entry(
    run: _DpRun, state: LedgerState, reservations: Mapping[str, str]
) -> dict[str, Any]:
    cap, budget = run.spec.cap(), run.release.budget
    spent = sum((state.reservations[r].rho for r in reservations.values()), Fraction(0))
    # The head up to this release's last draw: the same whenever the release is built again.
    last = max(state.measured_at[reservation] for reservation in reservations.values())
    return {
        "population": budget.population,
        "year": budget.year,
        "epsilon": float(cap.epsilon),
        "delta": float(cap.delta),
        "rho_cap": float(run.rho),
        "rho_spent": float(spent),
        "rho_cap_exact": str(run.rho),
        "rho_spent_exact": str(spent),
        "best_guess": round(privacy.best_guess(run.rho), 3),
        "ledger_head": state.hashes[last],
        "purposes": {name: str(state.reservations[r].rho) for name, r in reservations.items()},
    }


def _check_rebuilt(release_id: str, entry: Mapping[str, Any] | None, digest: str) -> None:
    if entry is not None and entry["manifest_sha256"] != digest:
        raise PublishedFileError(
            where=f"release {release_id}",
            expected=f"manifest {entry['manifest_sha256']} (budget ledger)",
            found=f"{digest} when rebuilt from its draw (another version of a library?)",
            what_to_do="Restore the release's folder from a backup or its anchored copy.",
        )


def _sources(snapshots: Sequence[object], datasets: Sequence[str]) -> list[SourceSnapshot]:
    found = [SourceSnapshot.of(snapshot) for snapshot in snapshots]
    used = [source for name in datasets for source in found if source.dataset == name]
    missing = sorted(set(datasets) - {source.dataset for source in used})
    if missing:
        raise InputError(
            where="snapshots",
            expected=f"an anchored snapshot of {', '.join(datasets)}",
            found=f"none of {', '.join(missing)}",
            what_to_do="Commit the dataset first: nothing is released that is not anchored.",
        )
    return used


def _wrong_kind(door: str, expected: str, found: str) -> InputError:
    return InputError(
        where=door,
        expected=f"a specification of kind {expected}",
        found=f"kind {found}",
        what_to_do="Use publish_dp for people and publish_sdc for firms.",
    )
