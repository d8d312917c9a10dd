"""A git repository of checkpoints, which an auditor controls, as an external anchor.

What belongs here: publishing into such a repository, its remote, and what counts as rewriting it.
What does not: how its commits and files are read (``git_history``) and how git is started
(``git_program``). Layout of the branch, one commit for each checkpoint::

    <SHA-256 of the origin, hex>/x001/x234/067.checkpoint   the signed note of size 1234067
    <SHA-256 of the origin, hex>/latest                     the newest of them again

The repository here is bare: no file of it is ever checked out. Commits are made straight from
objects, the branch moves only forward, and nothing is ever pushed with force. Where others publish
too, their commits are fetched, compared with the log, and ours put on top of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger_anchor.errors import (
    ExternalConflictError,
    ExternalHistoryError,
    ExternalSetupError,
    ExternalUnreachableError,
)
from ledger_anchor.external.base import (
    Check,
    Published,
    Receipt,
    origin_hash,
    read_checkpoint,
    refuse_conflict,
)
from ledger_anchor.external.git_history import Entry, add_commits, read_history
from ledger_anchor.external.git_program import Git, GitFailedError
from ledger_anchor.files import locked, make_folder
from ledger_anchor.notes.checkpoint import Checkpoint

IDENTITY = ("ledger-anchor", "ledger-anchor@localhost")
_ATTEMPTS = 5
_LOCK = "ledger-anchor.lock"
_OURS = "refs/ledger-anchor"
_BRANCH = re.compile(r"(?!.*(\.\.|//|/\.|\.lock(/|$)|[./]$))[A-Za-z0-9][\w./-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_IDENTITY = re.compile(r"[\x00-\x1f\x7f<>]")
_SCP_LIKE = re.compile(r"[^/:]+:")
_URL = re.compile(r"(?:file|https|ssh)://(?:([^/@]*)@)?")


class GitAnchor:
    """Checkpoints in a git repository.

    Args:
        repository: folder of the repository; ``publish`` creates a bare one if there is none. To
            look only, a clone with a working tree does as well.
        remote: where it is pushed to and fetched from: a path, or an address with ssh or https.
            Who may do so is git's own affair (ssh keys, credential helpers).
        branch: the branch with the checkpoints.
        identity: name and e-mail address in commits; the same for everyone if not given, so that
            nobody's name gets into a public repository by chance.
        timeout_seconds: how long one run of git, or waiting for another process on the same
            repository, may take.
    """

    def __init__(
        self,
        repository: Path | str,
        remote: Path | str | None = None,
        branch: str = "main",
        identity: tuple[str, str] = IDENTITY,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.repository = Path(repository).absolute()
        self.remote = None if remote is None else _checked_remote(str(remote))
        if not _BRANCH.fullmatch(branch):
            raise ExternalSetupError(
                f"not a name for a branch: {branch!r}: letters, digits and . _ - / are"
            )
        self.branch = branch
        self.identity = identity
        if not all(part.strip() and not _NOT_IN_IDENTITY.search(part) for part in identity):
            raise ExternalSetupError("an identity is a name and an e-mail address, without < and >")
        self.timeout_seconds = timeout_seconds
        dotted = self.repository / ".git"
        self._git = Git(dotted if dotted.exists() else self.repository, timeout_seconds)
        self._head = f"refs/heads/{branch}"
        self._fetched = f"{_OURS}/fetched/{branch}"
        self._seen = f"{_OURS}/seen/{branch}"

    @property
    def name(self) -> str:
        """The repository, its branch and remote, for messages."""
        remote = "" if self.remote is None else f", remote {self.remote}"
        return f"git repository {self.repository} (branch {self.branch}{remote})"

    def publish(self, checkpoint_note: bytes, check: Check | None = None) -> Receipt:
        """Commit a checkpoint and push it; see ``ExternalAnchor.publish``.

        If the remote does not answer, the commit stays here and goes out with the next call.
        """
        checkpoint = read_checkpoint(checkpoint_note)
        self._prepare()
        with locked(self._git.folder / _LOCK, self.timeout_seconds):
            for _ in range(_ATTEMPTS):
                offline = self._fetch()
                receipt = self._commit(checkpoint, checkpoint_note, check)
                if offline is not None:
                    raise self._kept(offline)
                if self.remote is None or self._push():
                    return receipt
        raise ExternalConflictError(
            f"{self.name}: somebody else pushed first, {_ATTEMPTS} times in a row. The commit is "
            "kept here and goes out with the next publication"
        )

    def published(self, origin: str) -> Iterator[Published]:
        """Every checkpoint in the whole history of the branch; see ``ExternalAnchor.published``.

        A file that a later commit changed or removed is still yielded: it was published. So are
        commits that the remote no longer has but that were fetched from it before.
        """
        self._check_repository()
        if self.remote is not None:
            with locked(self._git.folder / _LOCK, self.timeout_seconds):
                offline = self._fetch()
            if offline is not None:
                raise offline
        entries, problems = self._history(origin, self._refs())
        yield from map(self._published, entries)
        if problems:
            raise ExternalHistoryError(self.name, tuple(problems))

    def _published(self, entry: Entry) -> Published:
        where = f"{self.repository}, commit {entry.commit}"
        return Published(
            entry.checkpoint.size, entry.checkpoint.root, where, entry.when, entry.note
        )

    def _prepare(self) -> None:
        """Create the repository if there is none; refuse one that must not be written to."""
        if not self.repository.exists() or _is_empty_folder(self.repository):
            make_folder(self.repository)
            # An empty template: no hook and no setting of this machine gets in.
            branch = f"--initial-branch={self.branch}"
            self._git.run("init", "--quiet", "--bare", "--template=", branch)
        if not self._check_repository():
            raise ExternalSetupError(
                f"{self.repository} has a working tree: expected a bare repository to publish "
                f"into. Make one with: git clone --bare {self.repository} FOLDER"
            )

    def _check_repository(self) -> bool:
        """Refuse what cannot be trusted with history; returns whether the repository is bare."""
        try:
            owner = self._git.folder.stat().st_uid
        except OSError:
            raise ExternalSetupError(f"there is no git repository at {self.repository}") from None
        if owner not in {os.geteuid(), 0}:
            # Settings of a repository can name programs; git itself refuses the same.
            raise ExternalSetupError(f"{self.repository} belongs to another user: not used")
        flags = ("--is-bare-repository", "--is-shallow-repository")
        is_bare, is_shallow = self._git.text("rev-parse", *flags).split()
        if is_shallow == "true":
            raise ExternalSetupError(
                f"{self.repository} is a shallow clone: its history is cut off. Complete it with: "
                "git fetch --unshallow"
            )
        return is_bare == "true"

    def _history(self, origin: str, refs: _Refs) -> tuple[list[Entry], list[str]]:
        """Every entry of a log that was ever in the branch, and what was done to rewrite it."""
        heads = [commit for commit in (refs.head, refs.seen, refs.fetched) if commit is not None]
        entries, problems = read_history(self._git, heads, origin_hash(origin).hex())
        if refs.seen is not None and not self._is_ancestor(refs.seen, refs.fetched):
            stands = refs.fetched is not None
            now = f"it stands at {refs.fetched}" if stands else "the branch is gone"
            problems.append(
                "the remote's history was rewritten: expected it to go on from commit "
                f"{refs.seen}, found that {now}"
            )
        return entries, problems

    def _commit(self, checkpoint: Checkpoint, note: bytes, check: Check | None) -> Receipt:
        """Put a checkpoint on top of everything that is known, unless it stands there."""
        refs = self._refs()
        entries, problems = self._history(checkpoint.origin, refs)
        if problems:
            raise ExternalHistoryError(
                self.name, (f"{problems[0]}; nothing was published", *problems[1:])
            )
        if check is not None:
            check([self._published(entry) for entry in entries])
        head = self._settle(refs)
        if head != refs.head:
            folder = origin_hash(checkpoint.origin).hex()
            entries, _ = read_history(self._git, [] if head is None else [head], folder)
        standing = {entry.checkpoint.size: entry for entry in entries}
        if refuse_conflict(checkpoint, [self._published(entry) for entry in entries]) is not None:
            known = standing[checkpoint.size]
            is_out = self.remote is None or self._is_ancestor(known.commit, refs.fetched)
            return Receipt(self.name, self._published(known), not is_out)
        when = int(time.time())
        add_commits(self._git, self._head, head, [(checkpoint, note)], self.identity, when)
        self._git.run("gc", "--auto", "--quiet")  # thousands of loose objects are slow to read
        made = Entry(checkpoint, note, self._refs().head or "", when)
        return Receipt(self.name, self._published(made), True)

    def _settle(self, refs: _Refs) -> str | None:
        """Bring the branch onto the remote's commits; ours that did not go out come on top.

        Returns:
            Where the branch stands then.
        """
        head, remote = refs.head, refs.fetched
        if remote is None or (head is not None and self._is_ancestor(remote, head)):
            return head
        if head is None or self._is_ancestor(head, remote):
            self._move((self._head, remote))
            return remote
        theirs, _ = read_history(self._git, [remote])
        newest = {entry.checkpoint.origin: entry.checkpoint.size for entry in theirs}
        pending, _ = read_history(self._git, [head], without=[remote])
        notes = [
            (entry.checkpoint, entry.note)
            for entry in pending
            if entry.checkpoint.size > newest.get(entry.checkpoint.origin, 0)
        ]
        # What is left behind stays in the repository, for whoever wants to look.
        self._move((f"{_OURS}/set-aside/{head}", head), (self._head, remote))
        if notes:
            when = int(time.time())
            add_commits(self._git, self._head, remote, notes, self.identity, when)
        return self._refs().head

    def _fetch(self) -> ExternalUnreachableError | None:
        """Learn where the remote stands; returns the error if it does not answer."""
        if self.remote is None:
            return None
        refs = self._refs()
        try:
            listed = self._git.run("ls-remote", "--", self.remote, self._head, may_connect=True)
            ids = [line.split()[0] for line in listed.decode().splitlines()]
            if ids == [refs.fetched]:
                return None
            if not ids:
                if refs.fetched is not None:
                    self._git.run("update-ref", "-d", self._fetched)
                return None
            self._git.run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--",
                self.remote, f"+{self._head}:{self._fetched}", may_connect=True,
            )  # fmt: skip
        except GitFailedError as error:
            return ExternalUnreachableError(
                f"{self.name}: the remote does not answer as it should: {error.words}"
            )
        fetched = self._refs().fetched
        # How far the remote has come is never forgotten, whatever it says later.
        if fetched is not None and (refs.seen is None or self._is_ancestor(refs.seen, fetched)):
            self._move((self._seen, fetched))
        return None

    def _push(self) -> bool:
        """Push the branch; returns False if somebody else was faster."""
        refs = self._refs()
        if self.remote is None or refs.head is None or refs.head == refs.fetched:
            return True
        try:
            self._git.run(
                "push", "--quiet", "--no-verify", "--", self.remote, f"{refs.head}:{self._head}",
                may_connect=True,
            )  # fmt: skip
        except GitFailedError as error:
            offline = self._fetch()
            if offline is not None:
                raise self._kept(offline) from error
            if self._refs().fetched == refs.fetched:
                raise ExternalSetupError(
                    f"{self.name}: the remote refuses the commit: {error.words}. It is kept here "
                    "and goes out with the next publication"
                ) from error
            return False
        self._move((self._fetched, refs.head), (self._seen, refs.head))
        return True

    def _kept(self, offline: ExternalUnreachableError) -> ExternalUnreachableError:
        return ExternalUnreachableError(
            f"{offline}. The commit is kept in {self.repository} and goes out with the next "
            "publication"
        )

    def _refs(self) -> _Refs:
        names = (self._head, self._fetched, self._seen)
        listed = self._git.text("for-each-ref", "--format=%(refname) %(objectname)", *names)
        found = dict(line.split() for line in listed.splitlines())
        return _Refs(*(found.get(name) for name in names))

    def _is_ancestor(self, older: str, newer: str | None) -> bool:
        """Whether a history goes on from a commit; no history goes on from nothing."""
        if newer is None or older == newer:
            return newer is not None
        return not self._git.text("rev-list", "--max-count=1", older, f"^{newer}")

    def _move(self, *moves: tuple[str, str]) -> None:
        """Set refs to commits, all or none."""
        lines = "".join(f"update {ref} {commit}\n" for ref, commit in moves)
        self._git.run("update-ref", "--no-deref", "--stdin", data=lines.encode())


@dataclass(frozen=True)
class _Refs:
    """Commits: of the branch here, of the remote's as it was found last, and ever.

    ``seen`` is like ``fetched``, but never moves back.
    """

    head: str | None
    fetched: str | None
    seen: str | None


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _checked_remote(remote: str) -> str:
    """A remote that names neither an option, nor a program, nor a password.

    Raises:
        ExternalSetupError: if it does; a password is not repeated.
    """
    expected = "expected a path, or an address that starts with ssh:// or https://"
    address = _URL.match(remote)
    if address is not None and ":" in (address[1] or ""):
        raise ExternalSetupError(
            "the remote's address holds a password: leave it out and let git's credential helper "
            "or an ssh key answer"
        )
    if remote.startswith("-") or _CONTROL.search(remote) or re.match(r"\w+::", remote):
        raise ExternalSetupError(f"not a remote repository: {expected}")
    if address is not None:
        return remote
    if "://" in remote:
        raise ExternalSetupError(f"not a remote repository: {expected}")
    return remote if _SCP_LIKE.match(remote) else str(Path(remote).absolute())
