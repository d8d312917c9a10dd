"""The auditor's walk-through works as written: every command of the page runs, and prints that."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.notes.policy import Group, Policy, Witness
from ledger_anchor.snapshots.disclosure import prove_row
from ledger_anchor.standalone import archive

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "auditor_walkthrough.md"
# A Python without our environment's packages, as on an auditor's own machine.
BARE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
WITNESSES = ("government", "employers", "auditors")
PARTS = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the page's console blocks with the lines it is to print."""
    for kind, body in PARTS.findall(page):
        if kind == "console":
            for block in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, *lines = block.rstrip("\n").split("\n")
                yield command, lines


def cosigned(note: bytes) -> bytes:
    """The checkpoint with the cosignatures of two of three witnesses."""
    opened = Note.parse(note)
    lines = list(opened.signatures)
    for number, signer in enumerate(witness_keys()[:2]):
        signature = signer.sign(opened.text.encode(), 1_760_000_000 + number)
        lines.append(Signature(signer.name, signer.verifier().id, signature))
    return Note(opened.text, tuple(lines)).format().encode()


def witness_keys() -> list[SignerKey]:
    kind = KeyKind.ED25519_COSIGNATURE
    return [
        SignerKey(f"{name}.example.org/witness", bytes([number]) * 32, kind)
        for number, name in enumerate(WITNESSES, 1)
    ]


def write(path: Path, amounts: list[int]) -> TableSpec:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = [f"p{number}" for number in range(len(amounts))]
    table = pa.table({"id": keys, "worker": ["w0", "w1"] * (len(amounts) // 2), "paise": amounts})
    pq.write_table(table, path)
    return TableSpec("payments", "wages", [path], ["id"], "worker")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The files the page starts with."""
    home, given = tmp_path / "home", tmp_path / "given"
    for folder in (home, given):
        folder.mkdir()
    store = SnapshotStore(home)
    store.initialise("example.org/tracient")
    store.commit_table(write(home / "lake" / "0.parquet", [100, 200]))
    (given / "older-checkpoint").write_bytes(store.reader().checkpoint_note())
    snapshot = store.commit_table(write(home / "lake" / "0.parquet", [100, 200, 300, 400]))
    checkpoint = home / "anchors" / "log" / "checkpoint"
    checkpoint.write_bytes(cosigned(checkpoint.read_bytes()))
    proof = prove_row(SnapshotStore(home), snapshot.snapshot_id, {"id": "p2"}, ["paise"])
    (given / "row.tlog-proof").write_bytes(proof)
    shutil.copytree(home / "anchors" / "log", given / "log")
    shutil.copy(home / "anchors" / "log.vkey", given)
    keys = [key.verifier() for key in witness_keys()]
    witnesses = tuple(Witness(name, key) for name, key in zip(WITNESSES, keys, strict=True))
    log = Policy.of_key(store.reader().verifier).log_keys
    policy = Policy(log, witnesses, (Group("quorum", "2", WITNESSES),), "quorum")
    (given / "policy").write_text(policy.format())
    (given / "ledger-anchor.pyz").write_bytes(archive())
    script = next(body for kind, body in PARTS.findall(PAGE.read_text()) if kind == "python")
    (given / "by_hand.py").write_text(script)
    return given


def test_every_command_of_the_page_does_what_the_page_says(given: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(BARE_PYTHON)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    ran = 0
    for command, lines in commands(PAGE.read_text()):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=given, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        printed = done.stdout + done.stderr
        expected = "\n".join(lines)
        code = 1 if expected.endswith("(exit 1)") else 0
        assert done.returncode == code, (command, printed)
        assert "Traceback" not in printed
        wanted = expected.removesuffix(" (exit 1)")
        if wanted:
            pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
            assert re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL), (command, printed)
        ran += 1
    assert ran >= 12
    assert (given / "remembered").is_file()
