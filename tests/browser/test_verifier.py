"""The verifier in a real browser: what it proves, what it refuses and in which words.

What belongs here: one proof at a time, as a person gives it. What does not: the page around it
(``test_verifier_page``), and many proofs at once (``test_verifier_agreement``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_anchor.claims import not_proven
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.tlog.proof import LogProof
from tests.anchor_samples import POLICY, row_bundle
from tests.browser import verifier_bundles as made
from tests.browser.verifier_bundles import Samples
from tests.browser.verifier_page import Verifier, payload

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return made.shared_samples(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def verifier(chromium: Any) -> Iterator[Verifier]:
    opened = Verifier(chromium)
    yield opened
    opened.page.close()
    assert opened.asked == [opened.address], "the page asked the network for something"
    assert opened.said == [], "the page wrote to the console"


@pytest.fixture(autouse=True)
def _in_english(verifier: Verifier) -> None:
    verifier.speak("en")


# -- what is proven --------------------------------------------------------------------------------


def test_a_row_shows_each_disclosed_value_by_its_type_and_lists_the_hidden_columns(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.give(samples.row, samples.vkey)
    assert verifier.state == "proven"
    assert "These values of raw_wages__upi_settlements" in verifier.text("#result h2")
    rows = verifier.page.eval_on_selector_all(
        "#result table.cells tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.innerText))"
    )
    assert rows == [
        ["settlement_id", "S-00005", "text"],
        ["worker_hash", "hidden", "text"],
        ["employer_hash", "hidden", "text"],
        ["amount_paise", "1235750", "whole number"],
        ["day_rate", "417.50", "decimal number"],
        ["paid_on", "2026-03-06", "date"],
        ["posted_at", "2026-03-02 14:20:11.123456 UTC", "time, UTC"],
        ["match_score", "0.725", "number"],
        ["is_late", "no", "yes or no"],
        ["remark", "मार्च की मज़दूरी, क़िस्त 5", "text"],
        ["bank_reference", "no value", "text"],
        ["receipt", "05ab00ff", "bytes, as hex"],
    ]


def test_a_snapshot_says_what_is_proven_and_what_its_manifest_claims(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.give(samples.snapshot, samples.vkey)
    assert verifier.text("#result h2") == f"This snapshot of {made.DATASET} is in the log"
    shown = verifier.text()
    for words in (made.ORIGIN, "as entry 0 of 2", "channel wages", f"{made.DATASET} 2.1.0"):
        assert words in shown
    assert "audit" in verifier.text(".limits")


def test_a_release_with_its_files_says_which_are_the_committed_ones(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.give(samples.release, samples.vkey, *samples.released[:2])
    assert (
        verifier.text("#result h2")
        == "These 2 files of release_wages are the ones that were committed"
    )
    assert "2 of 3 committed files are here, byte for byte." in verifier.text(".checks")
    assert "not compared are 1 of 3" in verifier.text(".limits")
    # manifest.json is one of them: it says itself that nobody real is in these figures
    assert "Simulated sample" in verifier.text(".sample")
    assert "Wages, March 2026" in verifier.text(".facts >> nth=0")


def test_a_renamed_copy_is_still_the_committed_file(verifier: Verifier, samples: Samples) -> None:
    verifier.reset()
    verifier.page.fill("#trust", samples.vkey)
    copy = payload("figures (1).parquet", samples.released[1].read_bytes())
    verifier.page.set_input_files("#files", [payload("a.tlog-proof", samples.release), copy])
    verifier.page.wait_for_selector("#result.proven")
    assert (
        verifier.text("#result h2") == f"{samples.released[1].name} is the file that was committed"
    )
    assert "given as figures (1).parquet" in verifier.text("table.files")


def test_witnesses_are_shown_with_their_times_and_the_quorum(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.give(samples.cosigned(samples.row, 0, 2), samples.policy)
    assert verifier.state == "proven"
    assert "The quorum of your policy holds: watchers (2/3" in verifier.text(".checks")
    assert "the first on 14 Mar 2026, 12:00:00 UTC" in verifier.text(".checks")
    assert verifier.text("table.watchers tbody").split("\n") == [
        "labour-ministry\t✓ signed\t14 Mar 2026, 12:00:00 UTC",
        "employers\thas not signed\t–",
        "auditors\t✓ signed\t14 Mar 2026, 13:00:00 UTC",
    ]


def test_a_key_this_browser_cannot_check_counts_as_unchecked(verifier: Verifier) -> None:
    verifier.give(row_bundle(), POLICY)
    assert verifier.state == "proven"
    assert "w3\tcannot be checked here (ML-DSA-44)" in verifier.text("table.watchers")
    assert "What w3 signed" in verifier.text(".limits")
    verifier.give(row_bundle(), POLICY.replace("group two-of-three 2", "group two-of-three 3"))
    assert (verifier.state, verifier.code) == ("refused", "quorum_unchecked")
    assert "and w3 with keys that this page cannot check" in verifier.text()


def test_what_is_not_proven_is_what_the_package_says(verifier: Verifier, samples: Samples) -> None:
    def limits() -> list[str]:
        return verifier.page.locator(".limits li").all_inner_texts()

    for proof, trust, is_witnessed in (
        (samples.snapshot, samples.vkey, False),
        (samples.cosigned(samples.snapshot, 1, 2), samples.policy, True),
    ):
        verifier.give(proof, trust)
        sentences = [re.sub(r"^That |^When ", lambda m: m[0].lower(), text) for text in limits()]
        expected = [sentence + "." for sentence in not_proven(is_witnessed=is_witnessed)]
        assert sentences[:3] == expected


def test_other_signatures_are_counted_and_count_for_nothing(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.give(samples.cosigned(samples.row, 0, 1), samples.vkey)
    assert verifier.state == "proven"
    assert "2, by keys you did not name" in verifier.text()
    assert verifier.page.locator("table.watchers").count() == 0
    assert "times in manifests are claims until witnesses sign them" in verifier.text(".limits")


# -- what is refused, and in which sentence --------------------------------------------------------


def _cell(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Samples], bytes]:
    def changed(samples: Samples) -> bytes:
        def find(extra: dict[str, Any]) -> None:
            change(next(cell for cell in extra["row"]["cells"] if cell["name"] == name))

        return made.change_extra(samples.row, find)

    return changed


def _row(change: Callable[[dict[str, Any]], Any]) -> Callable[[Samples], bytes]:
    return lambda samples: made.change_extra(samples.row, lambda extra: change(extra["row"]))


def _manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Samples], bytes]:
    return lambda samples: made.change_extra(samples.row, lambda extra: change(extra["manifest"]))


def _resigned(samples: Samples, old: str, new: str) -> bytes:
    """A checkpoint with another text under the signature of the right one."""
    return made.change_note(
        samples.row, lambda note: replace(note, text=note.text.replace(old, new))
    )


def _by(name: str) -> Callable[[Samples], bytes]:
    """The checkpoint as another key of that name would sign it."""

    def sign(note: Note) -> Note:
        key = SignerKey(name, bytes(32))
        text = note.text.replace(made.ORIGIN, name)
        return Note(text, (Signature.by(key, text.encode()),))

    return lambda samples: made.change_note(samples.row, sign)


def _spaced(samples: Samples) -> bytes:
    parsed = LogProof.parse(samples.row)
    spaced = json.dumps(json.loads(parsed.extra or b""), ensure_ascii=False, sort_keys=True)
    return replace(parsed, extra=spaced.encode()).format()


def _flip_signature(note: Note) -> Note:
    first = note.signatures[0]
    return replace(note, signatures=(replace(first, signature=made.flip(first.signature)),))


TAMPERED: dict[str, tuple[Callable[[Samples], bytes], str, str]] = {
    "a disclosed value": (
        _cell("amount_paise", lambda cell: cell.update(value_cbor="GgAS2w4=")),
        "row_root",
        "a value, a salt or a hash was changed",
    ),
    "a salt": (
        _cell("remark", lambda cell: cell.update(salt=made.flip_base64(cell["salt"]))),
        "row_root",
        "do not rely on any of its values",
    ),
    "the digest of a hidden cell": (
        _cell("worker_hash", lambda cell: cell.update(digest=made.flip_base64(cell["digest"]))),
        "row_root",
        "Expected the table's root",
    ),
    "a hash of the row's path": (
        _row(lambda row: row["path"].__setitem__(1, made.flip_base64(row["path"][1]))),
        "row_root",
        "ask for the original proof",
    ),
    "the number of the row": (
        _row(lambda row: row.update(number=row["number"] ^ 1)),
        "row_root",
        "This row is not in the table that was committed",
    ),
    "the name of a column": (
        _cell("remark", lambda cell: cell.update(name="bonus")),
        "row_columns",
        "Expected the columns",
    ),
    "a value in a longer spelling": (
        _cell("is_late", lambda cell: cell.update(value_cbor="GAE=")),
        "cell_bad",
        "Expected a value in deterministic CBOR in column is_late",
    ),
    "a hash of the log's path": (
        lambda samples: made.change_path(samples.row, 0),
        "log_root",
        "This snapshot is not in the log",
    ),
    "a hash too many": (
        lambda samples: replace(
            LogProof.parse(samples.row), path=(*LogProof.parse(samples.row).path, bytes(32))
        ).format(),
        "log_path",
        "Expected a path of length 1 for an entry at this place, found length 2",
    ),
    "the number of the entry": (
        lambda samples: replace(LogProof.parse(samples.row), index=7).format(),
        "log_outside",
        "Expected an entry number below 2, found 7",
    ),
    "a field of the manifest": (
        _manifest(lambda manifest: manifest.update(rows=24)),
        "log_root",
        "Expected the root that the log signed",
    ),
    "the format of the manifest": (
        _manifest(lambda manifest: manifest.update(format="tracient-snapshot/9")),
        "manifest_format",
        "found tracient-snapshot/9",
    ),
    "the size in the checkpoint": (
        lambda samples: _resigned(samples, "\n2\n", "\n3\n"),
        "signature_wrong",
        "under exactly this checkpoint",
    ),
    "the signature": (
        lambda samples: made.change_note(samples.row, _flip_signature),
        "signature_wrong",
        "do not rely on this proof",
    ),
    "the key that signed": (_by(made.ORIGIN), "key_other", "Expected a signature by"),
    "the log": (
        _by("another.example/log"),
        "origin_other",
        f"Expected the log {made.ORIGIN}, found another.example/log",
    ),
    "the spelling of its contents": (_spaced, "extra_bad", "Expected canonical JSON"),
    "its end": (lambda samples: samples.row[:-9], "note_bad", "damaged or cut off"),
    "its second half": (
        lambda samples: samples.row[: samples.row.index(b"index ")],
        "proof_cut",
        "found the end of the file after line 2",
    ),
    "a line of it": (
        lambda samples: re.sub(rb"\nindex \d+", b"", samples.row),
        "proof_line",
        "Expected “index” and a number in line 3",
    ),
    "everything": (
        lambda _: b"PAR1\x15\x04\x15\x10",
        "not_proof",
        "Expected a file that begins with the line “c2sp.org/tlog-proof@v1”",
    ),
    "nothing is left": (lambda _: b"", "file_empty", "found 0 bytes"),
    "a byte that is no text": (
        lambda samples: samples.row.replace(b"index", b"\xffndex"),
        "proof_utf8",
        "plain text in UTF-8",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_proof_is_refused_in_one_sentence(
    verifier: Verifier, samples: Samples, what: str
) -> None:
    change, code, sentence = TAMPERED[what]
    verifier.give(change(samples), samples.vkey)
    assert (verifier.state, verifier.code) == ("refused", code)
    shown = verifier.text()
    assert sentence in shown
    assert "Expected" in shown
    assert "found" in shown
    # nothing of an unproven bundle is shown
    assert "मार्च की मज़दूरी" not in shown
    assert verifier.page.locator("#result table, #result .checks").count() == 0
    verifier.speak("hi")
    finding = verifier.page.evaluate(f"tracientVerify.words.hi['fail.{code}'].split('|')[0]")
    assert verifier.text("#result h2") == finding
    assert "सिद्ध नहीं" in verifier.text("#spoken")


def test_another_key_of_the_same_name_names_both_ids(verifier: Verifier, samples: Samples) -> None:
    other = SignerKey(made.ORIGIN, bytes(32)).verifier()
    verifier.give(samples.row, other.format())
    assert verifier.code == "key_other"
    assert other.id.hex() in verifier.text()
    assert samples.signer.verifier().id.hex() in verifier.text()


def test_too_few_witnesses_are_refused_and_named(verifier: Verifier, samples: Samples) -> None:
    verifier.give(samples.cosigned(samples.row, 0), samples.policy)
    assert verifier.code == "quorum"
    wanted = "Expected the quorum watchers (2/3: labour-ministry, employers, auditors)"
    assert f"{wanted}, found labour-ministry" in verifier.text()
    verifier.give(samples.row, samples.policy)
    assert "found nobody" in verifier.text()


def test_a_cosignature_that_does_not_verify_refuses_everything(
    verifier: Verifier, samples: Samples
) -> None:
    def damage(note: Note) -> Note:
        *first, last = note.signatures
        return replace(
            note, signatures=(*first, replace(last, signature=made.flip(last.signature)))
        )

    verifier.give(made.change_note(samples.cosigned(samples.row, 0, 1, 2), damage), samples.policy)
    assert verifier.code == "signature_wrong"
    assert "auditors.example/witness" in verifier.text()


def test_a_witness_ahead_of_this_clock_is_refused(verifier: Verifier, samples: Samples) -> None:
    verifier.give(samples.cosigned(samples.row, 0, 1, time=8_000_000_000), samples.policy)
    assert verifier.code == "clock"
    assert "set the clock of this device right" in verifier.text()
    ahead = samples.cosigned(samples.row, 0, 1)
    assert verifier.verify(ahead, samples.policy, now=made.NOON + 3600 - 300)["is_ok"]
    assert verifier.verify(ahead, samples.policy, now=made.NOON + 3600 - 301)["code"] == "clock"


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        ("log.tracient.example", "key_bad"),
        ("{vkey}x", "key_bad"),
        ("{name}+00000000+{key}", "key_id"),
        ("{witness}", "key_kind"),
        ("log {vkey}\nquorum nobody\n", "policy_bad"),
        ("log {vkey}\n", "policy_quorum"),
        ("lag {vkey}\nquorum none\n", "policy_bad"),
    ],
)
def test_a_wrong_key_or_policy_is_refused_with_what_to_do(
    verifier: Verifier, samples: Samples, trust: str, code: str
) -> None:
    name, _, key = samples.vkey.split("+", 2)
    witness = samples.witnesses[0].verifier().format()
    filled = trust.format(vkey=samples.vkey, name=name, key=key, witness=witness)
    verifier.give(samples.row, filled)
    assert (verifier.state, verifier.code) == ("refused", code)


@pytest.mark.parametrize("place", ["{}", "log {}\nquorum none\n", "my key: {}"])
def test_a_private_key_is_refused_and_forgotten(
    verifier: Verifier, samples: Samples, place: str
) -> None:
    secret = SignerKey(made.ORIGIN, bytes(32)).format()
    seed = secret.split("+")[-1]
    verifier.give(samples.row, place.format(secret))
    assert verifier.code == "key_private"
    assert verifier.page.input_value("#trust") == ""
    assert seed not in verifier.page.content()
    verifier.give(place.format(secret).encode(), samples.vkey)
    assert verifier.code == "key_private"
    assert seed not in verifier.page.content()


# -- released files --------------------------------------------------------------------------------


def test_a_changed_file_is_named_with_both_digests(
    verifier: Verifier, samples: Samples, tmp_path: Path
) -> None:
    committed = samples.released[1].read_bytes()
    changed = tmp_path / samples.released[1].name
    changed.write_bytes(made.flip(committed, 40))
    verifier.give(samples.release, samples.vkey, samples.released[0], changed)
    assert (verifier.state, verifier.code) == ("refused", "file_changed")
    shown = verifier.text()
    assert f"{changed.name} is not the file that was committed" in shown
    assert hashlib.sha256(committed).hexdigest() in shown
    assert hashlib.sha256(changed.read_bytes()).hexdigest() in shown
    assert "✗ differs" in verifier.text("table.files .bad")
    assert verifier.page.locator(".checks").count() == 0


@pytest.mark.parametrize(
    ("name", "content", "proof", "code"),
    [
        ("wages.csv", b"state_code,value\n", "release", "file_unknown"),
        ("pack.zip", b"PK\x03\x04rest", "release", "file_zip"),
        ("settlements.parquet", b"PAR1", "snapshot", "file_table"),
    ],
)
def test_a_file_that_cannot_be_compared_is_not_passed_over(
    verifier: Verifier,
    samples: Samples,
    tmp_path: Path,
    name: str,
    content: bytes,
    proof: str,
    code: str,
) -> None:
    odd = tmp_path / name
    odd.write_bytes(content)
    verifier.give(getattr(samples, proof), samples.vkey, odd)
    assert (verifier.state, verifier.code) == ("refused", code)
    assert name in verifier.text("#result h2")
    verifier.page.get_by_role("button", name=f"Remove {name}").click()
    verifier.page.wait_for_selector("#result.proven")


def test_files_without_a_proof_wait_for_one(verifier: Verifier, samples: Samples) -> None:
    verifier.reset()
    verifier.page.fill("#trust", samples.vkey)
    verifier.page.set_input_files("#files", [payload("a.parquet", b"PAR1")])
    verifier.page.get_by_text("None of these files is a proof").wait_for()


def test_a_manifest_too_long_for_the_proof_comes_as_a_file(
    verifier: Verifier, samples: Samples
) -> None:
    parsed = LogProof.parse(samples.snapshot)
    entry = made.canonical_json(json.loads(parsed.extra or b"")["manifest"])
    bare = replace(parsed, extra=None).format()
    verifier.give(bare, samples.vkey)
    assert verifier.code == "entry_missing"
    verifier.page.set_input_files("#files", [payload("entry.json", entry)])
    verifier.page.wait_for_selector("#result.proven")
    assert "log entry" in verifier.text("#given")
