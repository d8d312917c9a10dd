"""``ledger-anchor`` as a user meets it: what it prints, its exit codes, and no traceback."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec
from ledger_anchor.cli import main


def write(home: Path, amounts: list[int]) -> TableSpec:
    path = home / "lake" / "payments" / "0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = [f"p{number}" for number in range(len(amounts))]
    workers = [f"w{number % 2}" for number in range(len(amounts))]
    pq.write_table(pa.table({"id": keys, "worker": workers, "paise": amounts}), path)
    return TableSpec("payments", "wages", [path], ["id"], "worker")


@pytest.fixture
def filled(home: Path) -> Path:
    SnapshotStore(home).commit_table(write(home, [100, 200, 300, 400]))
    return home


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["verify", "audit", "checkpoint"])
def test_an_empty_home_says_that_nothing_is_anchored_yet(
    home: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--home", home) == 0
    assert "nothing is anchored yet" in capsys.readouterr().out
    assert run(command, "--home", home, "--json") == 0
    assert isinstance(printed(capsys), dict)
    assert list(home.iterdir()) == []


def test_the_home_comes_from_the_environment_or_is_asked_for(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACIENT_HOME", str(filled))
    assert run("verify") == 0
    monkeypatch.setenv("TRACIENT_HOME", str(filled / "nowhere"))
    assert run("verify") == 2
    assert "give --home DIR or set TRACIENT_HOME" in capsys.readouterr().err


def test_verify_says_what_is_proven_and_what_is_not(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", "--home", filled) == 0
    out = capsys.readouterr().out
    assert "Proven:" in out
    assert "Not proven:\n  - that the data was true" in out
    assert run("verify", "--home", filled, "--json") == 0
    report = printed(capsys)
    assert (report["is_ok"], report["size"], report["snapshots"]) == (True, 1, 1)


def test_audit_names_dataset_row_and_column_and_exits_with_1(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("audit", "--home", filled) == 0
    assert "1 snapshots re-hashed" in capsys.readouterr().out
    write(filled, [100, 200, 301, 400])
    assert run("audit", "--home", filled) == 1
    out = capsys.readouterr().out
    assert "dataset payments" in out
    assert "lake/payments/0.parquet row 3, key id=p2" in out
    assert "column paise" in out
    assert run("audit", "--home", filled, "--json") == 1
    problem = printed(capsys)["problems"][0]
    assert (problem["dataset"], problem["column"]) == ("payments", "paise")
    assert (problem["row_key"], problem["file_row"]) == ({"id": "p2"}, 3)
    assert len(problem["expected"]) == len(problem["found"]) == 8


def test_a_row_is_proven_with_the_chosen_columns_and_the_public_key_alone(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof, vkey = tmp_path / "row.tlog-proof", filled / "anchors" / "log.vkey"
    asked = ("prove-row", "--home", filled, "--dataset", "payments", "--key", "id=p2")
    assert run(*asked, "--disclose", "paise", "--out", proof) == 0
    capsys.readouterr()
    assert run("verify-proof", proof, "--vkey", vkey) == 0
    out = capsys.readouterr().out
    assert "paise: 300" in out
    assert "not disclosed: id, worker" in out
    assert run("verify-proof", proof, "--vkey", vkey, "--json") == 0
    row = printed(capsys)["row"]
    assert (row["values"], row["hidden_columns"]) == ({"paise": 300}, ["id", "worker"])
    assert b"w0" not in proof.read_bytes()


def test_a_disclosed_value_that_was_changed_does_not_verify(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ledger_anchor import cbor
    from ledger_anchor.notes.encoding import encode_base64
    from ledger_anchor.tlog.proof import LogProof

    proof = tmp_path / "row.tlog-proof"
    run("prove-row", "--home", filled, "--dataset", "payments", "--key", "id=p2",
        "--disclose", "paise", "--out", proof)  # fmt: skip
    parsed = LogProof.parse(proof.read_bytes())
    assert parsed.extra is not None
    old, new = (encode_base64(cbor.encode(value)).encode() for value in (300, 999))
    changed = LogProof(
        parsed.index, parsed.path, parsed.checkpoint_note, parsed.extra.replace(old, new)
    )
    proof.write_bytes(changed.format())
    assert run("verify-proof", proof, "--vkey", filled / "anchors" / "log.vkey") == 1
    error = capsys.readouterr().err
    assert "the proof leads to" in error
    assert "Traceback" not in error


def test_a_snapshot_is_proven_and_another_logs_key_does_not_verify_it(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof, key = tmp_path / "s.tlog-proof", tmp_path / "other.key"
    assert run("prove-snapshot", "--home", filled, "--dataset", "payments", "--out", proof) == 0
    assert run("keygen", "--name", "example.org/other", "--out", key, "--json") == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    out = capsys.readouterr().out
    other = json.loads(out[out.index("{") :])["vkey"]
    assert run("verify-proof", proof, "--vkey", filled / "anchors" / "log.vkey") == 0
    assert run("verify-proof", proof, "--vkey", other) == 1
    assert "a checkpoint of another log" in capsys.readouterr().err


def test_init_makes_an_empty_log_and_a_second_one_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("init", "--home", home / "new", "--origin", "example.org/log", "--json") == 0
    first = printed(capsys)
    assert (first["origin"], first["size"]) == ("example.org/log", 0)
    assert run("init", "--home", home / "new", "--json") == 0
    assert printed(capsys) == first
    assert run("checkpoint", "--home", home / "new") == 0
    assert capsys.readouterr().out.startswith("example.org/log\n0\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prove-row", "--dataset", "none", "--key", "id=1"], "has no snapshot"),
        (["prove-row", "--dataset", "payments", "--key", "id"], "expected COLUMN=VALUE"),
        (["prove-row", "--dataset", "payments", "--key", "id=zz"], "no row has this key"),
        (["prove-row", "--dataset", "payments", "--key", "paise=1"], "the unique key is id"),
        (
            ["prove-row", "--dataset", "payments", "--key", "id=p1", "--disclose", "x"],
            "there is no column x",
        ),
        (["prove-snapshot"], "give --snapshot ID"),
        (["init", "--origin", "two words"], None),
    ],
)
def test_wrong_use_is_told_in_one_line_with_exit_code_2(
    filled: Path, arguments: list[str], words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(*arguments, "--home", filled)
    error = capsys.readouterr().err
    if words is None:  # the home has its key already: its origin stays
        assert code == 0
        return
    assert (code, error.count("\n")) == (2, 1)
    assert words in error


def test_files_that_are_not_there_or_not_proofs_are_named(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vkey = filled / "anchors" / "log.vkey"
    assert run("verify-proof", tmp_path / "gone", "--vkey", vkey) == 2
    assert "there is no file" in capsys.readouterr().err
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"\xff\n")
    assert run("verify-proof", wrong, "--vkey", vkey) == 1
    assert run("verify-proof", wrong, "--vkey", "nothing") == 2
    assert run("verify-proof", wrong, "--vkey", "a+b") == 2
    assert "Traceback" not in capsys.readouterr().err
    (filled / "anchors" / "log" / "checkpoint").write_text("damaged")
    assert run("verify", "--home", filled, "--json") == 1
    assert not printed(capsys)["is_ok"]
    assert run("checkpoint", "--home", filled, "--json") == 1
    assert printed(capsys)["error"]


def test_a_key_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "key"
    target.write_text("mine")
    assert run("keygen", "--name", "example.org/log", "--out", target) == 2
    assert target.read_text() == "mine"
    assert "never overwritten" in capsys.readouterr().err
