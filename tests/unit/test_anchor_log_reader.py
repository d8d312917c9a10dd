"""Reading a log: checked entries, proofs between sizes, and what a kept checkpoint gives away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger_anchor.errors import (
    CheckpointError,
    LogCorruptError,
    LogForkError,
    LogMissingError,
    LogShrankError,
    NoteError,
    ProofShapeError,
    QuorumError,
    ReplayedCheckpointError,
    RootMismatchError,
    SignatureError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.policy import Policy
from ledger_anchor.tlog.log import LogReader, LogWriter
from ledger_anchor.tlog.proof import LogProof
from ledger_anchor.tree import leaf_hash, range_root, verify_consistency, verify_inclusion

SIGNER = SignerKey("example.org/log", bytes(32))
TRUST = SIGNER.verifier()


def log_of(folder: Path, *batches: list[bytes], signer: SignerKey = SIGNER) -> LogWriter:
    writer = LogWriter(folder / "log", signer, folder / "state", folder / "lock", 5.0)
    for batch in batches:
        writer.append(batch)
    return writer


def numbered(start: int, end: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, end)]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log_of(tmp_path, numbered(0, 300), numbered(300, 600))
    return tmp_path / "log"


def test_entries_come_from_any_place_and_are_checked(log: Path) -> None:
    reader = LogReader(log, TRUST)
    assert list(reader.entries(250, 530)) == numbered(250, 530)
    assert list(reader.entries(598)) == numbered(598, 600)
    assert list(reader.entries(600)) == list(reader.entries(5, 5)) == []
    assert list(reader.entries(0, 10_000)) == numbered(0, 600)
    assert reader.entry(599) == b"entry 599"
    for index in (-1, 600):
        with pytest.raises(ProofShapeError, match="600 entries"):
            reader.entry(index)


def test_an_entry_is_read_without_reading_the_log(log: Path) -> None:
    reader = LogReader(log, TRUST)
    reader.view().entry(300)
    read: list[str] = []
    real = reader.storage.read
    view = LogReader(log, TRUST).view()
    view.tree._fetch = lambda path: read.append(path) or real(path)
    view.entry(300)
    assert sorted(read) == ["tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001"]


@pytest.mark.parametrize("name", ["tile/entries/001", "tile/entries/002.p/88"])
def test_an_altered_entry_is_never_handed_on(log: Path, name: str) -> None:
    flip(log / name, 5)
    reader = LogReader(log, TRUST)
    index = 256 if name.endswith("001") else 512
    with pytest.raises(LogCorruptError, match=f"{name}: its entries do not lead to the signed"):
        list(reader.entries(index))
    with pytest.raises(RootMismatchError):
        reader.entry(index)
    with pytest.raises(RootMismatchError):
        reader.proof(index)
    with pytest.raises(LogCorruptError, match="tile/0/00"):
        reader.verify_files()
    assert list(reader.entries(0, 256)) == numbered(0, 256)


def test_a_view_stays_while_the_log_grows(tmp_path: Path) -> None:
    writer = log_of(tmp_path, numbered(0, 200))
    reader = LogReader(tmp_path / "log", TRUST)
    view = reader.view()
    writer.append(numbered(200, 900))
    assert view.size == 200
    assert list(view.entries()) == numbered(0, 200)
    assert view.verify_files().size == 200
    assert reader.size == 900
    proof = LogProof.parse(view.proof(199))
    root = view.checkpoint.root
    verify_inclusion(leaf_hash(b"entry 199"), 199, 200, proof.path, root)


def test_signatures_are_verified_once_per_checkpoint(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, opened = LogReader(log, TRUST), []
    real = Policy.open
    monkeypatch.setattr(Policy, "open", lambda *given: opened.append(1) or real(*given))
    for index in range(5):
        reader.proof(index)
        assert reader.size == 600
    assert opened == [1]


def test_consistency_is_proven_between_any_sizes(log: Path) -> None:
    reader = LogReader(log, TRUST)
    tree = reader.tree()
    for size1, size2 in ((1, 600), (300, 600), (256, 257), (600, 600), (255, 512)):
        roots = [range_root(tree, 0, size) for size in (size1, size2)]
        path = reader.consistency(size1, size2)
        verify_consistency(size1, size2, path, *roots)
    assert reader.consistency(300) == reader.consistency(300, 600)
    for size1, size2 in ((0, 600), (5, 4), (5, 601)):
        with pytest.raises(ProofShapeError):
            reader.consistency(size1, size2)


def test_a_log_that_only_grew_extends_what_was_kept(tmp_path: Path) -> None:
    writer = log_of(tmp_path, [])
    reader = LogReader(tmp_path / "log", TRUST)
    kept = [reader.checkpoint_note()]
    for size in (1, 2, 255, 256, 700):
        writer.append(numbered(reader.size, size))
        kept.append(reader.checkpoint_note())
        for note in kept:
            assert reader.check_extends(note).size == size


def test_a_log_that_shrank_says_so(tmp_path: Path) -> None:
    log_of(tmp_path, numbered(0, 5))
    shutil.copytree(tmp_path / "log", tmp_path / "older")
    log_of(tmp_path, numbered(5, 300))
    kept = (tmp_path / "log" / "checkpoint").read_bytes()
    with pytest.raises(LogShrankError, match="at least 300 entries, found a checkpoint of 5") as e:
        LogReader(tmp_path / "older", TRUST).check_extends(kept)
    assert not isinstance(e.value, ReplayedCheckpointError)


def test_a_replayed_checkpoint_is_told_from_a_log_that_shrank(tmp_path: Path) -> None:
    log_of(tmp_path, numbered(0, 5))
    older = (tmp_path / "log" / "checkpoint").read_bytes()
    log_of(tmp_path, numbered(5, 300))
    kept = (tmp_path / "log" / "checkpoint").read_bytes()
    (tmp_path / "log" / "checkpoint").write_bytes(older)
    with pytest.raises(ReplayedCheckpointError, match="tiles still hold all 300"):
        LogReader(tmp_path / "log", TRUST).check_extends(kept)


@pytest.mark.parametrize("more", [0, 7])
def test_a_forked_log_is_named_with_both_roots(tmp_path: Path, more: int) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    log_of(ours, numbered(0, 300))
    log_of(theirs, [*numbered(0, 299), b"another"], numbered(300, 300 + more))
    kept = (ours / "log" / "checkpoint").read_bytes()
    expected = Checkpoint.open(kept, TRUST).root.hex()
    with pytest.raises(LogForkError, match=expected) as caught:
        LogReader(theirs / "log", TRUST).check_extends(kept)
    assert "two roots at size 300" in str(caught.value) or "forked" in str(caught.value)
    assert not isinstance(caught.value, LogShrankError)


def test_damaged_tiles_are_not_called_a_fork(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    log_of(kept, numbered(0, 300))
    flip(log / "tile" / "1" / "000.p" / "2", 3)
    with pytest.raises(LogCorruptError, match="run fsck") as caught:
        LogReader(log, TRUST).check_extends((kept / "log" / "checkpoint").read_bytes())
    assert not isinstance(caught.value, LogForkError)


def test_a_checkpoint_of_another_log_is_no_fork(log: Path, tmp_path: Path) -> None:
    other = SignerKey("example.org/other", bytes(31) + b"x")
    log_of(tmp_path / "o", [b"a"], signer=other)
    kept = (tmp_path / "o" / "log" / "checkpoint").read_bytes()
    with pytest.raises(CheckpointError, match=r"another log.*'example.org/other'"):
        LogReader(log, TRUST).check_extends(kept)
    both = Policy((*Policy.of_key(TRUST).log_keys, *Policy.of_key(other.verifier()).log_keys))
    with pytest.raises(CheckpointError, match=r"expected origin 'example.org/log'"):
        LogReader(log, both).check_extends(kept)


def test_a_kept_checkpoint_that_is_none_is_refused(log: Path) -> None:
    reader = LogReader(log, TRUST)
    note = reader.checkpoint_note()
    with pytest.raises(SignatureError):
        reader.check_extends(note.replace(b"\n600\n", b"\n599\n"))
    with pytest.raises(NoteError):
        reader.check_extends(b"hello")


def test_a_key_a_policy_and_their_texts_are_trusted_alike(log: Path) -> None:
    for trust in (TRUST, TRUST.format(), TRUST.format() + "\n", Policy.of_key(TRUST)):
        reader = LogReader(log, trust)
        assert reader.verifier == TRUST
        assert reader.checkpoint().size == 600
    policy = Policy.of_key(TRUST).format()
    assert LogReader(str(log), policy).size == 600


def test_a_quorum_is_asked_of_the_log_and_not_of_what_was_kept(log: Path, tmp_path: Path) -> None:
    witness = SignerKey("witness", bytes(31) + b"w", KeyKind.ED25519_COSIGNATURE)
    text = f"log {TRUST.format()}\nwitness w {witness.verifier().format()}\nquorum w\n"
    reader = LogReader(log, text)
    bare = reader.checkpoint_note()
    with pytest.raises(QuorumError, match="w has not cosigned"):
        reader.checkpoint()
    checkpoint = Checkpoint.open(bare, TRUST)
    (log / "checkpoint").write_text(checkpoint.sign(SIGNER, witness))
    assert reader.check_extends(bare).size == 600
    assert [item.name for item in reader.view().verified.cosigners] == ["w"]
    assert reader.verifier == TRUST


def test_a_folder_without_a_checkpoint_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogMissingError, match="holds no checkpoint"):
        LogReader(tmp_path, TRUST).checkpoint()


def test_a_checkpoint_signed_by_another_key_is_refused(log: Path) -> None:
    impostor = SignerKey("example.org/log", bytes(31) + b"i").verifier()
    with pytest.raises(SignatureError):
        LogReader(log, impostor).checkpoint()


def test_an_empty_log_reads_as_empty(tmp_path: Path) -> None:
    log_of(tmp_path, [])
    reader = LogReader(tmp_path / "log", TRUST)
    assert list(reader.entries()) == []
    assert reader.verify_files().size == 0
