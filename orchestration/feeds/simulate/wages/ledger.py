"""How the simulated network writes itself down: keys, JSON values, arguments and transactions.

The shapes are those of the wage ledger's chaincode: docTypes wage, employer and status. Arguments
are compact (hashes as base64) because they and the writes both travel in the envelope.
"""

from __future__ import annotations

import heapq
from binascii import b2a_base64, hexlify
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import orjson

from orchestration.feeds.simulate.fabric_network import SimPrivateWrite, SimTransaction, SimWrite
from orchestration.feeds.simulate.wages import levels
from orchestration.feeds.simulate.wages.activity import month_starts
from orchestration.feeds.simulate.wages.payroll import DAY, RAILS, RUN, SUFFIXES, Payrolls, Records
from orchestration.feeds.simulate.wages.world import KeyedHash, World, stream

REGISTRATION_DAYS = 45  # employers join the channel in the weeks before the first month
STATUS_SHARE = 0.01  # of workers are classified at year end, by the rule that the model challenges
INCUMBENT_MODEL = "ledger-wage-rule-1"
LINE_ID = "hces_2023_24_60pct"
PRIVATE_COLLECTION = "wageDetails"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RAIL_NAMES = tuple(rail.encode() for rail in RAILS)
_SKILLS = tuple(skill.encode() for skill in levels.SKILLS)
# The columns of ``Records`` that one record's line is written from, in this order.
_LINE_COLUMNS = ("sequence", "kind", "worker", "amount_paise", "days", "rail", "ref", "reverses")
_Line = tuple[int, int, int, int, int, int, int, bool]
_RECORD = (
    b'{"docType":"wage","recordId":"%%b","workerIdHash":"%%b","employerIdHash":"%b",'
    b'"amountPaise":%%d,"currency":"INR","periodFrom":"%b","periodTo":"%b","daysWorked":%%d,'
    b'"paidAt":"%b","rail":"%%b","paymentRefHash":"%%b","jobType":"%%b","sector":"%b",'
    b'"skill":"%%b","stateCode":%d,"districtCode":%d,"policyVersion":"%b","documentHash":%b,'
    b'"reverses":%%b}'
)


def record_id(yymm: bytes, payroll: int, sequence: int, kind: int) -> bytes:
    """Return a record number, for example ``wr2403p8123n7``; letters keep digit runs short."""
    return b"wr%bp%dn%d%b" % (yymm, payroll, sequence, SUFFIXES[kind])


def composite_key(doc_type: str, identifier: str) -> str:
    """Return a Fabric composite key: parts between U+0000."""
    return f"\x00{doc_type}\x00{identifier}\x00"


def count_transactions(world: World, records: Records) -> int:
    """Return how many transactions ``transactions`` will yield."""
    groups = len(np.unique(records.group))
    return len(world.employers.sector) + groups + len(_classified(world))


def transactions(world: World, payrolls: Payrolls, records: Records) -> Iterator[SimTransaction]:
    """Yield all transactions in the order of their submission.

    Args:
        world: The world.
        payrolls: Payroll runs.
        records: All records, mistakes included.
    """
    yield from _registrations(world)
    yield from heapq.merge(
        _wage_transactions(world, payrolls, records),
        _status_updates(world),
        key=lambda transaction: transaction.submitted_at,
    )


def client_count(world: World) -> int:
    """Return the number of client identities: employers of a district share a service centre."""
    return len(world.districts.code)


def _at(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _rfc3339(microseconds: int) -> bytes:
    return f"{_at(microseconds):%Y-%m-%dT%H:%M:%SZ}".encode()


def _short(digest: bytes) -> bytes:
    """Return a hash for the arguments: base64 without padding, 43 characters instead of 64."""
    return b2a_base64(digest, newline=False)[:43]


class _Book:
    """What wage transactions look up again and again, once as Python values."""

    def __init__(self, world: World, payrolls: Payrolls) -> None:
        self.world = world
        self.payrolls = payrolls
        self.payment = KeyedHash(world.seed, "payment")
        self.muster = KeyedHash(world.seed, "muster")
        self.worker_hash = world.workers.hash_hex.tolist()
        self.worker_short = [_short(bytes.fromhex(h.decode())) for h in self.worker_hash]
        self.skill = world.workers.skill.tolist()
        self.employer_hash = world.employers.hash_hex.tolist()
        starts = month_starts(world.start, world.months)[:-1].tolist()
        self.yymm = [f"{day:%y%m}".encode() for day in starts]
        self.occupations = [
            tuple(code.encode() for code in sector.occupations) for sector in levels.SECTORS
        ]


@dataclass(frozen=True)
class _Header:
    """What the records of one payroll transaction share, ready to be written."""

    payroll: int
    employer: int
    place: int
    sector: int
    period_from: bytes
    period_to: bytes
    paid_at: bytes
    policy: bytes
    document: bytes | None


def _header(book: _Book, payroll: int, paid_us: int) -> _Header:
    payrolls, firms = book.payrolls, book.world.employers
    employer = int(payrolls.employer[payroll])
    return _Header(
        payroll=payroll,
        employer=employer,
        place=int(firms.district[employer]),
        sector=int(firms.sector[employer]),
        period_from=str(payrolls.period_from[payroll]).encode(),
        period_to=str(payrolls.period_to[payroll]).encode(),
        paid_at=_rfc3339(paid_us),
        policy=levels.policy_version(int(payrolls.policy_year[payroll])).encode(),
        document=book.muster(payroll) if firms.attaches[employer] else None,
    )


def _wage_transactions(
    world: World, payrolls: Payrolls, records: Records
) -> Iterator[SimTransaction]:
    book = _Book(world, payrolls)
    ordered = records.take(np.lexsort((records.sequence, records.group, records.sent_us)))
    starts = np.flatnonzero(np.diff(ordered.group, prepend=ordered.group[0] - 1)).tolist()
    columns = [getattr(ordered, name) for name in _LINE_COLUMNS]
    for low, high in pairwise([*starts, len(ordered)]):
        yield _wage_transaction(
            book,
            _header(book, int(ordered.payroll[low]), int(ordered.paid_us[low])),
            # Python values of one transaction at a time: all at once are 100 MB and more.
            list(zip(*(column[low:high].tolist() for column in columns), strict=True)),
            sent_us=int(ordered.sent_us[low]),
            validation_code=int(ordered.validation_code[low]),
        )


def _wage_transaction(
    book: _Book, header: _Header, lines: list[_Line], *, sent_us: int, validation_code: int
) -> SimTransaction:
    private = ()
    if header.document is not None:
        details = {"muster": header.document.hex(), "records": len(lines)}
        key = b"payroll:%d" % header.payroll
        private = (SimPrivateWrite(PRIVATE_COLLECTION, key, orjson.dumps(details)),)
    writes, rows = _write_lines(book, header, lines)
    return SimTransaction(
        submitted_at=_at(sent_us),
        function="recordWageBatch" if len(lines) > 1 else "recordWage",
        args=[_arguments(book, header, rows)],
        writes=writes,
        creator=header.place,
        reads=[composite_key("employer", book.employer_hash[header.employer].decode())],
        private_writes=private,
        validation_code=validation_code,
    )


def _write_lines(
    book: _Book, header: _Header, lines: list[_Line]
) -> tuple[list[SimWrite], list[bytes]]:
    """Return each record's write and its row in the arguments."""
    template = _template(book, header)
    occupations = book.occupations[header.sector]
    yymm = book.yymm[book.payrolls.month[header.payroll]]
    writes, rows = [], []
    for sequence, kind, worker, amount, days, rail, ref, reverses in lines:
        name = record_id(yymm, header.payroll, sequence, kind)
        digest = book.payment(ref)
        skill = book.skill[worker]
        original = b"null"
        if reverses:
            original = b'"%b"' % record_id(yymm, header.payroll, sequence, RUN)
        value = template % (
            name,
            book.worker_hash[worker],
            amount,
            days,
            _RAIL_NAMES[rail],
            hexlify(digest),
            occupations[skill],
            _SKILLS[skill],
            original,
        )
        writes.append(SimWrite(f"\x00wage\x00{name.decode()}\x00", value))
        rows.append(
            b'["%d%b","%b",%d,%d,%d,"%b",%d]'
            % (
                sequence,
                SUFFIXES[kind],
                book.worker_short[worker],
                amount,
                days,
                rail,
                _short(digest),
                skill,
            )
        )
    return writes, rows


def _template(book: _Book, header: _Header) -> bytes:
    """Return the wage record's JSON with all that a payroll's records share filled in."""
    districts = book.world.districts
    return _RECORD % (
        book.employer_hash[header.employer],
        header.period_from,
        header.period_to,
        header.paid_at,
        levels.SECTORS[header.sector].nic.encode(),
        districts.state_code[header.place],
        districts.code[header.place],
        header.policy,
        b"null" if header.document is None else b'"%b"' % header.document.hex().encode(),
    )


def _arguments(book: _Book, header: _Header, rows: list[bytes]) -> bytes:
    """Return the call's one argument: the payroll's header and a short row for each record.

    A row is [number and kind, worker, paise, days, rail, payment, skill]. Sector, state and
    district come from the employer's own registration, the occupation from sector and skill.
    """
    start = b'{"payroll":%d,"employer":"%b","from":"%b","to":"%b","paidAt":"%b","policy":"%b",' % (
        header.payroll,
        _short(bytes.fromhex(book.employer_hash[header.employer].decode())),
        header.period_from,
        header.period_to,
        header.paid_at,
        header.policy,
    )
    document = b"null" if header.document is None else b'"%b"' % _short(header.document)
    return start + b'"document":%b,"records":[%b]}' % (document, b",".join(rows))


def _registrations(world: World) -> Iterator[SimTransaction]:
    """Yield one registerEmployer for each employer, in the weeks before the first month."""
    rng = stream(world.seed, "ledger.registrations")
    firms = world.employers
    begin = (np.datetime64(world.start, "D").astype(np.int64) - REGISTRATION_DAYS) * DAY
    offsets = np.sort(rng.integers(0, (REGISTRATION_DAYS - 1) * DAY, len(firms.sector)))
    order = rng.permutation(len(firms.sector))
    for employer, offset in zip(order.tolist(), offsets.tolist(), strict=True):
        when = int(begin) + offset
        place = firms.district[employer]
        identifier = firms.hash_hex[employer].decode()
        value = {
            "docType": "employer",
            "employerIdHash": identifier,
            "sector": levels.SECTORS[firms.sector[employer]].nic,
            "stateCode": int(world.districts.state_code[place]),
            "districtCode": int(world.districts.code[place]),
            "registeredAt": _rfc3339(when).decode(),
            "status": "active",
        }
        encoded = orjson.dumps(value)
        yield SimTransaction(
            submitted_at=_at(when),
            function="registerEmployer",
            args=[encoded],
            writes=[SimWrite(composite_key("employer", identifier), encoded)],
            creator=int(place),
        )


def _classified(world: World) -> np.ndarray:
    """Return the workers whose status is updated at the end of the period."""
    rng = stream(world.seed, "ledger.status")
    size = len(world.workers.household)
    return rng.choice(size, max(1, round(size * STATUS_SHARE)), replace=False)


def _status_updates(world: World) -> Iterator[SimTransaction]:
    """Yield updateBPLStatus transactions in the last ten days of the period."""
    rng = stream(world.seed, "ledger.status.times")
    chosen = _classified(world)
    end = month_starts(world.start, world.months)[-1].astype(np.int64) * DAY
    times = np.sort(rng.integers(end - 10 * DAY, end, len(chosen)))
    is_poor = rng.random(len(chosen)) < 0.2
    is_reviewed = rng.random(len(chosen)) < 0.3
    for row, (worker, when) in enumerate(zip(chosen.tolist(), times.tolist(), strict=True)):
        identifier = world.workers.hash_hex[worker].decode()
        value = {
            "docType": "status",
            "workerIdHash": identifier,
            "classification": "BPL" if is_poor[row] else "APL",
            "lineId": LINE_ID,
            "decidedAt": _rfc3339(when).decode(),
            "modelId": INCUMBENT_MODEL,
            "reasonCodes": ["recorded_wage_low" if is_poor[row] else "recorded_wage_sufficient"],
            "reviewer": f"officer-{worker % 40:02d}" if is_reviewed[row] else None,
        }
        encoded = orjson.dumps(value)
        yield SimTransaction(
            submitted_at=_at(when),
            function="updateBPLStatus",
            args=[encoded],
            writes=[SimWrite(composite_key("status", identifier), encoded)],
            creator=int(world.workers.district[worker]),
        )
