"""Proofs that are whole but for one rule: every hash and signature fits, and both refuse them.

What belongs here: what only strictness refuses, so that each rule of the page and of the package
has a proof that would pass without it. What does not: random changes (``test_verifier_agreement``).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger_anchor import cbor
from ledger_anchor.errors import AnchorError
from ledger_anchor.manifest import FORMAT, ROW_COMMIT
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Signature, encode_base64
from ledger_anchor.tlog.proof import EXTRA_FORMAT, HEADER, cell_digest, verify_proof
from ledger_anchor.tree import leaf_hash, node_hash
from tests.browser.verifier_page import Verifier

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SIGNER = SignerKey("strict.example/log", bytes([3]) * 32)
OTHER = SignerKey("other.example/log", bytes([4]) * 32)
WITNESS = SignerKey("watch.example/w", bytes([5]) * 32, KeyKind.ED25519_COSIGNATURE)
VKEY = SIGNER.verifier().format()
SALT = bytes(range(16))


def _cell(name: str, value: object, salt: bytes = SALT) -> dict[str, str]:
    encoded = {"salt": encode_base64(salt), "value_cbor": encode_base64(cbor.encode(value))}
    return {"name": name, **encoded}


def _digest(cell: dict[str, str]) -> bytes:
    salt, value = (base64.b64decode(cell[key]) for key in ("salt", "value_cbor"))
    return cell_digest(salt, value, cell["name"])


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _lax_root(leaf: bytes, size: str, path: tuple[bytes, ...]) -> bytes:
    """Where a path from leaf 0 leads to if nobody counts its hashes."""
    last = int(size) - 1 if size.isdecimal() else 0
    for sibling in path:
        leaf = node_hash(leaf, sibling) if last else node_hash(sibling, leaf)
        last >>= 1
    return leaf


@dataclass
class Forge:
    """A proof of one row, in a log of one entry, put together by hand."""

    cells: list[Any] = field(default_factory=lambda: [_cell("a", 12), _cell("b", "text")])
    leaf: bytes | None = None
    schema: list[Any] = field(
        default_factory=lambda: [{"name": name, "type": "text"} for name in ("a", "b")]
    )
    manifest: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    replaced: tuple[str, str] = ("", "")  # in the canonical text of the entry, before it is hashed
    size: str = "1"
    signer: SignerKey = SIGNER
    origin: str | None = None
    extension: str = ""
    tail: str = ""
    path: tuple[bytes, ...] = ()
    row_path: tuple[str, ...] = ()
    key_id: bytes | None = None
    signature: bytes | None = None
    row: bool = True

    def build(self) -> bytes:
        """The file."""
        digests = [_digest(cell) for cell in self.cells if "salt" in cell] or [bytes(32)]
        leaf = self.leaf or leaf_hash(b"".join(digests))
        manifest = {
            "commitment": ROW_COMMIT,
            "format": FORMAT,
            "root": leaf.hex(),
            "rows": 1,
            "schema": self.schema,
        }
        entry = _dump({**manifest, **self.manifest}).replace(*self.replaced)
        row = {"cells": self.cells, "number": 0, "path": self.row_path}
        extra = {"format": EXTRA_FORMAT, **({"row": row} if self.row else {}), **self.extra}
        # keys in order: format, manifest, row
        text = _dump({**extra, "manifest": "@"}).replace('"@"', entry)
        root = _lax_root(leaf_hash(entry.encode("utf-8", "surrogatepass")), self.size, self.path)
        lines = [HEADER, "extra " + encode_base64(text.encode("utf-8", "surrogatepass")), "index 0"]
        lines += [encode_base64(sibling) for sibling in self.path]
        note = self._note(encode_base64(root)) + self.tail
        return ("\n".join(lines) + "\n\n" + note).encode("utf-8", "surrogatepass")

    def _note(self, root: str) -> str:
        text = f"{self.origin or SIGNER.name}\n{self.size}\n{root}\n{self.extension}"
        made = self.signature or self.signer.sign(text.encode())
        identity = self.key_id or self.signer.verifier().id
        return f"{text}\n{Signature(self.signer.name, identity, made).format()}"


def _entry(old: str, new: str) -> Forge:
    return Forge(replaced=(old, new))


def _two_digests(first: int, second: int) -> Forge:
    """Two hidden cells whose digests together are as long as they must be."""
    raw = bytes(range(first + second))
    cells = [
        {"name": name, "digest": encode_base64(part)}
        for name, part in (("a", raw[:first]), ("b", raw[first:]))
    ]
    return Forge(cells=cells, leaf=leaf_hash(raw))


def _good() -> Iterator[tuple[str, bytes, str]]:
    yield "as it must be", Forge().build(), VKEY
    yield "with an extension line", Forge(extension="extension\n").build(), VKEY
    yield "two hidden cells", _two_digests(32, 32).build(), VKEY
    yield "more in the contents", Forge(extra={"note": "x"}).build(), VKEY
    long = (bytes(32),) * 63
    yield "the largest log", Forge(size=str(2**63 - 1), path=long).build(), VKEY
    yield "no row", Forge(row=False).build(), VKEY
    yield "another integer", _entry('"root"', '"other":9007199254740991,"root"').build(), VKEY
    yield "a small one", _entry('"root"', '"other":0,"root"').build(), VKEY
    yield "an escape in its one form", _entry('"root"', '"other":"\\u001f","root"').build(), VKEY
    yield "text with an escape", Forge(manifest={"z": '\x7f\u2028"\\\n\x01'}).build(), VKEY
    yield "a policy", Forge().build(), f"log {VKEY}\nquorum none\n"


def _bad_rows() -> Iterator[tuple[str, bytes, str]]:
    yield "a salt of 15 bytes", Forge(cells=[_cell("a", 1, SALT[1:]), _cell("b", 2)]).build(), VKEY
    yield (
        "a salt of 17 bytes",
        Forge(cells=[_cell("a", 1, SALT + b"x"), _cell("b", 2)]).build(),
        VKEY,
    )
    yield "digests that borrow a byte", _two_digests(31, 33).build(), VKEY
    yield "a digest of no bytes", _two_digests(0, 64).build(), VKEY
    swapped = [{"name": name, "type": "text"} for name in ("b", "a")]
    yield "columns in another order", Forge(schema=swapped).build(), VKEY
    yield "a column too few", Forge(schema=swapped[1:]).build(), VKEY
    yield "another commitment", Forge(manifest={"commitment": "row-commit/2"}).build(), VKEY
    yield "rows as text", Forge(manifest={"rows": "1"}).build(), VKEY
    yield "rows as a truth value", Forge(manifest={"rows": True}).build(), VKEY
    yield "a root as a list", Forge(manifest={"root": []}).build(), VKEY
    root = node_hash(bytes(32), leaf_hash(b"".join(map(_digest, Forge().cells)))).hex()
    zeros = encode_base64(bytes(32))
    yield "a row's hash too many", Forge(manifest={"root": root}, row_path=(zeros,)).build(), VKEY
    yield "a row's hash too few", Forge(manifest={"rows": 2}).build(), VKEY
    yield "a row of another table", Forge(manifest={"root": "00" * 32}).build(), VKEY


def _bad_entries() -> Iterator[tuple[str, bytes, str]]:
    yield "another format", Forge(manifest={"format": "tracient-snapshot/2"}).build(), VKEY
    yield (
        "another format of the contents",
        Forge(extra={"format": "tracient-proof/2"}).build(),
        VKEY,
    )
    for text in ("1.0", "1e0", "9007199254740992", "-0", "NaN", "Infinity", "01", "0.5"):
        yield f"a number {text}", _entry('"root"', f'"other":{text},"root"').build(), VKEY
    yield "a key twice", _entry('"rows":1', '"rows":1,"rows":1').build(), VKEY
    yield "keys out of order", _entry('"rows":1', '"zoo":1,"rows":1').build(), VKEY
    yield "a key that is not ASCII", _entry("]}", '],"s\u00e9":1}').build(), VKEY
    yield "a space", _entry('"rows":1', '"rows": 1').build(), VKEY
    yield "an escape not needed", _entry('"rows"', '"r\\u006fws"').build(), VKEY
    yield "an escape in capitals", _entry('"root"', '"other":"\\u001F","root"').build(), VKEY
    yield "half a pair", _entry('"root"', '"other":"\\ud800","root"').build(), VKEY
    yield "half a pair in bytes", _entry('"root"', '"other":"\ud800","root"').build(), VKEY
    yield "too long a manifest", Forge(manifest={"z": "x" * 65_535}).build(), VKEY


def _bad_checkpoints() -> Iterator[tuple[str, bytes, str]]:
    for size in ("01", "+1", "1 ", "9223372036854775808", "", "0x1"):
        yield f"a size {size!r}", Forge(size=size).build(), VKEY
    yield "a size beyond 2**63 - 1", Forge(size=str(2**63), path=(bytes(32),) * 63).build(), VKEY
    yield "a hash too many", Forge(path=(bytes(32),)).build(), VKEY
    yield "a hash too few", Forge(size="2").build(), VKEY
    yield "65 hashes", Forge(size="1", path=(bytes(32),) * 65).build(), VKEY
    yield "a signature by nobody", Forge(signature=bytes(64)).build(), VKEY
    yield "a letter for the last line end", Forge().build()[:-1] + b"x", VKEY
    yield "a control character that is signed", Forge(extension="x\x01\n").build(), VKEY
    yield "a tab that is signed", Forge(extension="x\ty\n").build(), VKEY
    yield "a return that is signed", Forge(extension="x\r\n").build(), VKEY
    yield "more after the last line", Forge(tail="x").build(), VKEY
    yield "an empty line at the end", Forge(tail="\n").build(), VKEY
    yield "the last line end is missing", Forge().build()[:-1], VKEY
    yield "another origin under the key", Forge(origin="elsewhere.example/log").build(), VKEY


def _bad_trust() -> Iterator[tuple[str, bytes, str]]:
    both = f"log {VKEY}\nlog {OTHER.verifier().format()}\nquorum none\n"
    yield "signed by the other log only", Forge(signer=OTHER).build(), both
    forged = VKEY.replace(SIGNER.verifier().id.hex(), "00000001")
    yield "a key id that is not the key's", Forge(key_id=b"\0\0\0\1").build(), forged
    key, witness = OTHER.verifier().format(), WITNESS.verifier().format()
    yield (
        "a witness with a log's kind",
        Forge().build(),
        f"log {VKEY}\nwitness w {key}\nquorum none\n",
    )
    yield (
        "a log with a witness's kind",
        Forge().build(),
        f"log {VKEY}\nlog {witness}\nquorum none\n",
    )
    yield "a control character in a comment", Forge().build(), f"# \x01\nlog {VKEY}\nquorum none\n"
    group = f"log {VKEY}\nwitness w {witness}\ngroup g"
    yield "a group that asks for too many", Forge().build(), f"{group} 2 w\nquorum none\n"
    yield "a group of its own name", Forge().build(), f"{group} any w g\nquorum none\n"
    yield "names not defined", Forge().build(), f"log {VKEY}\nquorum __proto__\n"


def _stray_bits(proof: bytes) -> bytes:
    """The signature in base64 that decodes to the same bytes and is spelled differently."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = proof.rstrip(b"\n")
    padding = len(body) - len(body.rstrip(b"="))
    assert padding, "nothing to hide bits in"
    at = len(body) - padding - 1
    letter = alphabet[alphabet.index(body[at : at + 1]) + 1]
    return body[:at] + bytes([letter]) + body[at + 1 :] + b"\n"


def _cases() -> list[tuple[str, bytes, str, bool]]:
    cases = [(*case, True) for case in _good()]
    for bad in (_bad_rows(), _bad_entries(), _bad_checkpoints(), _bad_trust()):
        cases += [(*case, False) for case in bad]
    cases.append(("bits hidden in base64", _stray_bits(Forge().build()), VKEY, False))
    # a point of order 1 in its second spelling: any signature with R = S*B passes a lax verifier
    raw = b"\x01" + (2**255 - 19 + 1).to_bytes(32, "little")
    digest = hashlib.sha256(SIGNER.name.encode() + b"\n" + raw).digest()[:4]
    twin = f"{SIGNER.name}+{digest.hex()}+{encode_base64(raw)}"
    cases.append(("a key in its second spelling", _signed_by_nobody(digest), twin, False))
    return cases


def _signed_by_nobody(key_id: bytes) -> bytes:
    """S = 0 and R the neutral point: fits every text under a key of order 1."""
    proof = Forge().build()
    head, _, _ = proof.rpartition("\u2014".encode())
    blob = encode_base64(key_id + b"\x01" + bytes(63))
    return head + f"\u2014 {SIGNER.name} {blob}\n".encode()


def test_both_refuse_what_only_a_rule_refuses(chromium: Any) -> None:
    verifier = Verifier(chromium)
    cases = _cases()
    found = verifier.verify_all([(proof, trust) for _, proof, trust, _ in cases])
    verifier.page.close()
    for (name, proof, trust, is_good), result in zip(cases, found, strict=True):
        assert result.get("code") != "internal", f"{name}: {result}"
        assert result["is_ok"] is is_good, f"in the page: {name}: {result}"
        assert _passes(lambda p=proof, t=trust: verify_proof(p, t)) is is_good, f"in Python: {name}"


def _passes(check: Callable[[], object]) -> bool:
    try:
        check()
    except AnchorError:
        return False
    return True
