"""`tracient witness demo`: three witnesses cosign a small home's log, and refuse what they must."""

from __future__ import annotations

import http.client
import json
import shutil
import stat
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from apps.data import Home as AppsHome
from ledger_anchor import FileSetSpec, SnapshotStore
from ledger_anchor.errors import QuorumError
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Policy
from ledger_anchor.tlog.log import LogReader
from ledger_anchor.tlog.proof import verify_proof
from ledger_anchor.tree import Tree, leaf_hash
from orchestration.home import Home, HomeError
from orchestration.witness_demo import NAMES, _Rewritten, run_demo


def commit(home: Path, *names: str) -> SnapshotStore:
    store = SnapshotStore(home)
    for name in names:
        path = home / "models" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        store.commit_files(FileSetSpec(f"model_{name}", "wages", "model", [path], path.parent))
    return store


@pytest.fixture(scope="module")
def shown(tmp_path_factory, tracient) -> tuple[Path, Path, CompletedProcess[str]]:
    """A home after the demo, the same home when it held one entry, and what the demo printed."""
    home = tmp_path_factory.mktemp("demo") / "home"
    home.mkdir()
    commit(home, "a")
    early = home.with_name("early")
    shutil.copytree(home, early)
    commit(home, "b", "c")
    return home, early, tracient("witness", "demo", "--home", home)


def copy_of(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "copy"))


def test_the_demo_tells_what_was_signed_and_what_was_refused(shown) -> None:
    done = shown[2]
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "fork: another entry 2, the same size\n    government, employers, auditors: 422: ",
        "fork: another entry 2, and one entry more\n    government, employers, auditors: 422: ",
        "rollback: the log without its newest entry\n    government, employers, auditors: 409: ",
        "auditors stopped: reached: ",
        "employers and auditors stopped: not reached: ",
        "The witnesses have stopped.",
    ):
        assert words in done.stdout
    assert done.stderr == ""


def test_the_log_is_cosigned_and_whoever_read_it_before_still_does(shown, ledger_anchor) -> None:
    home = shown[0]
    note = (home / "anchors" / "log" / "checkpoint").read_bytes()
    text = (home / "anchors" / "witnesses" / "policy").read_text()
    assert "temporary" in text
    policy = Policy.parse(text)
    signers = [line.name for line in Note.parse(note).signatures]
    assert signers[0] == policy.log_keys[0].key.name
    assert signers[1:] == [f"witness-demo.invalid/{name}" for name in NAMES]
    assert [item.name for item in policy.open(note).cosigners] == list(NAMES)
    proof = LogReader(home / "anchors" / "log", policy).proof(1)
    assert len(verify_proof(proof, policy).cosigners) == 3

    assert SnapshotStore(home).verify().is_ok
    for command in ("verify", "audit"):
        done = ledger_anchor(command, "--home", home)
        assert done.returncode == 0, done.stdout + done.stderr
    log = AppsHome(home).log()
    assert (len(log.entries), log.receipt(2).log_size) == (3, 3)


def test_the_witnesses_are_gone_and_their_secrets_stay_in_the_vault(shown) -> None:
    home = shown[0]
    policy = Policy.parse((home / "anchors" / "witnesses" / "policy").read_text())
    for witness in policy.witnesses:
        address = (witness.url or "").removeprefix("http://")
        with pytest.raises(OSError, match="refused"):
            http.client.HTTPConnection(address, timeout=5).connect()
    kept = list((home / "vault" / "anchor" / "witness-demo").rglob("*"))
    secret = [path for path in kept if path.suffix in {".key", ".sqlite"}]
    assert len(secret) == 1 + 3 * 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}


def test_a_grown_log_is_cosigned_by_the_same_witnesses(shown, tracient, tmp_path) -> None:
    home = copy_of(shown[0], tmp_path)
    policy = Policy.parse((home / "anchors" / "witnesses" / "policy").read_text())
    strict = LogReader(home / "anchors" / "log", policy)
    assert strict.checkpoint().size == 3
    store = commit(home, "d")
    with pytest.raises(QuorumError):
        strict.checkpoint()
    done = tracient("witness", "demo", "--home", home, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["is_ok"], report["size"]) == (True, 4)
    assert [item["vkey"] for item in report["signed"]] == [w.key.format() for w in policy.witnesses]
    assert [item["status"] for item in report["refusals"]] == [422, 422, 409] * 3
    assert [item["is_reached"] for item in report["quorums"]] == [True, False]
    # Only addresses differ: the first policy accepts what the second demo published.
    assert strict.checkpoint().size == 4
    assert store.verify().is_ok


def test_a_home_restored_from_an_old_copy_is_found_out(shown, tracient, tmp_path) -> None:
    home = copy_of(shown[1], tmp_path)
    witnesses = Path("vault", "anchor", "witness-demo")
    shutil.copytree(shown[0] / witnesses, home / witnesses)
    before = (home / "anchors" / "log" / "checkpoint").read_bytes()
    done = tracient("witness", "demo", "--home", home)
    assert done.returncode == 1
    told = "government: refused with status 409: it has already cosigned this log at size 3"
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (home / "anchors" / "log" / "checkpoint").read_bytes() == before
    assert not (home / "anchors" / "witnesses").exists()


def test_a_home_without_a_log_is_wrong_use(home, tracient) -> None:
    done = tracient("witness", "demo", "--home", home)
    assert (done.returncode, done.stdout) == (2, "")
    assert "found nothing anchored yet. Run `tracient run`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(home.iterdir()) == []


def test_a_home_the_demo_cannot_work_with_stays_as_it_is(home) -> None:
    def refused(words: str) -> None:
        before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        with pytest.raises(HomeError, match=words):
            run_demo(Home(home))
        after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        assert {path.name for path in set(after) - set(before)} <= {".lock"}
        assert all(after[path] == data for path, data in before.items() if path.name != ".lock")

    SnapshotStore(home).initialise("example.org/empty")
    refused("found nothing anchored yet")
    commit(home, "a")
    policy = home / "anchors" / "witnesses" / "policy"
    policy.parent.mkdir()
    for foreign in ("no policy\n", "quorum none\n"):
        policy.write_text(foreign)
        refused("expected no policy, or one of an earlier demo; found another")
    with Home(home).writing("another program"):
        refused("found another program")


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_the_forgery_is_the_log_with_another_last_entry_and_one_more(size: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    forged = [leaf_hash(b"forged entry %d" % number) for number in (size - 1, size)]
    expected, found = Tree([*leaves[:-1], *forged]), _Rewritten(Tree(leaves))
    assert found.size == expected.size == size + 1
    for level in range(5):
        for index in range((size + 1) >> level):
            assert found.node(level, index) == expected.node(level, index)
    assert expected.root(size) != Tree(leaves).root()
