"""Starting git: arguments as lists, a clean environment, and no program of the repository's.

What belongs here: how git runs and what its failure looks like. What does not: what it is asked
(``git``). Nothing is ever checked out, so filters, attributes, links and submodules of a hostile
repository have nothing to act on; hooks and transport helpers are off; missing objects are not
fetched on the sly; the GIT_* variables of the caller are dropped; and git can ask no question, for
it has no terminal.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ledger_anchor.errors import ExternalSetupError

_SETTINGS = {
    "core.askPass": "",
    # A checkpoint that was published is on the disk.
    "core.fsync": "committed,loose-object,reference",
    "core.hooksPath": os.devnull,
    "fetch.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "2000",
    "gc.autoDetach": "false",
    # Objects that nothing refers to may be evidence: they are packed, never dropped.
    "gc.pruneExpire": "never",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
}
_ENVIRONMENT = {
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    "SSH_ASKPASS_REQUIRE": "never",
}
_TRANSPORTS = "file:https:ssh"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PASSWORD = re.compile(r"://[^/@\s]*@")


class GitFailedError(ExternalSetupError):
    """Git ended with an error.

    Attributes:
        words: what it said last, with nothing that could be a password.
    """

    def __init__(self, folder: Path, words: str) -> None:
        self.words = words
        super().__init__(f"git repository {folder}: {words}")


class Git:
    """The git program on one repository.

    Args:
        folder: the repository's own folder (of a clone with a working tree: its ``.git``).
        timeout_seconds: how long one run may take.
    """

    def __init__(self, folder: Path, timeout_seconds: float) -> None:
        self.folder = folder
        self.timeout_seconds = timeout_seconds

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        variables: Mapping[str, str] | None = None,
        may_connect: bool = False,
    ) -> bytes:
        """Run one command and return what it prints.

        Args:
            arguments: the command and its arguments.
            data: its standard input.
            variables: further variables of its environment.
            may_connect: whether it may open a connection.

        Raises:
            GitFailedError: if it ends with an error or takes too long.
            ExternalSetupError: if there is no git.
        """
        command = ["git", "--no-pager", "--literal-pathspecs", f"--git-dir={self.folder}"]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        environment |= _ENVIRONMENT | dict(variables or {})
        environment["GIT_ALLOW_PROTOCOL"] = _TRANSPORTS if may_connect else ""
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise ExternalSetupError(
                "git is not installed, or not on PATH: a repository of checkpoints needs it "
                "(Debian: apt install git)"
            ) from None
        return self._answer(process, arguments[0], data)

    def _answer(self, process: subprocess.Popen[bytes], command: str, data: bytes) -> bytes:
        try:
            out, err = process.communicate(data, self.timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # ssh and its like too
            process.communicate()
            raise GitFailedError(
                self.folder, f"git {command} took more than {self.timeout_seconds:g} seconds"
            ) from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode:
            raise GitFailedError(self.folder, _last_words(err, command))
        return out

    def text(self, *arguments: str, data: bytes = b"") -> str:
        """Like ``run``, for one line of text."""
        return self.run(*arguments, data=data).decode("utf-8", "replace").strip()


def _last_words(err: bytes, command: str) -> str:
    lines = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))]
    words = "; ".join((telling or lines)[-3:]).rstrip(".") or f"git {command} failed without a word"
    return _PASSWORD.sub("://", _UNPRINTABLE.sub(" ", words))[:400]
