"""What a witness decides, in the order of the protocol, and what it never forgets."""

from __future__ import annotations

import random
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger_anchor.errors import (
    AnchorError,
    KeyFormatError,
    PolicyError,
    StorageError,
    WitnessError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Policy
from ledger_anchor.tree import Tree, consistency_proof
from ledger_anchor.witness.config import init_witness, load_logs, load_witness, watch
from ledger_anchor.witness.cosigner import Answer, Witness
from ledger_anchor.witness.protocol import (
    AddCheckpoint,
    monitoring_path,
    parse_cosignatures,
)
from ledger_anchor.witness.store import Held, WitnessStore

ORIGIN = "example.org/log"
LOG = SignerKey(ORIGIN, bytes(range(32)))
STRANGER = SignerKey(ORIGIN, bytes(32))
TREE = Tree.from_entries(str(number).encode() for number in range(40))
FORK = Tree.from_entries(str(number).encode() for number in (*range(3), 99, *range(4, 40)))
ED25519 = SignerKey("example.org/witness", bytes([1] * 32), KeyKind.ED25519_COSIGNATURE)
ML_DSA = SignerKey("example.org/witness", bytes([2] * 32), KeyKind.ML_DSA_44_COSIGNATURE)
NOW = 1_800_000_000


@pytest.fixture
def store(tmp_path: Path) -> WitnessStore:
    return WitnessStore.create(tmp_path / "witness.sqlite")


@pytest.fixture
def witness(store: WitnessStore) -> Witness:
    return Witness([ED25519], {ORIGIN: [LOG.verifier()]}, store, lambda: NOW)


def checkpoint(size: int, tree: Tree = TREE, *signers: SignerKey, root: bytes | None = None) -> str:
    text = Checkpoint(ORIGIN, size, tree.root(size) if root is None else root)
    return text.sign(*(signers or (LOG,)))


def request(
    old: int, size: int, tree: Tree = TREE, *, proof: Sequence[bytes] | None = None,
    note: str | None = None,
) -> bytes:  # fmt: skip
    if proof is None:
        proof = consistency_proof(tree, old, size) if 0 < old < size else []
    signed = checkpoint(size, tree) if note is None else note
    return AddCheckpoint(old, tuple(proof), signed.encode()).format()


def held(witness: Witness) -> bytes | None:
    return witness.latest(monitoring_path(ORIGIN))


def test_a_log_that_grows_is_cosigned_each_time(witness: Witness) -> None:
    old = 0
    for size in (0, 1, 2, 7, 7, 8, 33, 40):
        answer = witness.add_checkpoint(request(old, size))
        assert answer.status == 200, answer
        (line,) = parse_cosignatures(answer.body)
        text = Note.parse(checkpoint(size)).text.encode()
        assert ED25519.verifier().verify(text, line.signature)
        assert ED25519.verifier().timestamp(line.signature) == NOW
        old = size


def test_a_witness_with_two_keys_answers_with_a_line_of_each(store: WitnessStore) -> None:
    witness = Witness([ED25519, ML_DSA], {ORIGIN: [LOG.verifier()]}, store, lambda: NOW)
    answer = witness.add_checkpoint(request(0, 5))
    ed25519, ml_dsa = parse_cosignatures(answer.body)
    text = Note.parse(checkpoint(5)).text.encode()
    assert ED25519.verifier().verify(text, ed25519.signature)
    assert ML_DSA.verifier().verify(text, ml_dsa.signature)
    assert (len(ed25519.signature), len(ml_dsa.signature)) == (8 + 64, 8 + 2420)
    note = held(witness) or b""
    everyone = [LOG.verifier(), ED25519.verifier(), ML_DSA.verifier()]
    assert len(Note.open(note, everyone).signatures) == 3
    assert Note.parse(note).signatures[0].name == ORIGIN


FRESH = [
    ("another origin", request(0, 5).replace(b"example.org/log\n5", b"example.org/els\n5"), 404),
    ("nobody we trust", request(0, 5, note=checkpoint(5, TREE, STRANGER)), 403),
    ("another text under a good signature", request(0, 5).replace(b"\n5\n", b"\n6\n"), 403),
    ("old above size", request(6, 5, proof=[]), 400),
    ("old above what is held", request(4, 5), 409),
    ("a proof from nothing", request(0, 5, proof=[bytes(32)]), 422),
    ("size 0 with the root of something", request(0, 0, note=checkpoint(0, root=bytes(32))), 422),
]
AT_SEVEN = [
    ("old of nothing", request(0, 9), 409),
    ("old below what is held", request(6, 9), 409),
    ("rollback that says so", request(7, 6, proof=[]), 400),
    ("rollback that does not", request(6, 6), 409),
    ("rollback to nothing", request(0, 0), 409),
    ("rollback to a wrong nothing", request(0, 0, note=checkpoint(0, root=bytes(32))), 409),
    ("fork of the same size", request(7, 7, FORK), 422),
    ("fork that has grown", request(7, 9, FORK), 422),
    (
        "fork with the true log's proof",
        request(7, 9, FORK, proof=consistency_proof(TREE, 7, 9)),
        422,
    ),
    ("no proof", request(7, 9, proof=[]), 422),
    ("a proof too long", request(7, 9, proof=[*consistency_proof(TREE, 7, 9), bytes(32)]), 422),
    ("a proof of another size", request(7, 9, proof=consistency_proof(TREE, 7, 10)), 422),
    ("a proof where none is needed", request(7, 7, proof=[bytes(32)]), 422),
    ("63 hashes of nothing", request(7, 9, proof=[bytes(32)] * 63), 422),
]


@pytest.mark.parametrize(
    ("body", "status"), [(b, s) for _, b, s in FRESH], ids=[c[0] for c in FRESH]
)
def test_what_a_new_witness_refuses(witness: Witness, body: bytes, status: int) -> None:
    assert witness.add_checkpoint(body).status == status
    assert held(witness) is None
    assert witness.add_checkpoint(request(0, 5)).status == 200


@pytest.mark.parametrize(
    ("body", "status"), [(b, s) for _, b, s in AT_SEVEN], ids=[c[0] for c in AT_SEVEN]
)
def test_what_a_witness_refuses_that_holds_size_seven(
    witness: Witness, body: bytes, status: int
) -> None:
    witness.add_checkpoint(request(0, 7))
    before = held(witness)
    answer = witness.add_checkpoint(body)
    assert answer.status == status
    if status == 409:
        assert (answer.body, answer.content_type) == (b"7\n", "text/x.tlog.size")
    else:
        assert answer.content_type.startswith("text/plain")
        assert (b"the log has forked" in answer.body) == (body == request(7, 7, FORK))
    assert held(witness) == before
    assert witness.add_checkpoint(request(7, 9)).status == 200


def test_a_trusted_key_s_line_that_fails_spoils_a_good_one(store: WitnessStore) -> None:
    old, new = LOG, SignerKey(ORIGIN, bytes([9] * 32))
    witness = Witness([ED25519], {ORIGIN: [old.verifier(), new.verifier()]}, store)
    good = Note.parse(checkpoint(5, TREE, old))
    wrong = Note.parse(checkpoint(6, TREE, new))
    spoiled = Note(good.text, (*good.signatures, *wrong.signatures)).format()
    assert witness.add_checkpoint(request(0, 5, note=spoiled)).status == 403
    # Either key alone is enough, and a stranger's line beside it is ignored and not kept.
    beside = checkpoint(5, TREE, new, STRANGER)
    assert witness.add_checkpoint(request(0, 5, note=beside)).status == 200
    assert len(Note.parse(held(witness) or b"").signatures) == 2


def test_extension_lines_are_cosigned_with_the_rest(witness: Witness) -> None:
    text = Checkpoint(ORIGIN, 5, TREE.root(5), ("an extension",))
    answer = witness.add_checkpoint(request(0, 5, note=text.sign(LOG)))
    (line,) = parse_cosignatures(answer.body)
    assert ED25519.verifier().verify(text.format().encode(), line.signature)


def test_two_logs_do_not_know_of_each_other(store: WitnessStore) -> None:
    other = SignerKey("example.org/other", bytes([7] * 32))
    logs = {ORIGIN: [LOG.verifier()], other.name: [other.verifier()]}
    witness = Witness([ED25519], logs, store)
    theirs = Checkpoint(other.name, 3, FORK.root(3)).sign(other)
    assert witness.add_checkpoint(request(0, 7)).status == 200
    assert witness.add_checkpoint(request(0, 3, note=theirs)).status == 200
    assert witness.add_checkpoint(request(7, 9)).status == 200
    # The key of one log does not speak for the other.
    foreign = Checkpoint(other.name, 4, FORK.root(4)).sign(LOG)
    assert witness.add_checkpoint(request(3, 4, FORK, note=foreign)).status == 403


def test_requests_with_bytes_changed_get_a_status_of_the_protocol_and_leave_no_trace(
    witness: Witness,
) -> None:
    witness.add_checkpoint(request(0, 7))
    before = held(witness)
    good = request(7, 20)
    draw = random.Random(3)
    seen = set()
    for _ in range(1500):
        body = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(body) if draw.random() < 0.8 else 8)
            kind = draw.randrange(4)
            if kind == 0:
                body[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del body[at : at + draw.randint(1, 20)]
            elif kind == 2:
                body[at:at] = bytes(draw.choices(b"\n 0=+/A\xe2\x80\x94\x00\xff", k=3))
            else:
                other = draw.randrange(len(body))
                body[at:at] = body[other : other + draw.randint(1, 60)]
        if bytes(body) == good:
            continue
        answer = witness.add_checkpoint(bytes(body))
        seen.add(answer.status)
        assert answer.body.isascii()
        assert b"\n" not in answer.body[:-1]
    assert seen == {400, 403, 404, 409, 422}
    assert held(witness) == before


def test_what_was_cosigned_is_always_one_growing_log(witness: Witness) -> None:
    draw = random.Random(11)
    trees = (TREE, FORK)
    cosigned: list[Checkpoint] = []
    for _ in range(400):
        last_size = cosigned[-1].size if cosigned else 0
        size, tree = min(40, max(0, last_size + draw.randint(-3, 4))), draw.choice(trees)
        old = last_size if draw.random() < 0.7 else draw.randint(0, 40)
        proof = consistency_proof(tree, old, size) if 0 < old <= size else []
        answer = witness.add_checkpoint(request(old, size, tree, proof=proof))
        if answer.status == 200:
            cosigned.append(Checkpoint(ORIGIN, size, tree.root(size)))
    assert len(cosigned) > 5
    sizes = [item.size for item in cosigned]
    assert sizes == sorted(sizes)
    final = next(tree for tree in trees if tree.root(sizes[-1]) == cosigned[-1].root)
    assert all(item.root == final.root(item.size) for item in cosigned)


def test_a_reason_never_carries_what_a_terminal_would_act_on(witness: Witness) -> None:
    note = checkpoint(5).replace("— example.org/log ", "— \x9b31mred\u202e ")
    answer = witness.add_checkpoint(request(0, 5, note=note[:-3] + "\n"))
    assert answer.status == 400
    assert all(32 <= byte < 127 for byte in answer.body[:-1])


def test_a_name_too_long_for_a_cosignature_is_refused_at_the_start(store: WitnessStore) -> None:
    with pytest.raises(WitnessError, match="255 bytes"):
        Witness([ED25519], {"x" * 256: [LOG.verifier()]}, store)
    with pytest.raises(WitnessError, match="needs a cosignature key"):
        Witness([], {}, store)


# -- memory ----------------------------------------------------------------------------------------


def test_the_file_itself_refuses_to_go_back_or_to_forget(store: WitnessStore) -> None:
    store.advance("a", lambda _: Held(5, b"five", b""))
    for wrong in (Held(4, b"four", b""), Held(5, b"FIVE", b"")):
        with pytest.raises(StorageError, match="never goes back"):
            store.advance("a", lambda _, wrong=wrong: wrong)
    with sqlite3.connect(store.path) as database:
        with pytest.raises(sqlite3.IntegrityError, match="never forgets"):
            database.execute("DELETE FROM cosigned")
        with pytest.raises(sqlite3.IntegrityError, match="never goes back"):
            database.execute("UPDATE cosigned SET origin = 'b'")
    database.close()
    assert store.latest("a") == Held(5, b"five", b"")


def test_a_decision_that_raises_leaves_everything_as_it_was(store: WitnessStore) -> None:
    def decide(_: Held | None) -> Held:
        raise WitnessError("no")

    with pytest.raises(WitnessError, match="no"):
        store.advance("a", decide)
    assert store.latest("a") is None
    store.advance("a", lambda _: Held(1, b"", b""))


def test_a_witness_without_its_memory_does_not_start_over(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    init_witness(folder, "example.org/w", logs=[LOG.verifier()])
    witness = load_witness(folder)
    assert witness.add_checkpoint(request(0, 7)).status == 200
    (folder / "witness.sqlite").unlink()
    with pytest.raises(WitnessError, match="would cosign a fork"):
        load_witness(folder)
    with pytest.raises(WitnessError, match="would cosign a fork"):
        witness.add_checkpoint(request(0, 7, FORK))
    (folder / "witness.sqlite").write_bytes(b"")
    with pytest.raises(WitnessError, match="another database"):
        load_witness(folder)
    (folder / "witness.sqlite").write_bytes(b"no database at all, by any means" * 40)
    with pytest.raises(StorageError):
        load_witness(folder)


# -- folder ----------------------------------------------------------------------------------------


def test_a_new_witness_keeps_its_secrets_to_itself(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "witness"
    keys = init_witness(folder, "example.org/w", logs=[LOG.verifier()])
    assert [key.kind for key in keys] == [
        KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE,
    ]  # fmt: skip
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ed25519.key", "ml-dsa-44.key", "witness.sqlite"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert (folder / "witness.vkeys").read_text().split() == [key.format() for key in keys]
    assert tuple(s.verifier() for s in load_witness(folder).signers) == keys
    assert sorted(path.name for path in folder.parent.iterdir()) == ["witness"]


def test_a_witness_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    init_witness(folder, "example.org/w")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StorageError, match="Nothing was replaced"):
        init_witness(folder, "example.org/w")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for kinds in ((), (KeyKind.ED25519,)):
        with pytest.raises(KeyFormatError):
            init_witness(tmp_path / "other", "example.org/w", kinds)
    assert [path.name for path in tmp_path.iterdir()] == ["witness"]


def test_a_folder_that_is_unfit_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(WitnessError, match="there is no witness"):
        load_witness(tmp_path / "none")
    folder = tmp_path / "witness"
    init_witness(folder, "example.org/w", [KeyKind.ED25519_COSIGNATURE])
    key = folder / "ed25519.key"
    key.chmod(0o640)
    with pytest.raises(WitnessError, match="chmod 600"):
        load_witness(folder)
    key.chmod(0o600)
    secret = key.read_text()
    key.write_text(LOG.format())
    with pytest.raises(KeyFormatError, match="kind"):
        load_witness(folder)
    key.write_text(secret[:-8])
    with pytest.raises(KeyFormatError) as caught:
        load_witness(folder)
    assert secret[-30:-8] not in str(caught.value)
    key.unlink()
    with pytest.raises(WitnessError, match="found no key"):
        load_witness(folder)


def test_the_list_of_logs_is_keys_or_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    with pytest.raises(WitnessError):
        load_logs(path)
    old, new = LOG.verifier(), SignerKey(ORIGIN, bytes([9] * 32)).verifier()
    path.write_text(f"# two keys while it changes\n\n  {old.format()}\n{new.format()}\n")
    assert load_logs(path) == {ORIGIN: (old, new)}
    path.write_text(
        f"log {old.format()} https://example.org\n"
        f"witness w {ED25519.verifier().format()}\nquorum w\n"
    )
    assert load_logs(path) == {ORIGIN: (old,)}
    for wrong, words in (
        ("no key\n", "line 1"),
        (f"{old.format()} https://example.org\n", "line 1"),
        (f"\n{ED25519.verifier().format()}\n", "line 2"),
        ("witness w\nquorum w\n", "line 1"),
    ):
        path.write_text(wrong)
        with pytest.raises((KeyFormatError, PolicyError), match=words):
            load_logs(path)


def test_another_list_of_logs_counts_from_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    init_witness(folder, "example.org/w")
    assert load_witness(folder).add_checkpoint(request(0, 5)).status == 404
    watch(folder, [LOG.verifier()])
    assert load_witness(folder).add_checkpoint(request(0, 5)).status == 200
    watch(folder, [])
    assert load_witness(folder).add_checkpoint(request(5, 7)).status == 404
    watch(folder, [LOG.verifier()])
    assert load_witness(folder).add_checkpoint(request(0, 5, FORK)).status == 409


def test_cosignatures_satisfy_a_policy(witness: Witness) -> None:
    note = checkpoint(5)
    answer: Answer = witness.add_checkpoint(request(0, 5, note=note))
    text = f"log {LOG.verifier().format()}\nwitness w {ED25519.verifier().format()}\nquorum w\n"
    verified = Policy.parse(text).open(note.encode() + answer.body, now=NOW)
    assert [(item.name, item.timestamp) for item in verified.cosigners] == [("w", NOW)]
    with pytest.raises(AnchorError):
        Policy.parse(text).open(note, now=NOW)


def test_a_commit_is_flushed_with_the_folder_that_holds_it(store: WitnessStore) -> None:
    with store._connected() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
