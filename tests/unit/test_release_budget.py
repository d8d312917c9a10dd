from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
from datetime import UTC, datetime
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from orchestration.release.budget import BudgetLedger, CapEntry, Request, replay
from orchestration.release.errors import BudgetLedgerError, BudgetRefusedError

NOW = datetime(2024, 12, 31, tzinfo=UTC)
PEOPLE = "people"
CAP = CapEntry(
    Fraction(1),
    Fraction("1e-7"),
    Fraction(2, 100),
    {"geography": Fraction(1, 50), "sex": Fraction(1, 200)},
)


def request(key: str, rho: str = "1/1000", purpose: str = "geography") -> Request:
    return Request(key, PEOPLE, 2024, purpose, Fraction(rho))


@pytest.fixture
def ledger(tmp_path: Path) -> BudgetLedger:
    ledger = BudgetLedger(tmp_path / "budget" / "ledger.jsonl")
    ledger.set_cap(PEOPLE, 2024, CAP, at=NOW)
    return ledger


def test_an_empty_ledger_replays_to_nothing(tmp_path):
    assert replay(tmp_path / "none.jsonl").entries == 0


def test_reserve_measure_publish_replays(ledger):
    [reservation] = ledger.reserve([request("a")], at=NOW)
    ledger.measure(reservation, "0" * 64, at=NOW)
    ledger.publish(
        "release",
        release_id="r",
        reservations=[reservation],
        manifest_sha256="1" * 64,
        created_at="2024",
        at=NOW,
    )
    state = ledger.state()
    assert state.entries == 4
    assert state.spent(PEOPLE, 2024) == Fraction(1, 1000)
    assert state.publications["release"]["release_id"] == "r"


def test_exact_rationals_fill_a_cap_to_the_last_part_and_not_beyond(ledger):
    for i in range(3):
        ledger.reserve([request(f"k{i}", "1/150")], at=NOW)
    assert ledger.state().spent(PEOPLE, 2024) == CAP.rho
    with pytest.raises(BudgetRefusedError, match=r"0\.020000"):
        ledger.reserve([request("more", "1/1000000000000")], at=NOW)


def test_a_full_cap_is_refused_in_one_clear_message_and_changes_nothing(ledger):
    ledger.reserve([request("a", "1/60")], at=NOW)
    before = ledger.path.read_bytes()
    with pytest.raises(BudgetRefusedError) as refusal:
        ledger.reserve([request("b", "1/60")], at=NOW)
    assert ledger.path.read_bytes() == before
    message = str(refusal.value)
    for part in ("'people' for 2024", "at most rho 0.020000", "0.016667 spent", "died in between"):
        assert part in message


def test_a_sub_cap_is_refused_while_the_population_still_has_budget(ledger):
    with pytest.raises(BudgetRefusedError, match="for 'sex'"):
        ledger.reserve([request("a", "1/100", "sex")], at=NOW)


def test_all_requests_are_reserved_or_none(ledger):
    with pytest.raises(BudgetRefusedError):
        ledger.reserve([request("a"), request("b", "1/100", "sex")], at=NOW)
    assert ledger.state().reservations == {}


def test_another_year_has_its_own_budget_once_it_has_a_cap(ledger):
    later = Request("k", PEOPLE, 2025, "geography", Fraction(1, 50))
    with pytest.raises(BudgetRefusedError, match="a cap on the ledger"):
        ledger.reserve([later], at=NOW)
    ledger.set_cap(PEOPLE, 2025, CAP, at=NOW)
    ledger.reserve([later], at=NOW)
    assert ledger.state().spent(PEOPLE, 2024) == 0


def test_what_was_measured_is_not_paid_again(ledger):
    [first] = ledger.reserve([request("a")], at=NOW)
    ledger.measure(first, "0" * 64, at=NOW)
    assert ledger.reserve([request("a")], at=NOW) == [first]
    assert ledger.state().spent(PEOPLE, 2024) == Fraction(1, 1000)


def test_a_crash_before_the_draw_was_safe_stays_spent(ledger):
    [lost] = ledger.reserve([request("a", "1/100")], at=NOW)
    [second] = ledger.reserve([request("a", "1/100")], at=NOW)
    assert second != lost
    assert ledger.state().lost(PEOPLE, 2024) == Fraction(1, 50)
    with pytest.raises(BudgetRefusedError, match="stays spent"):
        ledger.reserve([request("a", "1/100")], at=NOW)


def test_a_cap_changes_only_with_a_reason(ledger):
    wider = CapEntry(CAP.epsilon, CAP.delta, Fraction(1), CAP.purposes)
    with pytest.raises(BudgetRefusedError, match="decision of the owner"):
        ledger.set_cap(PEOPLE, 2024, wider, at=NOW)
    ledger.set_cap(PEOPLE, 2024, CAP, at=NOW)
    assert ledger.state().entries == 1
    ledger.set_cap(PEOPLE, 2024, wider, at=NOW, reason="Officer, minutes of 2 January")
    assert ledger.state().caps[PEOPLE, 2024].rho == 1


@pytest.mark.parametrize("rho", ["0", "-1/1000"])
def test_a_reservation_of_nothing_or_less_is_refused(ledger, rho):
    with pytest.raises(BudgetRefusedError, match="positive"):
        ledger.reserve([request("a", rho)], at=NOW)


def test_measuring_without_or_twice_on_a_reservation_is_refused(ledger):
    with pytest.raises(BudgetLedgerError, match="a reservation before the draw"):
        ledger.measure("f" * 64, "0" * 64, at=NOW)
    [reservation] = ledger.reserve([request("a")], at=NOW)
    ledger.measure(reservation, "0" * 64, at=NOW)
    with pytest.raises(BudgetLedgerError, match="one draw per reservation"):
        ledger.measure(reservation, "1" * 64, at=NOW)


@pytest.mark.parametrize("reservations", [[], ["f" * 64]])
def test_publishing_what_was_not_drawn_is_refused(ledger, reservations):
    with pytest.raises(BudgetLedgerError, match="for what is published"):
        ledger.publish(
            "r",
            release_id="r",
            reservations=reservations,
            manifest_sha256="",
            created_at="",
            at=NOW,
        )


def tampered(line: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(line) | changes).encode()


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda lines: [lines[0], tampered(lines[1], rho="1/999999"), *lines[2:]], "line 2.*hash"),
        (lambda lines: [lines[0], *lines[2:]], "line 2.*entry 1"),
        (lambda lines: [lines[0], lines[2], lines[1]], "line 2"),
        (lambda lines: [*lines, lines[2]], "line 4"),
        (lambda lines: [lines[0], b"{}", *lines[2:]], "line 2.*format"),
        (lambda lines: [lines[0], b"not json", *lines[2:]], "line 2.*JSON"),
    ],
    ids=["amount", "dropped", "swapped", "repeated", "emptied", "garbled"],
)
def test_a_replay_finds_every_tampering_and_names_the_line(ledger, tamper, message):
    ledger.reserve([request("a")], at=NOW)
    ledger.reserve([request("b")], at=NOW)
    lines = ledger.path.read_bytes().splitlines()
    ledger.path.write_bytes(b"\n".join(tamper(lines)) + b"\n")
    with pytest.raises(BudgetLedgerError, match=message):
        ledger.state()


def test_a_rehashed_overdraft_is_found_by_the_sums(ledger, monkeypatch):
    monkeypatch.setattr("orchestration.release.budget._check_caps", lambda *_: None)
    ledger.reserve([request("a", "1/2")], at=NOW)
    monkeypatch.undo()
    with pytest.raises(BudgetLedgerError, match=r"line 2.*at most rho 0.02"):
        ledger.state()


def test_a_ledger_cut_back_to_an_earlier_state_is_found_by_the_anchored_head(ledger):
    ledger.reserve([request("a")], at=NOW)
    head = ledger.state().head
    replay(ledger.path, [head])
    ledger.path.write_bytes(ledger.path.read_bytes().splitlines(keepends=True)[0])
    replay(ledger.path)
    with pytest.raises(BudgetLedgerError, match="anchored manifest"):
        replay(ledger.path, [head])


def test_a_torn_last_line_is_set_aside_because_nothing_was_drawn_on_it(ledger):
    ledger.reserve([request("a")], at=NOW)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"format":"tracient-bu')
    ledger.reserve([request("b")], at=NOW)
    assert ledger.path.read_bytes().startswith(whole)
    assert len(ledger.state().reservations) == 2
    assert b"tracient-bu" in ledger.path.with_name("ledger.jsonl.torn").read_bytes()


def _write_many(path: str, worker: int) -> int:
    granted = 0
    for i in range(8):
        try:
            BudgetLedger(Path(path)).reserve([request(f"{worker}-{i}", "1/2000")], at=NOW)
            granted += 1
        except BudgetRefusedError:
            pass
    return granted


def test_eight_writers_at_once_never_pass_the_cap(ledger):
    context = multiprocessing.get_context("fork")
    with context.Pool(8) as pool:
        granted = pool.starmap(_write_many, [(str(ledger.path), i) for i in range(8)])
    state = ledger.state()
    assert sum(granted) == len(state.reservations) == 40
    assert state.spent(PEOPLE, 2024) == CAP.rho


def _write_without_end(path: str, attempt: int, pipe: Connection) -> None:
    for i in itertools.count():
        wish = [request(f"{attempt}-{i}", "1/1000000")]
        BudgetLedger(Path(path)).reserve(wish, at=NOW)
        pipe.send("granted")


def _rest_of(pipe: Connection) -> int:
    rest = 0
    with contextlib.suppress(EOFError):
        while pipe.recv():
            rest += 1
    return rest


def test_kill_9_loses_no_granted_reservation_and_leaves_a_ledger_that_replays(ledger):
    granted = 0
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        ours, theirs = context.Pipe(duplex=False)
        writer = context.Process(
            target=_write_without_end, args=(str(ledger.path), attempt, theirs)
        )
        writer.start()
        theirs.close()
        for _ in range(5):
            assert ours.recv() == "granted"
        writer.kill()
        writer.join()
        granted += 5 + _rest_of(ours)
    state = ledger.state()
    assert granted <= len(state.reservations) <= granted + 3
    ledger.reserve([request("after")], at=NOW)
