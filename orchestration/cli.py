"""The ``tracient`` command: a contract with its users, so change it with care.

Exit codes: 0 good, 1 a verification or check failed, 2 wrong use. Heavy modules are imported by
the command that needs them, so that help and errors come at once.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson
from rich.console import Console

from orchestration.feeds.common import FeedError
from orchestration.home import DEFAULT_HOME, HOME_VARIABLE, Home, HomeError

FAILED, WRONG_USE = 1, 2


def _home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        envvar=HOME_VARIABLE,
        default=DEFAULT_HOME,
        show_default=True,
        help="Folder that holds everything this deployment knows.",
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def _print_json(content: Any) -> None:
    sys.stdout.buffer.write(
        orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracient")
def cli() -> None:
    """Policy analytics that anyone can verify."""


@cli.command()
@_home_option
@click.option("--workers", default=60_000, show_default=True, help="Workers of the sample.")
@click.option("--batches", default=4_000, show_default=True, help="Batches of the sample.")
@click.option("--seed", default=2024, show_default=True, help="Seed of the sample.")
def run(home: Path, workers: int, batches: int, seed: int) -> None:
    """Run the main job: ingest, verify, curate, anchor, train, release.

    Where nothing has landed yet, a simulated sample of both ledgers lands first.
    """
    from orchestration.run import run_main  # noqa: PLC0415
    from orchestration.sample import SampleSize  # noqa: PLC0415
    from orchestration.summary import print_run  # noqa: PLC0415

    place = Home.resolve(home).create()
    console = Console()
    with place.writing("tracient run"), console.status("starting") as line:
        report = run_main(place, SampleSize(workers, batches, seed), _say(console, line.update))
    print_run(console, place, report)
    sys.exit(0 if report.is_ok else FAILED)


def _say(console: Console, update: Callable[[str], None]) -> Callable[[str], None]:
    """Return a progress line on a terminal, and plain lines where there is none."""
    return update if console.is_terminal else lambda text: console.print(text, highlight=False)


@cli.command()
@click.argument("network", type=click.Choice(["wages", "pharma"]))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", default=2024, show_default=True)
@click.option("--workers", default=60_000, show_default=True, help="For wages.")
@click.option("--batches", default=4_000, show_default=True, help="For pharma.")
@_home_option
def simulate(network: str, out: Path, seed: int, workers: int, batches: int, home: Path) -> None:
    """Write a simulated network's export, its feeds and the truth behind them to a folder."""
    from orchestration.sample import SampleSize, simulate_domain  # noqa: PLC0415

    del home  # Accepted as everywhere; a simulation touches no home.
    if out.exists() and any(out.iterdir()):
        raise click.UsageError(f"{out}: expected an empty or new folder; found files in it.")
    out.mkdir(parents=True, exist_ok=True)
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"simulating {network}", total=None)
        simulate_domain(
            network,
            out,
            SampleSize(workers, batches, seed),
            lambda done, total=None: bar.update(task, completed=done, total=total),
        )
    exports = [str(path) for path in sorted(out.iterdir()) if path.name != "truth"]
    click.echo(f"Wrote {network} to {out}. Land it with: tracient ingest {' '.join(exports)}")


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_home_option
@_json_option
def ingest(paths: tuple[Path, ...], home: Path, as_json: bool) -> None:
    """Land exports and feeds, verify them, and add them to the raw tables."""
    from orchestration.landing import Register, land, quarantine_unknown  # noqa: PLC0415
    from orchestration.sources import sniffers  # noqa: PLC0415

    place = Home.resolve(home).create()
    console = Console(stderr=as_json)
    with place.writing("tracient ingest"):
        landed = land(place, paths, sniffers())
        kept = [(path, why, quarantine_unknown(place, path, why)) for path, why in landed.unknown]
        report = _ingest_landed(place) if landed.deliveries else None
    wanted = {delivery.delivery_id for delivery in landed.deliveries}
    outcomes = [row for row in Register(place).all() if row.delivery_id in wanted]
    is_ok = not kept and (report is None or report.is_ok)
    is_ok = is_ok and all(row.status == "ingested" for row in outcomes)
    if as_json:
        _print_json(
            {
                "deliveries": [asdict(row) for row in outcomes],
                "already_landed": landed.already,
                "unrecognised": [{"file": path.name, "reason": why} for path, why, _ in kept],
                "failures": report.failures if report else [],
            }
        )
    else:
        _print_ingest(console, outcomes, landed.already, kept, report)
    sys.exit(0 if is_ok else FAILED)


def _ingest_landed(place: Home) -> Any:
    from orchestration.run import run_ingest  # noqa: PLC0415

    return run_ingest(place, lambda _: None)


def _print_ingest(
    console: Console, outcomes: list[Any], already: Any, kept: list[Any], report: Any
) -> None:
    for row in outcomes:
        if row.status == "ingested":
            rows = ", ".join(f"{name} {count}" for name, count in row.summary["rows"].items())
            console.print(
                f"Ingested {row.kind}: {rows or 'no new row'}.", soft_wrap=True, highlight=False
            )
        else:
            reason = row.summary.get("reason", "the run stopped before it; run it again")
            console.print(f"[red]Refused {row.kind}[/]: {reason}", soft_wrap=True)
    for name in already:
        console.print(f"Already landed, nothing to do: {name}")
    for _, why, folder in kept:
        console.print(f"[red]Not recognised[/]: {why} Kept in {folder}.", soft_wrap=True)
    for step, reason in report.failures if report else []:
        console.print(f"[red]{step}[/]: {reason}", soft_wrap=True)


@cli.group()
def ledger() -> None:
    """Work with ledger exports without a home."""


@ledger.command("verify")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_home_option
@_json_option
def verify_ledger(paths: tuple[Path, ...], home: Path, as_json: bool) -> None:
    """Verify a ledger export; with --json, list the blocks with errors as Fabric's tool does."""
    from orchestration.verification import verify_paths  # noqa: PLC0415

    del home  # Accepted as everywhere; verification reads only the export.
    reports = verify_paths(paths)
    errors = [error for report in reports for error in report.errors]
    if as_json:
        _print_json(errors)
    else:
        _print_verification(Console(), reports)
    sys.exit(FAILED if errors else 0)


def _print_verification(console: Console, reports: list[Any]) -> None:
    for report in reports:
        console.print(
            f"[bold]{report.network}[/] ({report.container}): {report.blocks} blocks, "
            f"{report.transactions} transactions",
            highlight=False,
        )
        for check in report.checks:
            if check.is_possible:
                state = f"{check.covered} checked, {check.failed} failed"
            else:
                state = "not checked"
            note = f" ({check.note})" if check.note else ""
            console.print(f"  {check.check}: {state}{note}", soft_wrap=True, highlight=False)
        for error in report.errors:
            console.print(f"  [red]block {error['blockNum']}[/]: {', '.join(error['errors'])}")
        for note in report.notes:
            console.print(f"  note: {note}", soft_wrap=True, highlight=False)


@cli.command()
@_home_option
@_json_option
def status(home: Path, as_json: bool) -> None:
    """List datasets with snapshots, rows, roots, log index and check results."""
    from orchestration.status import status as state_of  # noqa: PLC0415

    state = state_of(Home.resolve(home))
    if as_json:
        _print_json(state)
    else:
        from orchestration.summary import print_status  # noqa: PLC0415

        print_status(Console(), state)


@cli.group()
def witness() -> None:
    """Witnesses: others who sign that a log has only grown."""


@witness.command("demo")
@_home_option
@_json_option
def witness_demo(home: Path, as_json: bool) -> None:
    """Run three witnesses here for a moment: what they cosign, and what they refuse."""
    from ledger_anchor.errors import AnchorError  # noqa: PLC0415
    from orchestration.witness_demo import print_demo, run_demo  # noqa: PLC0415

    try:
        report = run_demo(Home.resolve(home))
    except AnchorError as error:
        _fail(str(error), FAILED)
    if as_json:
        _print_json(asdict(report) | {"is_ok": report.is_ok})
    else:
        print_demo(Console(), report)
    sys.exit(0 if report.is_ok else FAILED)


@cli.command()
@_home_option
@click.option("--port", default=8501, show_default=True)
def dashboard(home: Path, port: int) -> None:
    """Open the dashboards; they read released files, model cards and the log only."""
    place = Home.resolve(home)
    # A process of its own: the apps and this package do not know each other.
    command = [sys.executable, "-m", "apps.launch", "--home", str(place.root), "--port", str(port)]
    sys.exit(_until_interrupted(command, dict(os.environ)))


@cli.command()
@_home_option
@click.option("--port", default=3000, show_default=True)
def dagster(home: Path, port: int) -> None:
    """Open the Dagster UI on this home's runs and assets."""
    from orchestration.instance import environment  # noqa: PLC0415

    place = Home.resolve(home).create()
    program = str(Path(sys.executable).with_name("dagster"))
    command = [program, "dev", "-m", "orchestration.definitions", "-p", str(port)]
    sys.exit(_until_interrupted(command, {**os.environ, **environment(place)}))


def _until_interrupted(command: list[str], environment: dict[str, str]) -> int:
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


@cli.command()
@_home_option
@click.option("--part", "parts", multiple=True, help="main-job or anchor; both if not given.")
def bench(home: Path, parts: tuple[str, ...]) -> None:
    """Measure the main job and the log in homes of their own, into HOME/bench/results.json."""
    from orchestration.bench import PARTS, run_bench  # noqa: PLC0415

    unknown = set(parts) - set(PARTS)
    if unknown:
        _fail(f"expected --part {' or '.join(PARTS)}; found {', '.join(unknown)}", WRONG_USE)
    is_done = run_bench(Home.resolve(home).create(), Console(), parts or PARTS)
    sys.exit(0 if is_done else FAILED)


def main() -> None:
    """Run the command; every foreseeable error is one clear message and an exit code."""
    try:
        cli.main(standalone_mode=True)
    except (FeedError, HomeError) as error:
        _fail(str(error), WRONG_USE if isinstance(error, HomeError) else FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(
            f"{error.filename or 'the home'}: expected free space to write to; found a full disk. "
            "Free some and run the same command again: what was there is unchanged.",
            FAILED,
        )
    except KeyboardInterrupt:
        _fail("Interrupted; run the same command again to go on.", 130)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
