"""Puts the simulated medicines trade together and writes it: ledger, documents, feeds, truth."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import orjson

from orchestration.feeds.simulate.pharma.business import papers
from orchestration.feeds.simulate.pharma.chain import Keys, Submission, write_ledger, write_nodes
from orchestration.feeds.simulate.pharma.documents import write_documents
from orchestration.feeds.simulate.pharma.events import CONTEXT, HOUR, Event
from orchestration.feeds.simulate.pharma.journeys import Batch, Emission, make_batches
from orchestration.feeds.simulate.pharma.outcomes import Inspection, inspect
from orchestration.feeds.simulate.pharma.tables import write_feeds, write_truth
from orchestration.feeds.simulate.pharma.world import World, make_world

DEFAULT_BATCHES = 4_000
DEFAULT_START = date(2024, 1, 1)
DEFAULT_MONTHS = 18
# Journeys must fit; a shorter period would leave no room for a batch.
SHORTEST_MONTHS = 4
EPCIS_TYPE = "EPCIS_EVENT"
# After every so many events a partner submits one that is broken, which a reader must refuse.
BROKEN_PAYLOAD_EVERY = 4_000
# Partners submit an event within this time.
SUBMISSION_DELAY = 6 * HOUR


@dataclass(frozen=True)
class PharmaSummary:
    """What a simulation wrote.

    Attributes:
        batches: Batches made.
        blocks: Blocks of the ledger.
        transactions: Transactions of the ledger, by type.
        ledger_events: EPCIS events on the ledger that are good.
        documents: EPCIS documents.
        document_events: EPCIS events in documents that are good.
        bad_events: Events that a reader must refuse, in ledger and documents.
        inspections: Inspected batches.
        failed_inspections: How many of them failed.
        faults: Faulty batches by kind of fault.
    """

    batches: int
    blocks: int
    transactions: dict[str, int]
    ledger_events: int
    documents: int
    document_events: int
    bad_events: int
    inspections: int
    failed_inspections: int
    faults: dict[str, int]


@dataclass(frozen=True)
class _Story:
    """Everything that happened, before any of it is written."""

    world: World
    batches: Sequence[Batch]
    inspections: Sequence[Inspection]
    start: date
    end: date
    seed: int

    def emissions(self, *, in_documents: bool) -> Iterator[Emission]:
        for batch in self.batches:
            for emission in batch.emissions:
                if emission.firm.sends_documents == in_documents:
                    yield emission


def simulate_pharma(
    out_dir: Path,
    *,
    seed: int,
    batches: int = DEFAULT_BATCHES,
    start: date = DEFAULT_START,
    months: int = DEFAULT_MONTHS,
    progress: Callable[[int], None] | None = None,
) -> PharmaSummary:
    """Simulate the medicines trade and write it below ``out_dir``.

    Writes ``ledger/eledger.ndjson`` and ``ledger/nodes.json``, ``epcis/*.json``,
    ``feeds/{gln_registry,product_master,inspections}.csv`` and, apart from what may be ingested,
    ``truth/{faults,batches,bad_events}.csv``.

    Args:
        out_dir: Folder to write to; made if it does not exist.
        seed: Same seed, same bytes.
        batches: Number of batches, at least 1.
        start: First day of the period.
        months: Length of the period, at least 4.
        progress: Called with the number of ledger transactions written so far.

    Raises:
        ValueError: If ``batches`` or ``months`` is too small.
        OSError: If the files cannot be written.
    """
    if batches < 1 or months < SHORTEST_MONTHS:
        raise ValueError(
            f"expected at least 1 batch and {SHORTEST_MONTHS} months; found {batches} and {months}"
        )
    story = _tell(seed, batches, start, _last_day(start, months))
    for name in ("ledger", "epcis", "feeds", "truth"):
        (out_dir / name).mkdir(parents=True, exist_ok=True)
    documents = write_documents(out_dir / "epcis", story.emissions(in_documents=True))
    submissions, broken = _submissions(story)
    blocks = _write_ledger(out_dir / "ledger", story, submissions, progress)
    write_feeds(out_dir / "feeds", story.world, story.inspections, story.end)
    write_truth(
        out_dir / "truth", story.batches, story.inspections, [*documents.bad_events, *broken]
    )
    kinds = Counter(submission.kind for submission in submissions)
    return PharmaSummary(
        batches=batches,
        blocks=blocks,
        transactions=dict(sorted(kinds.items())),
        ledger_events=kinds[EPCIS_TYPE] - len(broken),
        documents=documents.count,
        document_events=documents.events,
        bad_events=len(documents.bad_events) + len(broken),
        inspections=len(story.inspections),
        failed_inspections=sum(found.is_failed for found in story.inspections),
        faults=_fault_counts(story.batches),
    )


def _tell(seed: int, count: int, start: date, end: date) -> _Story:
    world = make_world(seed, start, end)
    batches = list(make_batches(world, seed=seed, count=count, start=start, end=end))
    return _Story(world, batches, inspect(batches, seed=seed), start, end, seed)


def _last_day(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, 1) - timedelta(days=1)


def _fault_counts(batches: Iterable[Batch]) -> dict[str, int]:
    return dict(sorted(Counter(fault.kind for batch in batches for fault in batch.faults).items()))


def _write_ledger(
    folder: Path,
    story: _Story,
    submissions: Sequence[Submission],
    progress: Callable[[int], None] | None,
) -> int:
    keys = Keys(story.seed)
    submitters = {submission.submitter for submission in submissions}
    write_nodes(folder / "nodes.json", keys, submitters, story.start)
    return write_ledger(
        folder / "eledger.ndjson",
        submissions,
        keys,
        seed=story.seed,
        since=story.start,
        progress=progress,
    )


def _submissions(story: _Story) -> tuple[list[Submission], list[str]]:
    """Return all transactions, and how the truth names the broken ones among them."""
    rng = random.Random(f"{story.seed}/submissions")
    submissions: list[Submission] = []
    broken: list[str] = []
    for number, emission in enumerate(story.emissions(in_documents=False), start=1):
        gln = emission.firm.gln
        when = emission.when + rng.randrange(60_000, SUBMISSION_DELAY)
        submissions.append(Submission(gln, when, EPCIS_TYPE, _payload(emission.event)))
        if number % BROKEN_PAYLOAD_EVERY == 0:
            bad = {**emission.event, "action": "CREATE"}
            submissions.append(Submission(gln, when + 1, EPCIS_TYPE, _payload(bad)))
            broken.append(f"ledger, submitted by {gln} at {when + 1}")
    submissions.extend(
        Submission(paper.firm.gln, paper.when, paper.kind, orjson.dumps(paper.payload).decode())
        for paper in papers(
            story.world,
            story.batches,
            story.inspections,
            seed=story.seed,
            start=story.start,
            end=story.end,
        )
    )
    return submissions, broken


def _payload(event: Event) -> str:
    # An event that stands alone brings the context that explains its prefixes.
    full = {"@context": CONTEXT, **event} if "ilmd" in event else event
    return orjson.dumps(full).decode()
