"""The command line ``ledger-anchor``.

What belongs here: the parser and what becomes of errors. What does not: the commands
(``ledger_anchor.commands``), any check or hash. Exit 0: good; 1: a verification failed; 2: wrong
use or the machine refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from ledger_anchor.commands import data, logs, network, proofs
from ledger_anchor.commands.common import FAILED, GOOD, WRONG_USE, Command, UsageError, show_json
from ledger_anchor.errors import (
    AnchorError,
    ExternalSetupError,
    ExternalUnreachableError,
    KeyFormatError,
    LockError,
    MissingLibraryError,
    PolicyError,
    StorageError,
    TableError,
    WitnessError,
)

_USAGE_ERRORS = (
    UsageError,
    ExternalSetupError,
    ExternalUnreachableError,
    KeyFormatError,
    LockError,
    MissingLibraryError,
    PolicyError,
    StorageError,
    TableError,
)
_COMMANDS = (*logs.COMMANDS, *data.COMMANDS, *proofs.COMMANDS, *network.COMMANDS)
_GROUPS = {
    "policy": "Policies: whose signatures a checkpoint needs.",
    "witness": "Run a witness: it signs a log's checkpoints as long as the log only grows.",
    "external": "Publish checkpoints to another system, and compare the log with them.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; ``sys.argv`` if not given.

    Returns:
        Exit code 0, 1 or 2.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run_command
    try:
        return command(options)
    except _USAGE_ERRORS as error:
        return _fail(options, str(error), WRONG_USE)
    except AnchorError as error:
        # A witness's folder that is unfit is wrong use; its subclasses are refusals.
        is_unfit = type(error) is WitnessError
        return _fail(options, str(error), WRONG_USE if is_unfit else FAILED)
    except BrokenPipeError:
        return GOOD
    except ModuleNotFoundError as error:
        message = f"this command needs the Python package {error.name}, which is not installed"
        return _fail(options, message, WRONG_USE)
    except OSError as error:
        return _fail(options, f"{error.filename or 'input'}: {error.strerror}", WRONG_USE)
    except KeyboardInterrupt:
        return _fail(options, "interrupted; nothing that was there before is lost", WRONG_USE)


def _fail(options: argparse.Namespace, message: str, code: int) -> int:
    if options.json:
        show_json({"is_ok": False, "error": message})
    sys.stderr.write(f"ledger-anchor: {message}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ledger-anchor", description="Commit dataset snapshots to a log, and check them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = {}
    for command in _COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group and group not in groups:
            words = _GROUPS[group]
            outer = commands.add_parser(group, help=words, description=words)
            groups[group] = outer.add_subparsers(required=True, metavar="COMMAND")
        _add(groups[group] if group else commands, name, command)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command
) -> None:
    parser = commands.add_parser(name, help=command.words, description=command.words)
    for flag, settings in command.arguments.items():
        parser.add_argument(*flag.split(), **settings)
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.set_defaults(run_command=command.run)


if __name__ == "__main__":
    sys.exit(main())
