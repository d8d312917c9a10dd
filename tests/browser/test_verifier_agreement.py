"""The verifier in the browser and the one in Python: one verdict, the same values.

What belongs here: what the two must share, over many changed proofs, keys, policies and encoded
values. What does not: the page as a person sees it (``test_verifier``) and its file
(``test_verifier_file``).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ledger_anchor import cbor
from ledger_anchor.errors import AnchorError
from ledger_anchor.manifest import FORMAT, ROW_COMMIT, canonical_json, encode_manifest
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note
from ledger_anchor.tlog.proof import Cell, LogProof, Proven, row_extra, verify_proof
from ledger_anchor.tree import Tree, inclusion_proof, leaf_hash
from tests.browser import verifier_bundles as made
from tests.browser.verifier_bundles import Samples
from tests.browser.verifier_page import Verifier

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

MUTATIONS = 160


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return made.shared_samples(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def verifier(chromium: Any) -> Iterator[Verifier]:
    opened = Verifier(chromium)
    yield opened
    opened.page.close()
    assert opened.asked == [opened.address]
    assert opened.said == []


def in_python(proof: bytes, trust: str) -> Proven | None:
    """The package's verdict; any error that is not its own fails the test."""
    try:
        return verify_proof(proof, trust)
    except AnchorError:
        return None


def assert_same(
    verifier: Verifier, cases: Sequence[tuple[bytes, str]], names: Sequence[str]
) -> tuple[int, int]:
    """Compare every verdict, and what is proven; how many were good and how many refused."""
    found = verifier.verify_all(cases)
    good = 0
    for (proof, trust), result, name in zip(cases, found, names, strict=True):
        proven = in_python(proof, trust)
        assert result["is_ok"] is (proven is not None), f"{name}: {result}"
        assert result.get("code") != "internal", f"{name}: {result}"
        if proven is None:
            continue
        good += 1
        assert result["origin"] == proven.checkpoint.origin
        assert result["log_size"] == str(proven.checkpoint.size)
        assert result["log_root"] == proven.checkpoint.root.hex()
        assert result["log_index"] == str(proven.index)
        assert result["manifest"] == proven.manifest
        signed = [(w["label"], w["time"]) for w in result["witnesses"] if w["state"] == "signed"]
        assert signed == [(made_.name, str(made_.timestamp)) for made_ in proven.cosigners]
        assert (result["row"] is None) is (proven.row is None)
        if proven.row is not None:
            assert result["row"]["number"] == proven.row.number
            assert tuple(result["row"]["hidden_columns"]) == proven.row.hidden_columns
            shown = dict(result["row"]["values"])
            assert list(shown) == list(proven.row.values)
            kinds = {item["name"]: item["type"] for item in result["manifest"]["schema"]}
            for column, value in proven.row.values.items():
                if kinds[column] != "timestamp":
                    assert_same_value(shown[column], value)
    return good, len(cases) - good


def assert_same_value(shown: str | None, value: object) -> None:
    """The page writes a value as Python does, where both have a way to write it."""
    if value is None or isinstance(value, bool):
        assert shown == {None: None, True: "true", False: "false"}[value]
    elif isinstance(value, Decimal):
        assert Decimal(str(shown)).as_tuple() == value.as_tuple()
    elif isinstance(value, bytes):
        assert shown == value.hex()
    elif isinstance(value, int | str | dt.date):
        assert shown == str(value)


# -- changed proofs --------------------------------------------------------------------------------

Change = Callable[[random.Random, bytes], bytes]


def _flip_bit(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _drop_piece(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 40) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    pieces = [b"\n", b"\n\n", b" ", b"\r", b"\x00", b"=", b"A", b"\xc3\xa9", b"\xed\xa0\x80", b"\t"]
    return data[:at] + rng.choice(pieces) + data[at:]


def _shuffle_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines.insert(first, lines[second])
    return b"\n".join(lines)


def _change_index(rng: random.Random, data: bytes) -> bytes:
    number = rng.choice(
        [b"-1", b"00", b"2", b"9223372036854775808", b"1.0", b"0x1", b" 1", b"\xd9\xa1"]
    )
    return re.sub(rb"\nindex \d+", b"\nindex " + number, data)


def _change_json(rng: random.Random, data: bytes) -> bytes:
    """Change a random value of the contents and write them canonically again."""
    values = [None, True, 0, 1, -1, 2**53, 1.5, "", "x", [], {}, "1", ["A"], {"name": "x"}]

    def change(extra: dict[str, Any]) -> None:
        places: list[tuple[Any, Any]] = []
        stack: list[Any] = [extra]
        while stack:
            node = stack.pop()
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            stack += [node[key] for key in keys if isinstance(node[key], dict | list)]
        node, key = rng.choice(places)
        action = rng.random()
        if action < 0.25:
            del node[key]
        elif action < 0.4 and isinstance(node, dict):
            node["another"] = rng.choice(values)
        elif isinstance(node[key], int) and action < 0.7:
            node[key] += rng.choice([-1, 1])
        else:
            node[key] = rng.choice(values)

    try:
        return made.change_extra(data, change)
    except AnchorError:
        return data  # what has no canonical form is covered by _respell


def _respell(rng: random.Random, data: bytes) -> bytes:
    """The same contents, or nearly, in another spelling of JSON."""
    parsed = LogProof.parse(data)
    text = (parsed.extra or b"{}").decode()
    spelled = rng.choice(
        [
            text.replace(":", ": ", 1),
            text.replace("1", "1.0", 1),
            text.replace("0", "-0", 1),
            text.replace('"rows":', '"rows":1,"rows":', 1),
            text.replace('"format"', '"\\u0066ormat"', 1),
            text.replace("}", ',"z\u00e9":1}', 1),
            text.replace('"', '"\\ud800', 1),
            text.replace("null", "NaN", 1),
            text.replace("null", "1e2", 1),
            text.replace("null", "12345678901234567890", 1),
            "\ufeff" + text,
            text + "\n",
            "null",
            "[]",
            "[" * 5000,
        ]
    )
    return replace(parsed, extra=spelled.encode()).format()


def _add_signature(rng: random.Random, data: bytes) -> bytes:
    """Another signature line: of a stranger, of nobody, malformed, or one that is there already."""
    stranger = SignerKey(f"stranger{rng.randrange(9)}.example", rng.randbytes(32))
    lines = [
        Note.sign("x\n", stranger).format().split("\n\n")[1].encode(),
        b"\xe2\x80\x94 nobody.example AAAAAAA=\n",
        b"\xe2\x80\x94 two words AAAAAAA=\n",
        b"\xe2\x80\x94 a+plus AAAAAAA=\n",
        "\u2014 a\u2003space AAAAAAA=\n".encode(),
        b"- nobody.example AAAAAAA=\n",
        data.rstrip(b"\n").rsplit(b"\n", 1)[1] + b"\n",
        b"\n",
    ]
    return data + rng.choice(lines) * rng.choice([1, 1, 2, 120])


def _change_path(rng: random.Random, data: bytes) -> bytes:
    parsed = LogProof.parse(data)
    path = list(parsed.path)
    at = rng.randrange(len(path))
    path[at : at + rng.randrange(2)] = rng.choice(
        [[], [bytes(32)], [bytes(31)], [made.flip(path[at])], [path[at]] * 2, [path[at]]]
    )
    return replace(parsed, path=tuple(path)).format()


CHANGES: tuple[Change, ...] = (
    _flip_bit,
    _cut,
    _drop_piece,
    _insert,
    _shuffle_lines,
    _change_index,
    _change_json,
    _change_json,
    _respell,
    _add_signature,
    _change_path,
)


def test_changed_proofs_get_the_same_verdict_as_in_python(
    verifier: Verifier, samples: Samples
) -> None:
    rng = random.Random(20261121)
    other = SignerKey(made.ORIGIN, bytes(32)).verifier().format()
    proofs = [
        (samples.row, samples.vkey),
        (samples.snapshot, samples.vkey),
        (samples.release, samples.vkey),
        (samples.cosigned(samples.row, 0, 2), samples.policy),
    ]
    cases = [*proofs, *((proof, other) for proof, _ in proofs)]
    names = ["unchanged"] * len(cases)
    for number in range(MUTATIONS):
        change = CHANGES[number % len(CHANGES)]
        proof, trust = proofs[number // len(CHANGES) % len(proofs)]
        cases.append((change(rng, proof), trust))
        names.append(f"{number} {change.__name__}")
    good, refused = assert_same(verifier, cases, names)
    assert good >= len(proofs) + 3, "no mutation was harmless: the test says little"
    assert refused > MUTATIONS / 2


# -- keys and policies -----------------------------------------------------------------------------


def _trusts(samples: Samples) -> Iterator[str]:
    vkey, policy = samples.vkey, samples.policy
    name, key_id, key = vkey.split("+", 2)
    witness = samples.witnesses[0].verifier().format()
    second = samples.witnesses[1].verifier().format()
    ml_dsa = SignerKey("pq.example", bytes(32), KeyKind.ML_DSA_44_COSIGNATURE).verifier().format()
    raw = base64.b64decode(key)
    yield from (
        vkey,
        f"\n  {vkey}\n",
        f"{vkey}\n{vkey}",
        f"{vkey} ",
        vkey[:-1],
        f"{vkey}=",
        "",
        "x",
    )
    yield from (
        f"{name}+{key_id}+{key}+{key}",
        f"+{key_id}+{key}",
        f"{name}+{key_id.upper()}+{key}",
    )
    yield from (f"{name}+{key_id}+{base64.b64encode(raw[:-1]).decode()}", witness, ml_dsa)
    not_a_point = b"\x01" + b"\xff" * 32
    for odd in (not_a_point, b"\x07" + raw[1:], b""):
        digest = hashlib.sha256(name.encode() + b"\n" + odd).hexdigest()[:8]
        yield f"{name}+{digest}+{base64.b64encode(odd).decode()}"
    log = f"log {vkey}\n"
    yield from (
        policy,
        policy.rstrip("\n"),
        policy.replace(" ", "\t "),
        f"  # x\n\n{policy}\n \t\n",
    )
    yield from (policy.replace("\n", "\r\n"), policy + "quorum none\n", policy.replace("2", "02"))
    for rule in (
        "any",
        "all",
        "0",
        "1",
        "3",
        "4",
        "-1",
        "two",
        "constructor",
        "99999999999999999999",
    ):
        yield policy.replace("watchers 2", f"watchers {rule}")
    yield from (
        log + "quorum none\n",
        log + "quorum watchers\n",
        "quorum none\n",
        log,
        "quorum none",
    )
    yield from (log + log + "quorum none\n", f"log {vkey} https://log.example x\nquorum none\n")
    yield from (f"log {witness}\nquorum none\n", log + f"witness w {vkey}\nquorum w\n")
    yield from (log + f"witness none {witness}\nquorum none\n", f"log {vkey} url\nquorum none\n")
    both = f"witness a {witness}\nwitness b {second} https://b.example\n"
    yield from (log + both + "quorum a\n", log + both + "quorum b\n", log + both + "quorum c\n")
    yield log + both + "group g any a a\nquorum g\n"
    yield log + both + "group g any a\ngroup h any a b\nquorum h\n"
    yield log + both + "group g any a\ngroup h all g b\nquorum h\n"
    yield log + both + "group h all g b\ngroup g any a\nquorum h\n"
    yield log + both + "group a any b\nquorum a\n"
    yield log + both + "group g any\nquorum g\n"
    yield log + both + "group g any none\nquorum g\n"
    yield log + f"witness a {witness}\nwitness b {witness}\nquorum a\n"
    yield log + f"witness p {ml_dsa}\nquorum none\n"
    yield log + f"witness p {ml_dsa}\nquorum p\n"
    yield from (log + "constructor x\nquorum none\n", log + "quorum\n", log + "quorum none none\n")
    yield from (
        log + "\x01\nquorum none\n",
        log + "quorum none\x7f\n",
        "# log\n" + log + "quorum none\n",
    )
    yield f"log another.example+00000000+{key}\n{log}quorum none\n"
    yield log + "".join(f"group g{n} any\n" for n in range(3)) + "quorum none\n"


def test_keys_and_policies_get_the_same_verdict_as_in_python(
    verifier: Verifier, samples: Samples
) -> None:
    proof = samples.cosigned(samples.row, 0, 2)
    trusts = list(_trusts(samples))
    good, refused = assert_same(verifier, [(proof, trust) for trust in trusts], trusts)
    assert good >= 12
    assert refused >= 35


# -- values of cells -------------------------------------------------------------------------------


class OneRow:
    """A log with one table of one row: proofs of cells with any bytes in them."""

    def __init__(self) -> None:
        self.signer = SignerKey("one.example/row", bytes([7]) * 32)

    def proof(self, raw: bytes, kind: str = "text", size: int = 1, index: int = 0) -> bytes:
        """A proof whose only cell holds these bytes."""
        cell = Cell.opened("v", bytes(range(16)), raw)
        row = leaf_hash(cell.digest)
        manifest = {
            "format": FORMAT,
            "commitment": ROW_COMMIT,
            "schema": [{"name": "v", "type": kind}],
            "rows": 1,
            "root": row.hex(),
        }
        entry = leaf_hash(encode_manifest(manifest))
        tree = Tree(entry if n == index else leaf_hash(b"%d" % n) for n in range(size))
        note = Checkpoint(self.signer.name, size, tree.root()).sign(self.signer)
        path = tuple(inclusion_proof(tree, index, size))
        extra = row_extra(manifest, 0, [], [cell])
        return LogProof(index, path, note, extra).format()


def _items() -> Iterator[bytes]:
    """Bytes of CBOR items, good and bad: every head, floats of every width, tags, nonsense."""
    rng = random.Random(7)
    for number in (0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**70):
        yield from (cbor.encode_int(number), cbor.encode_int(-1 - number))
    for value in (0.0, -0.0, 1.5, 5.960464477539063e-08, 65504.0, 65505.0, 1e300, 0.1, 2.0**-25):
        yield cbor.encode_float(value)
        yield b"\xfa" + struct.pack(">f", value if value < 1e30 else 3e38)
        yield b"\xfb" + struct.pack(">d", value)
    yield from (cbor.NAN, b"\xf9\x7e\x01", b"\xfa\x7f\xc0\x00\x00", b"\xfb\x7f\xf8" + bytes(6))
    for bits in (0x7C00, 0xFC00, 0x0001, 0x03FF, 0x0400, 0x8000):
        yield b"\xf9" + struct.pack(">H", bits)
    yield from (b"\xfa" + struct.pack(">f", float("inf")), b"\xfb" + struct.pack(">d", -2.5))
    yield from (cbor.NULL, cbor.TRUE, cbor.FALSE, b"\xf7", b"\xf8\x20", b"\xff", b"\xf3", b"")
    for text in ("", "a", "मज़दूरी", "\ufeffx", "x\x00", "\U0001f600", "x" * 300):
        yield cbor.encode_text(text)
    yield from (b"\x62\xc3\x28", b"\x63\xed\xa0\x80", b"\x61", b"\x7f\x61a\xff", b"\x78\x01a")
    yield from (cbor.encode_bytes(b""), cbor.encode_bytes(bytes(30)), b"\x5f\x41a\xff", b"\x42a")
    for unscaled, scale in ((0, 0), (150, 2), (-150, 2), (5, 9), (10**40, 3), (7, -2)):
        yield cbor.encode_decimal(unscaled, scale)
    yield from (b"\xc4\x82\x20\xf5", b"\xc4\x81\x20", b"\xc4\x01", b"\xc4\x82\x20\x61a")
    for days in (0, -719_162, -719_163, 2_932_896, 2_932_897, 10**9, 10**19):
        yield cbor.encode_date(days)
    yield from (
        b"\xc2\x41\x01",
        b"\xc2\x49\x00" + bytes([1] * 8),
        b"\xc2\x40",
        b"\xc2\x4a\x00" + bytes([1] * 9),
        b"\xc3\x49" + b"\xff" * 9,
    )
    yield from (
        b"\xd9\x01\x00\x01",
        b"\xd8\x17\x01",
        b"\xd8\x64\xf4",
        b"\xd8\x64\x61a",
        b"\xc1\x1a\x00\x00\x00\x01",
    )
    yield from (
        b"\x80",
        b"\x83\x01\x02\x03",
        b"\x83\x01\x02",
        b"\x9f\xff",
        b"\xa0",
        b"\xa1\x01\x02",
    )
    yield from (b"\x81" * 16 + b"\x01", b"\x81" * 17 + b"\x01", b"\x9b" + b"\xff" * 8, b"\x01\x01")
    yield from (b"\x1c", b"\x18\x17", b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1b" + bytes(8))
    for _ in range(150):
        yield rng.randbytes(rng.randint(1, 6))


def test_cells_with_any_bytes_are_read_as_in_python(verifier: Verifier) -> None:
    one = OneRow()
    vkey = one.signer.verifier().format()
    items = list(_items())
    cases = [(one.proof(raw), vkey) for raw in items]
    good, refused = assert_same(verifier, cases, [raw.hex() for raw in items])
    assert good > 80
    assert refused > 80


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (cbor.encode(12), "int", "12"),
        (cbor.encode_decimal(-5, 3), "decimal(9,3)", "-0.005"),
        (cbor.encode_decimal(0, 2), "decimal(9,2)", "0.00"),
        (cbor.encode_decimal(123, 0), "decimal(9,0)", "123"),
        (cbor.encode_int(-1), "timestamp", "1969-12-31 23:59:59.999999 UTC"),
        (cbor.encode_int(1_709_164_800_000_000), "timestamp", "2024-02-29 00:00:00 UTC"),
        (cbor.encode_int(2**62), "timestamp", str(2**62)),
        (cbor.encode_date(-1), "date", "1969-12-31"),
        (cbor.encode_date(2_932_896), "date", "9999-12-31"),
        (cbor.encode_date(-719_162), "date", "0001-01-01"),
        (cbor.encode(-0.0), "float", "-0"),
        (cbor.encode(float("nan")), "float", "NaN"),
        (cbor.encode(b"\x00\xff"), "blob", "00ff"),
        (cbor.encode("मज़दूरी"), "text", "मज़दूरी"),
        (cbor.encode(True), "bool", "true"),
    ],
)
def test_values_are_written_exactly(
    verifier: Verifier, value: bytes, kind: str, shown: str
) -> None:
    one = OneRow()
    result = verifier.verify(one.proof(value, kind), one.signer.verifier().format())
    assert result["row"]["values"] == [["v", shown]]


def test_sizes_up_to_the_largest_are_exact(verifier: Verifier) -> None:
    """A path of a log with more than 2**53 entries: built upwards from the leaf."""
    signer = SignerKey("large.example/log", bytes([9]) * 32)
    entry = canonical_json({"format": FORMAT})
    cases, names = [], []
    for size in (2**53 + 1, 2**62 + 3, 2**63 - 1):
        for index in (0, size // 3, size - 2, size - 1):
            root, path = _climb(leaf_hash(entry), index, size)
            note = Checkpoint(signer.name, size, root).sign(signer)
            extra = canonical_json({"format": "tracient-proof/1", "manifest": {"format": FORMAT}})
            for moved in (index, index ^ 1):
                if 0 <= moved < size:
                    cases.append(
                        (LogProof(moved, path, note, extra).format(), signer.verifier().format())
                    )
                    names.append(f"entry {moved} of {size}, made for {index}")
    good, refused = assert_same(verifier, cases, names)
    assert good == 12
    assert refused >= 9


def _climb(leaf: bytes, index: int, size: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Root and path of a leaf whose siblings are invented."""
    first, last, root, path = index, size - 1, leaf, []
    while last:
        if first & 1 or first < last:
            sibling = hashlib.sha256(b"%d %d" % (first, last)).digest()
            path.append(sibling)
            pair = sibling + root if first & 1 or first == last else root + sibling
            root = hashlib.sha256(b"\x01" + pair).digest()
        first, last = first >> 1, last >> 1
    return root, tuple(path)
