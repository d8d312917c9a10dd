"""Policies: what they accept, what they refuse on which line, and checkpoints opened under them."""

from __future__ import annotations

import pytest

from ledger_anchor.errors import (
    CheckpointError,
    ClockError,
    KeyFormatError,
    NoteError,
    PolicyError,
    QuorumError,
    SignatureError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.notes.policy import Policy, as_policy
from ledger_anchor.tree import EMPTY_ROOT

NOON = 1_700_000_000
LOG = SignerKey("example.org/log", bytes(32))
LOG_KEY = LOG.verifier()
WITNESSES = {
    name: SignerKey(f"{name}.example/w", bytes([number]) * 32, KeyKind.ED25519_COSIGNATURE)
    for number, name in enumerate(("x1", "x2", "x3", "y1", "y2", "y3"), 1)
}
WITNESSES["y3"] = SignerKey("y3.example/w", bytes([6]) * 32, KeyKind.ML_DSA_44_COSIGNATURE)
KEYS = {name: signer.verifier().format() for name, signer in WITNESSES.items()}
CHECKPOINT = Checkpoint(LOG.name, 7, b"r" * 32)
# The example of C2SP tlog-policy, with blanks, tabs and comments where it allows them.
EXAMPLE = f"""\
# a comment
log {LOG_KEY.format()} https://log.example/

\twitness X1 {KEYS["x1"]} https://x1.example/
witness X2\t{KEYS["x2"]}
witness X3 {KEYS["x3"]}
group X-witnesses 2 X1 X2 X3
witness Y1 {KEYS["y1"]}
witness Y2 {KEYS["y2"]}
witness Y3 {KEYS["y3"]}
  # another
group Y-witnesses any Y1 Y2 Y3\x20
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def cosigned(*names: str, moment: int = NOON, checkpoint: Checkpoint = CHECKPOINT) -> str:
    note = Note.sign(checkpoint.format(), LOG)
    text = note.text.encode()
    lines = [Signature.by(WITNESSES[name], text, moment) for name in names]
    return note.with_signatures(lines).format()


def test_the_example_of_the_specification_reads_back() -> None:
    policy = Policy.parse(EXAMPLE)
    assert [(log.name, log.url) for log in policy.log_keys] == [(LOG.name, "https://log.example/")]
    assert [witness.name for witness in policy.witnesses] == ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert policy.witnesses[0].url == "https://x1.example/"
    assert [(group.name, group.threshold) for group in policy.groups] == [
        ("X-witnesses", 2),
        ("Y-witnesses", 1),
        ("X-and-Y", 2),
    ]
    assert Policy.parse(policy.format()) == policy
    assert Policy.parse(EXAMPLE.encode().removesuffix(b"\n")) == policy


@pytest.mark.parametrize(
    ("names", "is_enough"),
    [
        (("x1", "x2", "y1"), True),
        (("x1", "x3", "y3"), True),
        (("x1", "x2", "x3", "y1", "y2", "y3"), True),
        (("x1", "y1", "y2", "y3"), False),
        (("x1", "x2", "x3"), False),
        ((), False),
    ],
)
def test_a_checkpoint_needs_both_groups(names: tuple[str, ...], is_enough: bool) -> None:
    policy = Policy.parse(EXAMPLE)
    assert policy.is_met_by(name.upper() for name in names) == is_enough
    if not is_enough:
        with pytest.raises(QuorumError, match="lacks cosignatures"):
            policy.open(cosigned(*names))
        return
    verified = policy.open(cosigned(*names))
    assert verified.checkpoint == CHECKPOINT
    assert verified.log_key == LOG_KEY
    assert [(made.name, made.timestamp) for made in verified.cosigners] == [
        (name.upper(), NOON) for name in names
    ]


def test_a_missing_quorum_is_told_group_by_group() -> None:
    with pytest.raises(QuorumError) as refused:
        Policy.parse(EXAMPLE).open(cosigned("x2", "y1"))
    assert str(refused.value) == (
        "the checkpoint of 'example.org/log' at size 7 lacks cosignatures: "
        "group X-and-Y has 1 and needs 2 of 2, lacking X-witnesses; "
        "group X-witnesses has 1 and needs 2 of 3, lacking X1, X3"
    )
    one = Policy.parse(f"log {LOG_KEY.format()}\nwitness X1 {KEYS['x1']}\nquorum X1\n")
    with pytest.raises(QuorumError, match="witness X1 has not cosigned"):
        one.open(cosigned("x2"))


def test_quorum_none_asks_for_the_logs_signature_alone_and_reports_who_cosigned() -> None:
    policy = Policy.parse(f"log {LOG_KEY.format()}\nwitness X1 {KEYS['x1']}\nquorum none\n")
    assert policy.open(cosigned()).cosigners == ()
    assert [made.name for made in policy.open(cosigned("x1", "x2")).cosigners] == ["X1"]


def test_cosignatures_never_stand_in_for_the_logs_own_signature() -> None:
    text = CHECKPOINT.format()
    only_witnesses = Note.sign(text, *(WITNESSES[name] for name in ("x1", "x2", "y1")))
    with pytest.raises(SignatureError, match="has not signed"):
        Policy.parse(EXAMPLE).open(only_witnesses.format())


def test_a_failing_cosignature_of_a_listed_witness_spoils_the_note() -> None:
    elsewhere = cosigned("x3", checkpoint=Checkpoint(LOG.name, 8, b"r" * 32))
    wrong = Note.parse(elsewhere).signatures[1]
    note = Note.parse(cosigned("x1", "x2", "y1")).with_signatures([wrong])
    with pytest.raises(SignatureError, match=r"x3.example/w does not verify"):
        Policy.parse(EXAMPLE).open(note.format())
    unlisted = Policy.parse(f"log {LOG_KEY.format()}\nwitness X1 {KEYS['x1']}\nquorum X1\n")
    assert unlisted.open(note.format()).checkpoint == CHECKPOINT


def test_a_checkpoint_of_another_log_is_named_before_anything_else() -> None:
    other = Checkpoint("example.org/else", 0, EMPTY_ROOT).sign(LOG)
    with pytest.raises(CheckpointError, match=r"log: expected origin 'example.org/log', found"):
        Policy.parse(EXAMPLE).open(other)
    with pytest.raises(CheckpointError, match="expected origin none"):
        Policy.parse("quorum none\n").open(other)


def test_a_rotated_key_is_accepted_beside_the_old_one_and_a_stolen_name_is_not() -> None:
    renewed = SignerKey(LOG.name, b"n" * 32)
    policy = Policy.parse(
        f"log {LOG_KEY.format()}\nlog {renewed.verifier().format()}\nquorum none\n"
    )
    for signer in (LOG, renewed):
        assert policy.open(CHECKPOINT.sign(signer)).log_key == signer.verifier()
    with pytest.raises(SignatureError, match="no signature by a trusted key"):
        policy.open(CHECKPOINT.sign(SignerKey(LOG.name, b"t" * 32)))


def test_a_log_may_sign_with_an_ml_dsa_44_key() -> None:
    signer = SignerKey(LOG.name, b"n" * 32, KeyKind.ML_DSA_44_COSIGNATURE)
    assert Checkpoint.open(CHECKPOINT.sign(signer), signer.verifier()) == CHECKPOINT


def test_a_clock_five_minutes_behind_is_accepted_and_not_a_second_more() -> None:
    policy, note = Policy.parse(EXAMPLE), cosigned("x1", "x2", "y1")
    assert policy.open(note, now=NOON - 300).checkpoint == CHECKPOINT
    assert policy.open(note, now=NOON + 10**9).checkpoint == CHECKPOINT
    with pytest.raises(ClockError, match="X1 lies 301 seconds ahead"):
        policy.open(note, now=NOON - 301)


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("quorum X\n", 1, "'X' is not the name of a witness or group on a line above"),
        ("witness X {x1}\ngroup g any X Y\nquorum g\n", 2, "'Y' is not the name"),
        ("witness X {x1}\ngroup g any g\nquorum g\n", 2, "'g' is not the name"),
        ("group g any none\nquorum g\n", 1, "'none' is not the name"),
        ("quorum X\nwitness X {x1}\n", 1, "'X' is not the name"),
        ("witness X {x1}\nwitness X {x2}\nquorum X\n", 2, "X is already defined, on line 1"),
        ("witness X {x1}\ngroup X any X\nquorum X\n", 2, "X is already defined, on line 1"),
        ("witness none {x1}\nquorum none\n", 1, "the name none is taken"),
        ("witness X {x1}\ngroup none any X\nquorum none\n", 2, "the name none is taken"),
        ("witness X {x1}\n\nwitness Y {x1}\nquorum X\n", 3, "Y has the public key of witness X"),
        ("witness X {x1}\nwitness Y {x1_renamed}\nquorum X\n", 2, "count twice"),
        ("log {log}\nlog {log} https://l/\nquorum none\n", 2, "stands here twice"),
        ("log {log}\nlog {log_renamed}\nquorum none\n", 2, "stands here twice"),
        ("log {log}\nwitness X {log_as_witness}\nquorum X\n", 2, "no witness of itself"),
        ("witness X {log_as_witness}\nlog {log}\nquorum X\n", 2, "is a witness's"),
        ("witness X {x1}\ngroup g any X\ngroup h any X\nquorum g\n", 3, "a member of group g"),
        ("witness X {x1}\ngroup g 1 X X\nquorum g\n", 2, "a member of group g"),
        ("witness X {x1}\ngroup g 0 X\nquorum g\n", 2, "a number from 1 to 1; found '0'"),
        ("witness X {x1}\ngroup g 2 X\nquorum g\n", 2, "a number from 1 to 1; found '2'"),
        ("witness X {x1}\ngroup g 01 X\nquorum g\n", 2, "found '01'"),
        ("witness X {x1}\ngroup g most X\nquorum g\n", 2, "found 'most'"),
        ("witness X {x1}\ngroup g ² X\nquorum g\n", 2, "a number from 1 to 1"),
        ("group g any\nquorum g\n", 1, "expected 'group <name>"),
        ("log {log}\n", 1, "ends without a quorum line"),
        ("", 1, "ends without a quorum line"),
        ("quorum none\nquorum none\n", 2, "a second quorum line"),
        ("quorum none # really\n", 1, "expected 'quorum <name>|none'"),
        ("quorum\n", 1, "expected 'quorum <name>|none'"),
        ("Log {log}\nquorum none\n", 1, "expected one of log, witness, group, quorum; found 'Log'"),
        ("quorum none\nmirror X\n", 2, "found 'mirror'"),
        ("witness X {log}\nquorum X\n", 1, "of kind Ed25519; a witness's is an"),
        ("log {x1}\nquorum none\n", 1, "is a witness's .Ed25519 cosignature"),
        ("log {log_wrong_id}\nquorum none\n", 1, "does not belong to the key"),
        ("log {bare_hex}\nquorum none\n", 1, "a bare hex key, as Sigsum's"),
        ("witness X {bare_hex} https://w/\nquorum none\n", 1, "expected a verifier key"),
        ("log {log} https://l/ more\nquorum none\n", 1, "expected 'log <vkey>"),
        ("witness X\nquorum none\n", 1, "expected 'witness <name> <vkey>"),
        ("quorum none\r\n", 1, "control character"),
        ("log\xa0{log}\nquorum none\n", 1, "expected one of log"),  # a blank is a space or a tab
        ("#\x7f\nquorum none\n", 1, "control character"),
    ],
)
def test_a_wrong_policy_is_refused_on_its_line(lines: str, line: int, words: str) -> None:
    keys = KEYS | {
        "log": LOG_KEY.format(),
        "log_renamed": SignerKey("example.org/other", LOG.seed).verifier().format(),
        "log_wrong_id": LOG_KEY.format().replace(LOG_KEY.id.hex(), "00000000"),
        "log_as_witness": SignerKey("w", LOG.seed, KeyKind.ED25519_COSIGNATURE).verifier().format(),
        "x1_renamed": SignerKey("w", WITNESSES["x1"].seed, WITNESSES["x1"].kind)
        .verifier()
        .format(),
        "bare_hex": LOG_KEY.public_key.hex(),
    }
    with pytest.raises(PolicyError, match=words) as refused:
        Policy.parse(lines.format(**keys))
    assert refused.value.line == line
    assert f"line {line}:" in str(refused.value)
    assert LOG_KEY.public_key.hex() not in str(refused.value)


def test_a_quorum_may_be_one_witness_and_a_group_of_groups_may_be_deep() -> None:
    lines = [f"log {LOG_KEY.format()}", f"witness g0 {KEYS['x1']}"]
    lines += [f"group g{level} all g{level - 1}" for level in range(1, 200)]
    deep = Policy.parse("\n".join([*lines, "quorum g199", ""]))
    assert deep.open(cosigned("x1")).checkpoint == CHECKPOINT
    with pytest.raises(QuorumError, match=r"lacking g0$"):
        deep.open(cosigned("x2"))
    lines.append("group h0 all g199")
    lines += [f"group h{level} all h{level - 1}" for level in range(1, 60)]
    with pytest.raises(PolicyError, match="more than 256"):
        Policy.parse("\n".join([*lines, "quorum none", ""]))


def test_names_are_octets_that_need_not_be_text() -> None:
    data = b"witness \xff " + KEYS["x1"].encode() + b"\n# \xe9t\xe9\nquorum \xff\n"
    policy = Policy.parse(f"log {LOG_KEY.format()}\n".encode() + data)
    assert policy.open(cosigned("x1")).cosigners[0].key == WITNESSES["x1"].verifier()
    with pytest.raises(QuorumError, match=r"witness \\xff has not cosigned"):
        policy.open(cosigned())
    kelvin = f"witness K {KEYS['x1']}\nquorum \u212a\n"
    with pytest.raises(PolicyError, match="is not the name"):
        Policy.parse(kelvin)


def test_whatever_a_reader_trusts_becomes_a_policy() -> None:
    alone = Policy.of_key(LOG_KEY)
    assert as_policy(LOG_KEY) == as_policy(f" {LOG_KEY.format()}\n") == as_policy(alone) == alone
    assert as_policy(EXAMPLE) == Policy.parse(EXAMPLE)
    assert Policy.parse(alone.format()) == alone
    assert Checkpoint.open(cosigned("x1", "x2", "y1"), EXAMPLE) == CHECKPOINT
    with pytest.raises(PolicyError, match="expected the key of a log"):
        as_policy(WITNESSES["x1"].verifier())
    with pytest.raises(KeyFormatError):
        as_policy("nonsense")
    with pytest.raises(PolicyError):
        as_policy("")


def test_a_note_that_is_none_is_refused_as_such() -> None:
    for wrong in (b"", b"\xff", b"text\n\n", CHECKPOINT.format().encode()):
        with pytest.raises(NoteError):
            Policy.of_key(LOG_KEY).open(wrong)
