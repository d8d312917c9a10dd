"""What a run and a status look like at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from orchestration.files import read_json
from orchestration.home import Home
from orchestration.status import status

if TYPE_CHECKING:
    from orchestration.run import RunReport


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if is_number else "left")
    return table


def print_run(console: Console, home: Home, report: RunReport) -> None:
    """Print what was ingested, verified, rejected, trained, published and anchored, and how long.

    Args:
        console: Where to.
        home: The home that the run wrote.
        report: The run's report.
    """
    state = status(home)
    if not report.is_ok:
        console.print(f"\n[bold red]The run failed[/] after {report.seconds:.0f} s.")
        for step, reason in report.failures:
            console.print(f"  [bold]{step}[/]: {reason}", soft_wrap=True, highlight=False)
        console.print(f"  Full log: {home.dagster / 'last_run.log'}", soft_wrap=True)
    _print_ingested(console, home, state)
    _print_models(console, home, state)
    _print_releases(console, home, state)
    _print_anchors(console, state)
    _print_steps(console, report)
    if report.is_ok:
        _print_next(console, home)


def _print_ingested(console: Console, home: Home, state: Mapping[str, Any]) -> None:
    console.print("\n[bold]Ingested and verified[/]")
    table = _table("ledger", "network", ">blocks", ">transactions", ">checks", ">failures")
    unchecked: dict[str, str] = {}
    for delivery in state["deliveries"]:
        verified = read_json(home.state / "verification" / f"{delivery['delivery_id']}.json", {})
        if delivery["kind"].startswith("raw_") or not verified:
            continue
        report = verified["report"]
        done = [check for check in report["checks"] if check["is_possible"]]
        missing = [check["check"] for check in report["checks"] if not check["is_possible"]]
        table.add_row(
            delivery["kind"],
            report["network"],
            _number(report["blocks"]),
            _number(report["transactions"]),
            str(len(done)),
            _number(sum(check["failed"] for check in done)),
        )
        unchecked[delivery["kind"]] = ", ".join(missing)
    console.print(table)
    for kind, missing in unchecked.items():
        line = f"  Not checked of {kind}: {missing or 'nothing'}."
        console.print(line, soft_wrap=True, highlight=False)
    _print_feeds(console, home, state)


def _print_feeds(console: Console, home: Home, state: Mapping[str, Any]) -> None:
    feeds = [d for d in state["deliveries"] if d["kind"].startswith("raw_")]
    rows = sum(sum(d.get("rows", {}).values()) for d in feeds)
    console.print(f"  {len(feeds)} feeds with {_number(rows)} rows.", highlight=False)
    quarantine = state["quarantine"]
    console.print(
        f"  Rejected: {_number(quarantine['records'])} records, {quarantine['deliveries']} "
        f"deliveries, {quarantine['unrecognised_files']} unknown files; all kept in "
        f"{home.quarantine}",
        soft_wrap=True,
        highlight=False,
    )


def _print_models(console: Console, home: Home, state: Mapping[str, Any]) -> None:
    console.print("\n[bold]Trained and documented[/]")
    for model in state["models"]:
        outcome = read_json(home.state / "steps" / f"model-{model['model_id']}.json", {})
        gates: Mapping[str, str] = outcome.get("outcome", {}).get("gates", {})
        console.print(
            f"  {model['model_id']} {model['version']} ({model['status']}); "
            f"gates: {_tally(gates.values())}",
            soft_wrap=True,
            highlight=False,
        )
        card = home.models / model["path"] / "card.public.html"
        console.print(f"    card: {card}", soft_wrap=True, highlight=False)


def _tally(answers: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for answer in answers:
        counts[answer] = counts.get(answer, 0) + 1
    words = {
        "insufficient_evidence": "with insufficient evidence",
        "pass": "passed",
        "fail": "failed",
    }
    return ", ".join(f"{n} {words.get(answer, answer)}" for answer, n in counts.items()) or "none"


def _print_releases(console: Console, home: Home, state: Mapping[str, Any]) -> None:
    console.print("\n[bold]Published[/]")
    table = _table("release", "kind", "table", ">figures", ">published")
    for release in state["releases"]:
        if not release["is_current"]:
            continue
        for name, figures, published in published_shares(home, release):
            table.add_row(
                release["domain"], release["kind"], name, _number(figures), f"{published:.0%}"
            )
    console.print(table)


def published_shares(home: Home, release: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """Return name, number of figures and published share of each table of a release."""
    # Imported here: `tracient --help` need not load Arrow.
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder = home.released / release["path"]
    shares = []
    for table in read_json(folder / "manifest.json")["tables"]:
        flags = pq.read_table(folder / table["file"], columns=["is_published"])["is_published"]
        shares.append((table["name"], len(flags), pc.mean(flags.cast("int8")).as_py() or 0.0))
    return shares


def _print_anchors(console: Console, state: Mapping[str, Any]) -> None:
    datasets = state["datasets"]
    size = max((row["log_index"] for row in datasets), default=-1) + 1
    rows = sum(row["rows"] or 0 for row in datasets)
    console.print("\n[bold]Anchored[/]")
    console.print(
        f"  {len(datasets)} datasets, {_number(rows)} rows, under a signed checkpoint of "
        f"{size} log entries.",
        highlight=False,
    )


def _print_steps(console: Console, report: RunReport) -> None:
    console.print("\n[bold]Time[/]")
    table = _table("step", ">seconds", ">peak MiB")
    for step, seconds in sorted(report.steps.items(), key=lambda item: -item[1])[:12]:
        table.add_row(step, f"{seconds:.1f}", f"{report.step_peak_mib.get(step, 0):.0f}")
    table.add_row("[bold]all[/]", f"{report.seconds:.1f}", f"{report.peak_mib:.0f}")
    console.print(table)


def _print_next(console: Console, home: Home) -> None:
    console.print("\n[bold]Next[/]")
    programs, place = _relative(Path(sys.executable).parent), _relative(home.root)
    for command, purpose in (
        (f"{programs}/tracient dashboard --home {place}", "open the dashboards"),
        (f"{programs}/tracient dagster --home {place}", "open the Dagster UI with this run"),
        (f"{programs}/ledger-anchor verify --home {place}", "check the log and its proofs"),
        (f"{programs}/ledger-anchor audit --home {place}", "re-hash every anchored table"),
        (f"{programs}/tracient status --home {place}", "list datasets, snapshots and checks"),
    ):
        console.print(f"  {command:<46}  {purpose}", soft_wrap=True, highlight=False)


def _relative(path: Path) -> str:
    """Return a path as a person in this folder would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_status(console: Console, state: Mapping[str, Any]) -> None:
    """Print the state of a home as tables."""
    console.print(f"[bold]Home[/] {state['home']}", soft_wrap=True)
    if not state["datasets"]:
        console.print("Nothing is anchored yet. Run `tracient run` or `tracient ingest PATH`.")
    else:
        table = _table("dataset", "partition", ">rows", ">log index", "checks", "snapshot", "root")
        for row in state["datasets"]:
            checks = row["checks"]
            table.add_row(
                row["dataset"],
                row["partition"] or "",
                _number(row["rows"] or 0),
                str(row["log_index"]),
                f"{checks['passed']}/{checks['rules']}" if checks["rules"] else "-",
                row["snapshot_id"],
                row["root"][:16],
            )
        console.print(table, soft_wrap=True)
    quarantine = state["quarantine"]
    console.print(
        f"Quarantine: {_number(quarantine['records'])} records, {quarantine['deliveries']} "
        f"deliveries, {quarantine['unrecognised_files']} unknown files."
    )


def _number(value: int) -> str:
    """Group digits by lakh and crore, as the dashboards do."""
    digits = str(abs(value))
    head, tail = digits[:-3], digits[-3:]
    pairs = []
    while head:
        pairs.insert(0, head[-2:])
        head = head[:-2]
    return ("-" if value < 0 else "") + ",".join([*pairs, tail])
