"""A git repository of checkpoints: what is published there stays, and is compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ledger_anchor.errors import (
    ExternalAnchorError,
    ExternalConflictError,
    ExternalHistoryError,
    ExternalSetupError,
    ExternalUnreachableError,
    LogCorruptError,
    NoteError,
)
from ledger_anchor.external.base import check_external, origin_hash, publish_checkpoint
from ledger_anchor.external.git import GitAnchor
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.log import LogWriter
from ledger_anchor.tlog.log_reader import LogReader
from ledger_anchor.tree import range_root

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

KEY = SignerKey("example.org/log", bytes(range(32)))
FOLDER = origin_hash(KEY.name).hex()
IDENTITY = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]


class Log:
    """A log that tests grow, fork and roll back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = folder / "log"
        self.writer = LogWriter(self.public, KEY, folder / "state", folder / "lock")

    def grow(self, *entries: str) -> LogReader:
        self.writer.append([entry.encode() for entry in entries])
        return self.reader()

    def reader(self) -> LogReader:
        return LogReader(self.public, KEY.verifier())

    def copy(self, folder: Path) -> Log:
        shutil.copytree(self.folder, folder)
        return Log(folder)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three entries; the same with a fourth, and a repository with both checkpoints."""
    folder = tmp_path_factory.mktemp("templates")
    small = Log(folder / "small")
    anchor = GitAnchor(folder / "anchor.git")
    publish_checkpoint(small.grow("a", "b", "c"), anchor)
    publish_checkpoint(small.copy(folder / "grown").grow("d"), anchor)
    return folder


@pytest.fixture
def log(tmp_path: Path, templates: Path) -> Log:
    return Log(templates / "small").copy(tmp_path / "log")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "anchor.git"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    return path


def git(folder: Path, *arguments: str, data: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *IDENTITY, *arguments],
        input=data, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def sizes(anchor: GitAnchor) -> list[int]:
    return [published.size for published in anchor.published(KEY.name)]


def signed(size: int, root: bytes, signer: SignerKey = KEY) -> bytes:
    return Checkpoint(KEY.name, size, root).sign(signer).encode()


def tamper(repository: Path, path: str, content: str | None, mode: str = "100644") -> str:
    """Commit a change by hand, as somebody with write access could; returns the commit."""
    change = f"D {path}\n"
    if content is not None:
        change = f"M {mode} inline {path}\ndata {len(content.encode())}\n{content}\n"
    commit = "commit refs/heads/main\ncommitter S <s@example.org> 0 +0000\ndata 0\n"
    stream = f"{commit}from refs/heads/main^0\n{change}"
    git(repository, "fast-import", "--quiet", "--date-format=raw-permissive", data=stream)
    return git(repository, "rev-parse", "main")


def problems(reader: LogReader, anchor: GitAnchor) -> list[str]:
    return [finding.problem for finding in check_external(reader, anchor).findings]


# Publishing and reading back.


def test_a_checkpoint_is_one_commit_with_the_note_verbatim(log: Log, repository: Path) -> None:
    receipt = publish_checkpoint(log.reader(), GitAnchor(repository))
    note = log.reader().checkpoint_note()
    assert (receipt.is_new, receipt.published.size) == (True, 3)
    assert git(repository, "rev-list", "--count", "main") == "1"
    for name in ("003.checkpoint", "latest"):
        assert git(repository, "show", f"main:{FOLDER}/{name}") == note.decode().strip()
    assert git(repository, "rev-parse", "--is-bare-repository") == "true"
    assert git(repository, "log", "-1", "--format=%an <%ae>%n%s", "main").splitlines() == [
        "ledger-anchor <ledger-anchor@localhost>",
        "Checkpoint of size 3",
    ]
    git(repository, "fsck", "--strict")
    assert json.loads(json.dumps(receipt.to_json()))["size"] == 3


def test_publishing_the_same_checkpoint_again_changes_nothing(log: Log, repository: Path) -> None:
    anchor = GitAnchor(repository)
    publish_checkpoint(log.reader(), anchor)
    head = git(repository, "rev-parse", "main")
    again = publish_checkpoint(log.reader(), anchor)
    assert not again.is_new
    assert head in again.published.where
    assert git(repository, "rev-parse", "main") == head


def test_a_log_that_only_grew_agrees_with_everything_published(log: Log, repository: Path) -> None:
    anchor = GitAnchor(repository)
    for number in range(4):
        publish_checkpoint(log.grow(*f"entry {number}".split()), anchor)
    report = check_external(log.grow("more"), anchor)
    assert report.is_ok
    assert (report.checked, report.checkpoint.size) == (4, 12)
    assert report.newest is not None
    assert report.newest.size == 11
    shown = json.loads(json.dumps(report.to_json()))
    assert (shown["is_ok"], shown["checked"], shown["findings"]) == (True, 4, [])
    assert shown["newest"]["when"].endswith("Z")


def test_large_sizes_are_filed_like_tiles(repository: Path) -> None:
    anchor = GitAnchor(repository)
    for size in (999, 1000, 1234067):
        anchor.publish(signed(size, bytes(32)))
    listed = git(repository, "ls-tree", "-r", "--name-only", f"main:{FOLDER}").splitlines()
    assert listed == [
        "999.checkpoint",
        "latest",
        "x001/000.checkpoint",
        "x001/x234/067.checkpoint",
    ]
    assert sizes(anchor) == [999, 1000, 1234067]


def test_two_logs_share_a_repository(log: Log, repository: Path) -> None:
    anchor = GitAnchor(repository)
    other = SignerKey("example.org/other", bytes(32))
    publish_checkpoint(log.reader(), anchor)
    anchor.publish(Checkpoint(other.name, 9, bytes(32)).sign(other).encode())
    assert sizes(anchor) == [3]
    assert [published.size for published in anchor.published(other.name)] == [9]


def test_where_nothing_is_published_nothing_is_good(log: Log, repository: Path) -> None:
    git(repository.parent, "init", "--quiet", "--bare", str(repository))
    report = check_external(log.reader(), GitAnchor(repository))
    assert not report.is_ok
    assert [finding.problem for finding in report.findings] == ["nothing_published"]


# A log that did not only grow.


def test_a_rewritten_log_is_found_and_not_published(
    tmp_path: Path, log: Log, repository: Path
) -> None:
    anchor = GitAnchor(repository)
    published = publish_checkpoint(log.reader(), anchor).published
    forked = Log(tmp_path / "forked").grow("a", "B", "c", "d")
    (finding,) = check_external(forked, anchor).findings
    assert finding.problem == "not_prefix"
    assert published.root.hex() in finding.words
    assert finding.found == range_root(forked.tree(), 0, 3)
    with pytest.raises(ExternalConflictError, match="rewritten or forked; nothing was published"):
        publish_checkpoint(forked, anchor)
    assert sizes(anchor) == [3]


def test_a_log_that_shrank_is_found_and_not_published(
    tmp_path: Path, log: Log, repository: Path
) -> None:
    anchor = GitAnchor(repository)
    old = log.copy(tmp_path / "old")
    publish_checkpoint(log.grow("d"), anchor)
    assert problems(old.reader(), anchor) == ["log_shrank"]
    with pytest.raises(ExternalConflictError, match="it shrank, or this copy of it is behind"):
        publish_checkpoint(old.reader(), anchor)


def test_two_roots_at_one_size_are_told_apart(tmp_path: Path, log: Log, repository: Path) -> None:
    anchor = GitAnchor(repository)
    publish_checkpoint(log.reader(), anchor)
    forked = Log(tmp_path / "forked").grow("a", "B", "c")
    assert problems(forked, anchor) == ["not_prefix"]
    with pytest.raises(ExternalConflictError, match="another root at size 3"):
        anchor.publish(forked.checkpoint_note())


def test_tiles_that_do_not_lead_to_the_signed_root_accuse_nobody_of_a_fork(
    log: Log, repository: Path
) -> None:
    anchor = GitAnchor(repository)
    publish_checkpoint(log.reader(), anchor)
    log.grow("d", "e")
    tile = log.public / "tile" / "0" / "000.p" / "5"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(LogCorruptError):
        check_external(log.reader(), anchor)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"not a note",
        signed(3, bytes(32)).replace(b"\n3\n", b"\n03\n"),
        signed(3, bytes(32)).replace(b"\n\n", b"\n"),
        Checkpoint(KEY.name, 0, origin_hash("")).sign(KEY).encode(),
    ],
)
def test_what_is_no_signed_checkpoint_is_not_published(note: bytes, repository: Path) -> None:
    with pytest.raises(NoteError):
        GitAnchor(repository).publish(note)
    assert not repository.exists()


# A remote.


def test_a_checkpoint_is_pushed(log: Log, repository: Path, remote: Path) -> None:
    anchor = GitAnchor(repository, remote)
    publish_checkpoint(log.reader(), anchor)
    publish_checkpoint(log.grow("d"), anchor)
    assert git(remote, "rev-parse", "main") == git(repository, "rev-parse", "main")
    assert sizes(GitAnchor(remote)) == [3, 4]
    assert check_external(log.reader(), anchor).is_ok


def test_who_pushed_first_is_fetched_and_built_upon(
    tmp_path: Path, log: Log, repository: Path, remote: Path
) -> None:
    mine, theirs = GitAnchor(repository, remote), GitAnchor(tmp_path / "theirs.git", remote)
    publish_checkpoint(log.reader(), mine)
    publish_checkpoint(log.grow("d"), theirs)
    assert publish_checkpoint(log.grow("e"), mine).is_new
    assert sizes(GitAnchor(remote)) == [3, 4, 5]
    assert git(remote, "rev-list", "--count", "--min-parents=2", "main") == "0"


def test_losing_a_race_puts_ours_on_top_of_theirs(
    tmp_path: Path, log: Log, repository: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = GitAnchor(repository, remote), GitAnchor(tmp_path / "theirs.git", remote)
    old = log.copy(tmp_path / "old").reader()
    reader = log.grow("d")
    push = mine._push
    races = iter([old])

    def late() -> bool:
        for older in races:
            publish_checkpoint(older, theirs)
        return push()

    monkeypatch.setattr(mine, "_push", late)
    assert publish_checkpoint(reader, mine).is_new
    assert sizes(GitAnchor(remote)) == [3, 4]
    assert git(remote, "rev-list", "--count", "main") == "2"


def test_a_race_lost_to_a_fork_of_the_log_publishes_nothing(
    tmp_path: Path, log: Log, repository: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = GitAnchor(repository, remote), GitAnchor(tmp_path / "theirs.git", remote)
    forked = Log(tmp_path / "forked").grow("a", "B")
    push = mine._push

    def late() -> bool:
        publish_checkpoint(forked, theirs)
        return push()

    monkeypatch.setattr(mine, "_push", late)
    with pytest.raises(ExternalConflictError, match="rewritten or forked"):
        publish_checkpoint(log.reader(), mine)
    assert sizes(GitAnchor(remote)) == [2]


def test_without_the_remote_the_commit_is_kept_for_the_next_time(
    tmp_path: Path, log: Log, repository: Path, remote: Path
) -> None:
    anchor = GitAnchor(repository, remote)
    away = remote.rename(tmp_path / "away.git")
    with pytest.raises(ExternalUnreachableError, match=r"is kept in .* the next publication"):
        publish_checkpoint(log.reader(), anchor)
    with pytest.raises(ExternalUnreachableError):
        check_external(log.reader(), anchor)
    away.rename(remote)
    assert publish_checkpoint(log.reader(), anchor).is_new
    assert not publish_checkpoint(log.reader(), anchor).is_new
    assert sizes(GitAnchor(remote)) == [3]


def test_a_kept_commit_goes_out_on_top_of_what_others_pushed(
    tmp_path: Path, log: Log, repository: Path, remote: Path
) -> None:
    theirs = GitAnchor(tmp_path / "theirs.git", remote)
    publish_checkpoint(log.reader(), theirs)
    mine, away = GitAnchor(repository, remote), tmp_path / "away.git"
    for entry in "de":
        reader = log.grow(entry)
        remote.rename(away)
        with pytest.raises(ExternalUnreachableError):
            publish_checkpoint(reader, mine)
        away.rename(remote)
    assert publish_checkpoint(log.grow("f"), mine).is_new
    assert sizes(GitAnchor(remote)) == [3, 4, 5, 6]
    assert git(remote, "rev-list", "--count", "--min-parents=2", "main") == "0"
    assert len(git(repository, "for-each-ref", "refs/ledger-anchor/set-aside").splitlines()) == 1


def test_a_kept_commit_that_others_overtook_is_set_aside(
    tmp_path: Path, log: Log, repository: Path, remote: Path
) -> None:
    mine, away, old = GitAnchor(repository, remote), tmp_path / "away.git", log.reader()
    remote.rename(away)
    with pytest.raises(ExternalUnreachableError):
        publish_checkpoint(old, mine)
    away.rename(remote)
    behind = log.copy(tmp_path / "behind").reader()
    publish_checkpoint(log.grow("d"), GitAnchor(tmp_path / "theirs.git", remote))
    with pytest.raises(ExternalConflictError, match="this copy of it is behind"):
        publish_checkpoint(behind, mine)
    publish_checkpoint(log.grow("e"), mine)
    assert sizes(GitAnchor(remote)) == [4, 5]
    assert len(git(repository, "for-each-ref", "refs/ledger-anchor/set-aside").splitlines()) == 1


def test_a_remote_that_refuses_is_named_and_the_commit_kept(
    log: Log, repository: Path, remote: Path
) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on my watch >&2\nexit 1\n")
    hook.chmod(0o755)
    anchor = GitAnchor(repository, remote)
    with pytest.raises(ExternalSetupError, match=r"refuses the commit: .*not on my watch"):
        publish_checkpoint(log.reader(), anchor)
    hook.unlink()
    assert publish_checkpoint(log.reader(), anchor).is_new


def test_a_remote_that_never_answers_ends_with_the_time_it_is_given(
    tmp_path: Path, log: Log, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nsleep 60\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    anchor = GitAnchor(repository, "someone@example.invalid:checkpoints.git", timeout_seconds=0.5)
    with pytest.raises(ExternalUnreachableError, match=r"took more than 0.5 seconds"):
        publish_checkpoint(log.reader(), anchor)


@pytest.mark.parametrize(
    ("remote_text", "message"),
    [
        ("--upload-pack=touch /tmp/x", "expected a path"),
        ("ext::sh -c touch% /tmp/x", "expected a path"),
        ("http://example.invalid/x.git", "expected a path"),
        ("git://example.invalid/x.git", "expected a path"),
        ("https://me:s3cret@example.invalid/x.git", "holds a password"),
        ("ssh://me:s3cret@example.invalid/x.git", "holds a password"),
        ("https://example.invalid/x.git\nother", "expected a path"),
    ],
)
def test_a_remote_names_no_option_no_program_and_no_password(
    repository: Path, remote_text: str, message: str
) -> None:
    with pytest.raises(ExternalSetupError, match=message) as caught:
        GitAnchor(repository, remote_text)
    assert "s3cret" not in str(caught.value)


# A history that somebody rewrote.


@pytest.fixture
def filled(log: Log, repository: Path, templates: Path) -> GitAnchor:
    shutil.rmtree(log.folder)
    shutil.copytree(templates / "grown", log.folder)
    shutil.copytree(templates / "anchor.git", repository)
    return GitAnchor(repository)


def first_file(number: int = 3) -> str:
    return f"{FOLDER}/{number:03d}.checkpoint"


def test_a_removed_checkpoint_is_named_and_still_compared(
    log: Log, repository: Path, filled: GitAnchor
) -> None:
    head = tamper(repository, first_file(), None)
    report = check_external(log.reader(), filled)
    assert [finding.words for finding in report.findings] == [
        f"commit {head} removes {first_file()}"
    ]
    assert report.checked == 2
    with pytest.raises(ExternalHistoryError, match=f"{head} removes .*nothing was published"):
        publish_checkpoint(log.grow("e"), filled)


def test_a_checkpoint_that_was_put_back_was_still_removed(
    log: Log, repository: Path, filled: GitAnchor
) -> None:
    note = git(repository, "show", f"main:{first_file()}") + "\n"
    tamper(repository, first_file(), None)
    tamper(repository, first_file(), note)
    assert problems(log.reader(), filled) == ["history_rewritten"]


def test_a_changed_checkpoint_is_named_and_both_are_compared(
    tmp_path: Path, log: Log, repository: Path, filled: GitAnchor
) -> None:
    forked = Log(tmp_path / "forked").grow("a", "B", "c").checkpoint_note().decode()
    head = tamper(repository, first_file(), forked)
    report = check_external(log.reader(), filled)
    assert [finding.problem for finding in report.findings] == ["not_prefix", "history_rewritten"]
    assert f"commit {head} changes {first_file()}" in report.findings[1].words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (first_file(9), "garbage", "is no checkpoint"),
        (first_file(9), "", "is no checkpoint"),
        (first_file(9), signed(8, bytes(32)).decode(), "belongs into"),
        (first_file(4)[:-14] + "x000/004.checkpoint", signed(4, bytes(32)).decode(), "belongs"),
        (f"{'0' * 64}/009.checkpoint", signed(9, bytes(32)).decode(), None),
        pytest.param(first_file(9), "x" * 1_000_001, "larger than", id="too-long"),
        (f"{FOLDER}/latest", signed(4, bytes(32)).decode(), "none of the checkpoints"),
        (f"{FOLDER}/notes.txt", "a remark", None),
        ("README", "a remark", None),
    ],
)
def test_content_of_others_is_parsed_strictly(
    log: Log, repository: Path, filled: GitAnchor, name: str, content: str, words: str | None
) -> None:
    head = tamper(repository, name, content)
    findings = check_external(log.reader(), filled).findings
    if words is None:
        assert findings == ()
    else:
        (finding,) = findings
        assert finding.problem == "history_rewritten"
        assert finding.words.startswith(f"commit {head}: {name}")
        assert words in finding.words


def test_a_link_in_place_of_a_checkpoint_is_not_followed(
    log: Log, repository: Path, filled: GitAnchor
) -> None:
    tamper(repository, first_file(9), "/etc/passwd", "120000")
    (finding,) = check_external(log.reader(), filled).findings
    assert "is not a plain file" in finding.words


def test_a_checkpoint_that_the_log_did_not_sign_says_nothing_of_the_log(
    log: Log, filled: GitAnchor
) -> None:
    forger = SignerKey(KEY.name, bytes(32))
    filled.publish(signed(9, bytes(32), forger))
    (finding,) = check_external(log.reader(), filled).findings
    assert finding.problem == "not_signed"


def test_a_remote_that_was_pushed_to_with_force_is_named(
    tmp_path: Path, log: Log, repository: Path, remote: Path
) -> None:
    anchor = GitAnchor(repository, remote)
    publish_checkpoint(log.reader(), anchor)
    publish_checkpoint(log.grow("d"), anchor)
    seen = git(remote, "rev-parse", "main")
    git(remote, "update-ref", "refs/heads/main", f"{seen}~1")
    for _ in range(2):  # it is not forgotten with the first answer
        (finding,) = check_external(log.reader(), anchor).findings
        assert f"go on from commit {seen}" in finding.words
    with pytest.raises(ExternalHistoryError, match="nothing was published"):
        publish_checkpoint(log.grow("e"), anchor)
    git(remote, "update-ref", "-d", "refs/heads/main")
    (finding,) = check_external(log.reader(), anchor).findings
    assert "the branch is gone" in finding.words
    git(remote, "update-ref", "refs/heads/main", seen)
    assert check_external(log.reader(), anchor).is_ok


def test_a_merge_by_hand_is_not_called_a_rewriting(
    tmp_path: Path, log: Log, repository: Path, filled: GitAnchor
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "checkout", "--quiet", "-b", "side", "HEAD~1")
    (clone / "README").write_text("a remark")
    git(clone, "add", "README")
    git(clone, "commit", "--quiet", "--message=side")
    git(clone, "merge", "--quiet", "--message=merge", "main")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    report = check_external(log.reader(), filled)
    assert (report.findings, report.checked) == ((), 2)


def test_replaced_objects_hide_nothing(log: Log, repository: Path, filled: GitAnchor) -> None:
    tamper(repository, first_file(), None)
    git(repository, "replace", "main", "main~1")
    assert problems(log.reader(), filled) == ["history_rewritten"]


# The machine around it.


def test_a_missing_object_is_not_fetched_behind_our_back(
    tmp_path: Path, log: Log, repository: Path, filled: GitAnchor
) -> None:
    witness = tmp_path / "something-ran"
    blob = git(repository, "rev-parse", f"main:{first_file()}")
    for name, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.url", "ssh://example.invalid/x.git"),
        ("remote.origin.promisor", "true"),
        ("core.sshCommand", f"touch '{witness}'; false"),
    ):
        git(repository, "config", name, value)
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ExternalSetupError, match="is damaged"):
        check_external(log.reader(), filled)
    assert not witness.exists()


def test_no_hook_and_no_variable_of_the_caller_has_a_say(
    tmp_path: Path, log: Log, repository: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = GitAnchor(repository, remote)
    publish_checkpoint(log.reader(), anchor)
    witness = tmp_path / "a-hook-ran"
    for name in ("reference-transaction", "pre-push", "post-commit", "pre-commit"):
        hook = repository / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{witness}'\n")
        hook.chmod(0o755)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody")
    publish_checkpoint(log.grow("d"), anchor)
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.delenv(name)
    assert not witness.exists()
    assert git(remote, "log", "-1", "--format=%an", "main") == "ledger-anchor"


def test_an_identity_of_ones_own_signs_the_commits(log: Log, repository: Path) -> None:
    publish_checkpoint(log.reader(), GitAnchor(repository, identity=("Auditor", "a@example.org")))
    assert git(repository, "log", "-1", "--format=%an %ce", "main") == "Auditor a@example.org"
    with pytest.raises(ExternalSetupError):
        GitAnchor(repository, identity=("", "a@example.org"))


def test_a_clone_with_a_working_tree_is_looked_at_and_not_written_to(
    tmp_path: Path, log: Log, repository: Path, filled: GitAnchor
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    assert check_external(log.reader(), GitAnchor(clone)).checked == 2
    with pytest.raises(ExternalSetupError, match="expected a bare repository"):
        publish_checkpoint(log.grow("e"), GitAnchor(clone))
    assert check_external(log.reader(), GitAnchor(clone, branch="other")).checked == 0


def test_a_shallow_clone_is_no_history(
    tmp_path: Path, log: Log, repository: Path, filled: GitAnchor
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone))
    with pytest.raises(ExternalSetupError, match="shallow clone"):
        check_external(log.reader(), GitAnchor(clone))


def test_what_is_no_repository_is_named(tmp_path: Path, log: Log, repository: Path) -> None:
    with pytest.raises(ExternalSetupError, match="no git repository"):
        check_external(log.reader(), GitAnchor(repository))
    repository.mkdir()
    (repository / "something").write_text("else")
    with pytest.raises(ExternalAnchorError, match="not a git repository"):
        publish_checkpoint(log.reader(), GitAnchor(repository))
    with pytest.raises(ExternalSetupError, match="not a name for a branch"):
        GitAnchor(repository, branch="-x")


def test_without_git_the_message_says_so(
    tmp_path: Path, log: Log, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExternalSetupError, match="git is not installed"):
        publish_checkpoint(log.reader(), GitAnchor(repository))
