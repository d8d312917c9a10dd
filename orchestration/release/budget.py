"""The privacy-budget ledger: what was spent on whom, in a file that can only grow.

Hash-chained JSON lines under a file lock, each append fsynced, amounts as exact rationals. The
order is cap, reserve, measure, publish:

- ``reserve`` before the draw: spent from here on, whatever happens next;
- ``measure`` when the noisy values are safe on disk, with their SHA-256: a run that dies later
  finishes from them and draws nothing;
- ``publish`` when the release's files are in place.

A reservation that was never measured (a run died in the few milliseconds of the draw) stays spent.
This module knows no table, no noise and no path of a release.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from orchestration.release.errors import BudgetLedgerError, BudgetRefusedError
from orchestration.release.spec import canonical_json

FORMAT = "tracient-budget/1"
GENESIS = "0" * 64


@dataclass(frozen=True)
class Request:
    """A wish to spend.

    Attributes:
        key: What will be drawn: hash of source snapshot and draw specification.
        population: Whose budget.
        year: Calendar year of the data.
        purpose: Sub-cap it counts against.
        rho: zCDP cost.
    """

    key: str
    population: str
    year: int
    purpose: str
    rho: Fraction


@dataclass(frozen=True)
class CapEntry:
    """The cap of one population and year, with sub-caps per purpose, as written on the ledger."""

    epsilon: Fraction
    delta: Fraction
    rho: Fraction
    purposes: Mapping[str, Fraction]


@dataclass
class LedgerState:
    """What a replay of the ledger says.

    Attributes:
        head: Hash of the last entry.
        entries: Number of entries.
        hashes: Hash of every entry, in order.
        caps: Cap by (population, year).
        reservations: Request by reservation id (the entry's hash).
        measurements: SHA-256 of the noisy values by reservation id.
        measured_at: Index of the measure entry by reservation id.
        publications: Publish entry by release key.
    """

    head: str = GENESIS
    entries: int = 0
    hashes: list[str] = field(default_factory=list)
    caps: dict[tuple[str, int], CapEntry] = field(default_factory=dict)
    reservations: dict[str, Request] = field(default_factory=dict)
    measurements: dict[str, str] = field(default_factory=dict)
    measured_at: dict[str, int] = field(default_factory=dict)
    publications: dict[str, dict[str, Any]] = field(default_factory=dict)

    def spent(self, population: str, year: int, purpose: str | None = None) -> Fraction:
        """zCDP cost reserved so far on a population and year, in all or for one purpose."""
        return sum(
            (
                request.rho
                for request in self.reservations.values()
                if (request.population, request.year) == (population, year)
                and purpose in (None, request.purpose)
            ),
            Fraction(0),
        )

    def measured(self, key: str) -> str | None:
        """Id of the reservation with this key whose draw is safe on disk, or None."""
        for reservation_id, request in self.reservations.items():
            if request.key == key and reservation_id in self.measurements:
                return reservation_id
        return None

    def lost(self, population: str, year: int) -> Fraction:
        """zCDP cost of reservations whose draw was never seen again."""
        return sum(
            (
                request.rho
                for reservation_id, request in self.reservations.items()
                if (request.population, request.year) == (population, year)
                and reservation_id not in self.measurements
            ),
            Fraction(0),
        )


class BudgetLedger:
    """The ledger file. Any number of processes may use it at once.

    Args:
        path: The JSON-lines file; its folder is made when needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self) -> LedgerState:
        """Replay the ledger.

        Raises:
            BudgetLedgerError: If it does not replay.
        """
        with self._locked():
            return replay(self.path)

    def set_cap(
        self, population: str, year: int, cap: CapEntry, *, at: datetime, reason: str = ""
    ) -> LedgerState:
        """Write the cap of a population and year, once; the same cap again changes nothing.

        Args:
            population: Whose budget.
            year: Calendar year.
            cap: The cap and its sub-caps.
            at: Time of the entry.
            reason: Who decided a change of an existing cap and why; without it a change is refused.

        Raises:
            BudgetRefusedError: If another cap stands and no reason is given.
        """
        with self._locked():
            state = replay(self.path)
            standing = state.caps.get((population, year))
            if standing == cap:
                return state
            if standing is not None and not reason:
                raise BudgetRefusedError(
                    where=f"budget of {population!r} for {year}",
                    expected=_cap_words(standing),
                    found=_cap_words(cap),
                    what_to_do=(
                        "A cap is a promise to people: it changes only by a decision of the owner "
                        "of disclosure.yaml, recorded with its reason (BudgetLedger.set_cap)."
                    ),
                )
            entry = {
                "kind": "cap",
                "population": population,
                "year": year,
                "epsilon": str(cap.epsilon),
                "delta": str(cap.delta),
                "rho": str(cap.rho),
                "purposes": {name: str(rho) for name, rho in cap.purposes.items()},
                "reason": reason,
            }
            return self._append(state, [entry], at)

    def reserve(self, requests: Sequence[Request], *, at: datetime) -> list[str]:
        """Reserve all requests or none; what is measured already is returned, not paid again.

        Args:
            requests: What is to be drawn.
            at: Time of the entries.

        Returns:
            The reservation id of each request.

        Raises:
            BudgetRefusedError: If any cap would be passed; the ledger is unchanged.
        """
        with self._locked():
            state = replay(self.path)
            due = [request for request in requests if state.measured(request.key) is None]
            _check_caps(state, due)
            entries = [_reservation(request) for request in due]
            state = self._append(state, entries, at)
            fresh = iter(state.hashes[len(state.hashes) - len(due) :])
            return [state.measured(request.key) or next(fresh) for request in requests]

    def measure(self, reservation_id: str, sha256: str, *, at: datetime) -> LedgerState:
        """Record that the noisy values of a reservation are safe on disk.

        Args:
            reservation_id: Of ``reserve``.
            sha256: Of the file that holds the noisy values.
            at: Time of the entry.

        Raises:
            BudgetLedgerError: If there is no such open reservation.
        """
        entry = {"kind": "measure", "reservation": reservation_id, "sha256": sha256}
        with self._locked():
            return self._append(replay(self.path), [entry], at)

    def publish(
        self,
        key: str,
        *,
        release_id: str,
        reservations: Sequence[str],
        manifest_sha256: str,
        created_at: str,
        at: datetime,
    ) -> LedgerState:
        """Record that a release is in place.

        Args:
            key: Release key: hash of snapshots and specification hash.
            release_id: Of the release.
            reservations: Whose draws it shows.
            manifest_sha256: Of its manifest.
            created_at: Time the manifest states.
            at: Time of the entry.

        Raises:
            BudgetLedgerError: If a reservation is unknown or was not measured.
        """
        entry = {
            "kind": "publish",
            "key": key,
            "release_id": release_id,
            "reservations": list(reservations),
            "manifest_sha256": manifest_sha256,
            "created_at": created_at,
        }
        with self._locked():
            return self._append(replay(self.path), [entry], at)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(self.path.name + ".lock")
        path.touch(mode=0o600)
        with path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _set_torn_tail_aside(self.path)
            yield

    def _append(
        self, state: LedgerState, entries: Sequence[dict[str, Any]], at: datetime
    ) -> LedgerState:
        lines = []
        for entry in entries:
            full = {
                "format": FORMAT,
                "sequence": state.entries,
                "previous": state.head,
                "at": at.isoformat(),
                **entry,
            }
            full["hash"] = _hash_of(full)
            _apply(state, full, f"{self.path.name} (new entry)")
            lines.append(canonical_json(full) + b"\n")
        if lines:
            _append_durably(self.path, b"".join(lines))
        return state


def replay(path: Path, required_heads: Sequence[str] = ()) -> LedgerState:
    """Verify the whole ledger: chain, sums within caps, nothing published without reservation.

    Args:
        path: The JSON-lines file; a missing one is an empty ledger.
        required_heads: Ledger heads of anchored manifests: each must be on the chain, so that a
            ledger that was cut back to an earlier state is found out.

    Returns:
        The state after the last entry.

    Raises:
        BudgetLedgerError: Naming the line, what was expected and what was found.
    """
    state = LedgerState()
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        where = f"{path.name} line {number}"
        _apply(state, _parse(line, where), where)
    for head in required_heads:
        if head != GENESIS and head not in state.hashes:
            raise _broken(
                path.name,
                f"entry {head}, named by an anchored manifest",
                f"{state.entries} entries without it",
            )
    return state


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise _broken(where, "one JSON object", "something else") from error
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise _broken(where, f"format {FORMAT}", "another format")
    return entry


def _apply(state: LedgerState, entry: dict[str, Any], where: str) -> None:
    if entry.get("previous") != state.head or entry.get("sequence") != state.entries:
        raise _broken(
            where,
            f"entry {state.entries} after {state.head}",
            f"entry {entry.get('sequence')} after {entry.get('previous')}",
        )
    calculated = _hash_of({name: value for name, value in entry.items() if name != "hash"})
    if entry.get("hash") != calculated:
        raise _broken(where, f"hash {calculated} (calculated)", f"hash {entry.get('hash')}")
    handler = _HANDLERS.get(str(entry.get("kind")))
    if handler is None:
        raise _broken(where, f"one of {sorted(_HANDLERS)}", f"kind {entry.get('kind')!r}")
    try:
        handler(state, entry, where)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _broken(where, f"a complete {entry['kind']} entry", type(error).__name__) from error
    state.head, state.entries = entry["hash"], state.entries + 1
    state.hashes.append(entry["hash"])


def _apply_cap(state: LedgerState, entry: dict[str, Any], where: str) -> None:
    population, year = entry["population"], entry["year"]
    if (population, year) in state.caps and not entry["reason"]:
        raise _broken(where, "a reason for the changed cap", "none")
    purposes = {name: Fraction(rho) for name, rho in entry["purposes"].items()}
    state.caps[population, year] = CapEntry(
        Fraction(entry["epsilon"]), Fraction(entry["delta"]), Fraction(entry["rho"]), purposes
    )


def _apply_reserve(state: LedgerState, entry: dict[str, Any], where: str) -> None:
    request = Request(
        entry["key"],
        entry["population"],
        entry["year"],
        entry["purpose"],
        Fraction(entry["rho"]),
    )
    try:
        _check_caps(state, [request])
    except BudgetRefusedError as error:
        raise _broken(where, error.expected, error.found) from error
    state.reservations[entry["hash"]] = request


def _apply_measure(state: LedgerState, entry: dict[str, Any], where: str) -> None:
    reservation = entry["reservation"]
    if reservation not in state.reservations:
        raise _broken(where, "a reservation before the draw", "none with that id")
    if reservation in state.measurements:
        raise _broken(where, "one draw per reservation", "a second one")
    state.measurements[reservation] = entry["sha256"]
    state.measured_at[reservation] = state.entries


def _apply_publish(state: LedgerState, entry: dict[str, Any], where: str) -> None:
    if not entry["reservations"]:
        raise _broken(where, "a reservation for what is published", "none")
    for reservation in entry["reservations"]:
        if reservation not in state.measurements:
            raise _broken(where, "a reserved and measured draw for what is published", "none")
    state.publications[entry["key"]] = {
        name: entry[name] for name in ("release_id", "manifest_sha256", "created_at", "hash")
    }


_HANDLERS = {
    "cap": _apply_cap,
    "reserve": _apply_reserve,
    "measure": _apply_measure,
    "publish": _apply_publish,
}


def _check_caps(state: LedgerState, requests: Sequence[Request]) -> None:
    wanted: dict[tuple[str, int, str | None], Fraction] = {}
    for request in requests:
        if request.rho <= 0:
            raise _refused(request, "a positive amount", f"rho {request.rho}", Fraction(0))
        for purpose in (None, request.purpose):
            place = (request.population, request.year, purpose)
            wanted[place] = wanted.get(place, Fraction(0)) + request.rho
    for request in requests:
        cap = state.caps.get((request.population, request.year))
        if cap is None or request.purpose not in cap.purposes:
            raise _refused(request, "a cap on the ledger", "none", Fraction(0))
        for purpose, limit in ((None, cap.rho), (request.purpose, cap.purposes[request.purpose])):
            spent = state.spent(request.population, request.year, purpose)
            asked = wanted[request.population, request.year, purpose]
            if spent + asked > limit:
                lost = state.lost(request.population, request.year)
                name = "in all" if purpose is None else f"for {purpose!r}"
                found = f"{float(spent):.6f} spent and {float(asked):.6f} more asked for"
                raise _refused(request, f"at most rho {float(limit):.6f} {name}", found, lost)


def _refused(request: Request, expected: str, found: str, lost: Fraction) -> BudgetRefusedError:
    if lost:
        found += (
            f" (of which {float(lost):.6f} by a reservation whose draw never reached the disk: a "
            "run died in between, and that stays spent)"
        )
    return BudgetRefusedError(
        where=f"privacy budget of {request.population!r} for {request.year}",
        expected=expected,
        found=found,
        what_to_do=(
            "Nothing was drawn. The releases already published stay; data of another calendar year "
            "has its own budget; only the owner of disclosure.yaml can decide on another cap."
        ),
    )


def _reservation(request: Request) -> dict[str, Any]:
    return {
        "kind": "reserve",
        "key": request.key,
        "population": request.population,
        "year": request.year,
        "purpose": request.purpose,
        "rho": str(request.rho),
    }


def _cap_words(cap: CapEntry) -> str:
    shares = ", ".join(f"{name} {float(rho):.6f}" for name, rho in sorted(cap.purposes.items()))
    return f"cap rho {float(cap.rho):.6f} ({shares})"


def _hash_of(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(entry)).hexdigest()


def _broken(where: str, expected: str, found: str) -> BudgetLedgerError:
    return BudgetLedgerError(
        where=where,
        expected=expected,
        found=found,
        what_to_do=(
            "The budget ledger was altered, cut or badly copied: publish nothing, restore it from "
            "a backup and compare its head with the newest anchored release manifest."
        ),
    )


def _append_durably(path: Path, content: bytes) -> None:
    is_new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        written = 0
        while written < len(content):
            written += os.write(handle, content[written:])
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable (fsync of the directory)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _set_torn_tail_aside(path: Path) -> None:
    # A line without its end was never acknowledged: its writer died before fsync returned, so
    # nothing was drawn on it. It is kept beside the ledger as evidence.
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return
    with path.with_name(path.name + ".torn").open("ab") as torn:
        torn.write(content[whole:] + b"\n")
        torn.flush()
        os.fsync(torn.fileno())
    with path.open("r+b") as ledger:
        ledger.truncate(whole)
        ledger.flush()
        os.fsync(ledger.fileno())
