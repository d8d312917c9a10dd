"""A contract as an external anchor, on a local Ethereum node; and the contract's own rules."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ledger_anchor.errors import (
    AnchorError,
    ExternalAnchorError,
    ExternalConflictError,
    ExternalHistoryError,
    ExternalSetupError,
    ExternalUnreachableError,
    MissingLibraryError,
    NoteError,
)
from ledger_anchor.external import evm, evm_node
from ledger_anchor.external.base import check_external, origin_hash, publish_checkpoint
from ledger_anchor.external.evm import EvmAnchor, artifact, deploy_contract
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.log import LogWriter
from ledger_anchor.tlog.log_reader import LogReader

# One worker: the library and the node are loaded once.
pytestmark = pytest.mark.xdist_group("external_evm")

TOOLS = Path(__file__).resolve().parents[1] / "evm"
needs_library = pytest.mark.skipif(
    find_spec("web3") is None, reason="web3.py is not installed (the optional extra evm)"
)
KEY = SignerKey("example.org/log", bytes(range(32)))
LOG = origin_hash(KEY.name)
# The node gives these two accounts money at its start; their keys are printed in its manual.
PUBLISHER = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
STRANGER = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
STRANGER_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
NOWHERE = "0x" + "11" * 20


def program_of_node() -> Path:
    found = sorted(TOOLS.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    elsewhere = shutil.which("anvil")
    if found or elsewhere:
        return found[0] if found else Path(str(elsewhere))
    pytest.skip("no local Ethereum node: npm ci --prefix tests/evm (`make test` does it)")


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[str]:
    """A node of our own on a port of the system's choice; its address."""
    command = [str(program_of_node()), "--port", "0", "--accounts", "2", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Listening on "):
                break
        else:
            pytest.fail("the node did not start: " + "".join(said))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield f"http://{line.removeprefix('Listening on ').strip()}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    with started() as url:
        yield url


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("keys") / "publisher", PUBLISHER)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def anchor(node: str, key_file: Path) -> EvmAnchor:
    return deploy_contract(node, key_file)


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return writer(tmp_path / "log", "a", "b", "c")


def writer(folder: Path, *entries: str) -> LogWriter:
    made = LogWriter(folder / "log", KEY, folder / "state", folder / "lock")
    made.append([entry.encode() for entry in entries])
    return made


def grown(log: LogWriter, *entries: str) -> LogReader:
    log.append([entry.encode() for entry in entries])
    return LogReader(log.storage, KEY.verifier())


def signed(size: int) -> bytes:
    return Checkpoint(KEY.name, size, bytes([size % 256]) * 32).sign(KEY).encode()


def client(url: str) -> Any:
    from web3 import HTTPProvider, Web3

    return Web3(HTTPProvider(url))


def sizes(anchor: EvmAnchor) -> list[int]:
    return [published.size for published in anchor.published(KEY.name)]


# Publishing, reading back, and comparing with the log.


@needs_library
def test_a_checkpoint_is_published_once_and_read_back(anchor: EvmAnchor, log: LogWriter) -> None:
    reader = grown(log)
    assert publish_checkpoint(reader, anchor).is_new
    assert not publish_checkpoint(reader, anchor).is_new
    (published,) = anchor.published(KEY.name)
    assert (published.size, published.root) == (3, reader.checkpoint().root)
    assert published.when is not None
    assert re.fullmatch(
        rf"contract {anchor.address} on chain 31337, block \d+, entry 0", published.where
    )
    assert list(anchor.published("example.org/other")) == []


@needs_library
def test_a_log_that_only_grew_agrees_and_one_that_did_not_is_found(
    anchor: EvmAnchor, log: LogWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evm, "_PAGE", 2)
    old = shutil.copytree(tmp_path / "log", tmp_path / "old")
    for entry in "defg":
        publish_checkpoint(grown(log, entry), anchor)
    report = check_external(grown(log, "h"), anchor)
    assert (report.is_ok, report.checked) == (True, 4)
    assert json.loads(json.dumps(report.to_json()))["newest"]["size"] == 7

    shrunk = grown(writer(old))
    assert [f.problem for f in check_external(shrunk, anchor).findings] == ["log_shrank"] * 4
    forked = grown(writer(tmp_path / "forked", *"abcdeFgh"))
    findings = check_external(forked, anchor).findings
    assert [(f.problem, f.published.size) for f in findings if f.published] == [
        ("not_prefix", 6),
        ("not_prefix", 7),
    ]
    for reader in (shrunk, forked):
        with pytest.raises(ExternalConflictError, match="nothing was published"):
            publish_checkpoint(reader, anchor)
    assert sizes(anchor) == [4, 5, 6, 7]


@needs_library
def test_where_nothing_is_published_nothing_is_good(anchor: EvmAnchor, log: LogWriter) -> None:
    report = check_external(grown(log), anchor)
    assert [finding.problem for finding in report.findings] == ["nothing_published"]


@needs_library
def test_a_smaller_size_or_another_root_is_refused_before_anything_is_sent(
    anchor: EvmAnchor, node: str
) -> None:
    anchor.publish(signed(9))
    before = client(node).eth.block_number
    with pytest.raises(ExternalConflictError, match="the log shrank"):
        anchor.publish(signed(8))
    other = Checkpoint(KEY.name, 9, bytes(32)).sign(KEY).encode()
    with pytest.raises(ExternalConflictError, match="another root at size 9"):
        anchor.publish(other)
    with pytest.raises(NoteError):
        anchor.publish(b"no checkpoint")
    assert client(node).eth.block_number == before


@needs_library
def test_the_contract_itself_lets_only_its_publisher_write_and_sizes_only_grow(
    anchor: EvmAnchor, node: str, key_file: Path, tmp_path: Path
) -> None:
    from web3.exceptions import ContractCustomError

    anchor.publish(signed(9))
    contract = client(node).eth.contract(address=anchor.address, abi=artifact()["abi"])
    publisher = contract.functions.publisher().call()
    for sender, size in ((publisher, 9), (publisher, 8), (publisher, 0), (STRANGER_ADDRESS, 10)):
        with pytest.raises(ContractCustomError):
            contract.functions.publish(LOG, size, bytes(32)).transact({"from": sender})
    assert contract.functions.latest(LOG).call()[0] == 9
    assert contract.functions.entry(LOG, 0).call()[3] == bytes([9]) * 32
    with pytest.raises(ContractCustomError):
        contract.functions.latest(bytes(32)).call()
    (event,) = contract.events.Published().get_logs(from_block=0)
    assert dict(event["args"]) == {
        "originHash": LOG, "index": 0, "size": 9, "root": bytes([9]) * 32
    }  # fmt: skip
    stranger = EvmAnchor(node, anchor.address, written(tmp_path / "stranger", STRANGER))
    with pytest.raises(ExternalSetupError, match=f"of its publisher {publisher}"):
        stranger.publish(signed(10))


@needs_library
def test_a_race_within_one_publisher_is_decided_by_the_contract(
    anchor: EvmAnchor, node: str, key_file: Path
) -> None:
    def race(_published: object) -> None:
        EvmAnchor(node, anchor.address, key_file).publish(signed(10))

    with pytest.raises(ExternalConflictError, match="the contract refuses"):
        anchor.publish(signed(9), race)
    assert sizes(anchor) == [10]


@needs_library
def test_an_account_of_the_node_publishes_too(node: str) -> None:
    anchor = deploy_contract(node, account=STRANGER_ADDRESS, chain_id=31337)
    assert anchor.publish(signed(1)).is_new


@needs_library
def test_a_chain_from_before_fees_were_burnt_is_paid_as_it_asks(key_file: Path) -> None:
    with started("--hardfork", "berlin") as url:
        assert deploy_contract(url, key_file).publish(signed(1)).is_new


@needs_library
def test_what_is_not_in_a_block_yet_is_not_sent_again(
    anchor: EvmAnchor, node: str, key_file: Path
) -> None:
    hasty = EvmAnchor(node, anchor.address, key_file, timeout_seconds=0.3)
    request = client(node).provider.make_request
    request("evm_setAutomine", [False])
    try:
        with pytest.raises(ExternalUnreachableError, match=r"not in a block after 0.3 seconds"):
            hasty.publish(signed(5))
        with pytest.raises(ExternalUnreachableError, match="an earlier transaction"):
            hasty.publish(signed(5))
    finally:
        request("evm_mine", [])
        request("evm_setAutomine", [True])
    assert not hasty.publish(signed(5)).is_new


@needs_library
def test_a_checkpoint_counts_from_its_last_confirmation_on(
    anchor: EvmAnchor, node: str, key_file: Path
) -> None:
    patient = EvmAnchor(node, anchor.address, key_file, confirmations=3, timeout_seconds=0.3)
    request = client(node).provider.make_request
    request("anvil_mine", [hex(3)])
    with pytest.raises(ExternalUnreachableError, match="does not have 3 confirmations yet"):
        patient.publish(signed(5))
    assert sizes(patient) == []
    assert not patient.publish(signed(5)).is_new
    request("anvil_mine", [hex(2)])
    assert sizes(patient) == [5]


# A node, a contract or a key that does not do.


@needs_library
def test_what_is_not_the_contract_is_refused(anchor: EvmAnchor, node: str) -> None:
    with pytest.raises(ExternalSetupError, match="found none"):
        sizes(EvmAnchor(node, NOWHERE))
    client(node).provider.make_request("anvil_setCode", [NOWHERE, "0x600160005260206000f3"])
    with pytest.raises(ExternalSetupError, match="found another contract"):
        sizes(EvmAnchor(node, NOWHERE))
    with pytest.raises(ExternalSetupError, match="expected a node on chain 1, it is on 31337"):
        sizes(EvmAnchor(node, anchor.address, chain_id=1))
    with pytest.raises(ExternalSetupError, match="expected a node on chain 1"):
        deploy_contract(node, account=STRANGER_ADDRESS, chain_id=1)


@needs_library
def test_a_publication_that_costs_too_much_is_not_signed(
    anchor: EvmAnchor, node: str, key_file: Path
) -> None:
    thrifty = EvmAnchor(node, anchor.address, key_file, max_fee_wei=1)
    with pytest.raises(ExternalSetupError, match=r"at most .* 1 wei in all"):
        thrifty.publish(signed(1))
    assert sizes(anchor) == []


@needs_library
def test_without_a_node_the_message_names_its_host_and_not_its_secret(key_file: Path) -> None:
    url = "http://user:s3cret@127.0.0.1:9/v3/s3cret"
    anchor = EvmAnchor(url, NOWHERE, key_file, timeout_seconds=2)
    with pytest.raises(ExternalUnreachableError, match=r"http://127\.0\.0\.1:9 ") as caught:
        anchor.publish(signed(1))
    assert "s3cret" not in f"{caught.value}{anchor.name}{anchor._node!r}"
    assert caught.value.__cause__ is None


class _Liar(BaseHTTPRequestHandler):
    status, body = 200, b""
    strayed = False

    def do_GET(self) -> None:
        type(self).strayed = True
        self.send_error(404)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = type(self).body.replace(b"@id", str(asked.get("id")).encode())
        self.send_response(type(self).status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def liar() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Liar)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@needs_library
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'"text"'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "result": null}'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "result": "0x"}'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "result": "no number"}'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "result": {"a": []}}'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "result": "0x1"}'),
        (200, b'{"jsonrpc": "2.0", "id": @id, "error": {"code": -1, "message": "\\u001b[2Jno"}}'),
        (302, b""),
        (401, b"no"),
        (500, b"no"),
    ],
)
def test_a_node_that_answers_nonsense_gives_one_clear_error(
    liar: str, status: int, body: bytes, log: LogWriter
) -> None:
    _Liar.status, _Liar.body = status, body
    with pytest.raises(ExternalAnchorError) as caught:
        check_external(grown(log), EvmAnchor(liar, NOWHERE, timeout_seconds=2))
    assert "\x1b" not in str(caught.value)
    assert not _Liar.strayed
    assert status not in {401, 500} or f"HTTP {status}" in str(caught.value)


@needs_library
def test_a_node_that_shows_sizes_out_of_order_is_found(
    anchor: EvmAnchor, log: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(5, 1, 1, bytes(32)), (5, 1, 1, bytes(32))]

    class Call:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        def call(self, **_options: object) -> object:
            return self.answer

    class Functions:
        def count(self, _log: bytes) -> Call:
            return Call(len(rows))

        def page(self, *_arguments: object) -> Call:
            return Call(rows)

    class Contract:
        functions = Functions()

    monkeypatch.setitem(anchor.__dict__, "_contract", Contract())
    with pytest.raises(ExternalHistoryError, match="size 5 after 5"):
        sizes(anchor)
    problems = [finding.problem for finding in check_external(grown(log), anchor).findings]
    assert problems == ["log_shrank", "history_rewritten"]


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://127.0.0.1", "http://example.org:8545", "http://[::1", "https://",
        "localhost:8545", "http://10.0.0.1:s3cret",
    ],
)  # fmt: skip
def test_a_node_is_reached_with_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(ExternalSetupError) as caught:
        evm_node.Node(url, 1)
    assert "s3cret" not in str(caught.value)
    for good in ("http://127.0.0.1:8545", "http://[::1]:8545", "http://localhost", "https://x.org"):
        assert evm_node.Node(good + "/s3cret", 1).label == good


@needs_library
@pytest.mark.parametrize(
    "address", ["", "0x11", "vitalik.eth", NOWHERE[2:], STRANGER_ADDRESS.replace("C", "c", 1)]
)
def test_an_address_is_checked(address: str) -> None:
    with pytest.raises(ExternalSetupError, match="contract: expected an address"):
        EvmAnchor("http://127.0.0.1:9", address)


@needs_library
@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (PUBLISHER, 0o640, "others can read it"),
        (PUBLISHER, 0o604, "others can read it"),
        (PUBLISHER[:-1], 0o600, "64 hex digits"),
        (PUBLISHER + "00", 0o600, "64 hex digits"),
        (PUBLISHER[:-1] + "x", 0o600, "64 hex digits"),
        ("", 0o600, "64 hex digits"),
        ("0" * 64, 0o600, "not a key of this curve"),
        ("f" * 64, 0o600, "not a key of this curve"),
    ],
)
def test_a_key_file_is_the_owners_alone_and_is_never_repeated(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    path = written(tmp_path / "key", text, mode)
    anchor = EvmAnchor("http://127.0.0.1:9", NOWHERE, path)
    with pytest.raises(ExternalSetupError, match=words) as caught:
        anchor.publish(signed(1))
    assert not text[:16] or text[:16] not in str(caught.value)


@needs_library
def test_without_a_key_nothing_is_published(tmp_path: Path) -> None:
    local, far = "http://127.0.0.1:9", "https://example.org"
    for anchor, words in (
        (EvmAnchor(local, NOWHERE), "needs the key"),
        (EvmAnchor(local, NOWHERE, tmp_path / "none"), "No such file"),
        (EvmAnchor(local, NOWHERE, tmp_path), "64 hex digits"),
        (EvmAnchor(far, NOWHERE, account=NOWHERE), "is not this machine"),
    ):
        with pytest.raises(ExternalSetupError, match=words):
            anchor.publish(signed(1))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ExternalSetupError, match="64 hex digits"):
        EvmAnchor(local, NOWHERE, tmp_path / "pipe").publish(signed(1))


@needs_library
def test_no_log_line_holds_the_key(anchor: EvmAnchor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        anchor.publish(signed(1))
    assert caplog.records
    assert PUBLISHER not in caplog.text
    assert PUBLISHER not in repr(vars(anchor))


def test_without_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "web3", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'tracient\[evm\]'") as caught:
        EvmAnchor("http://127.0.0.1:9", NOWHERE)
    assert isinstance(caught.value, AnchorError)


# The committed artifact.


def test_compiling_the_source_again_gives_the_committed_artifact() -> None:
    program = shutil.which("node")
    if program is None or not (TOOLS / "node_modules" / "solc").is_dir():
        pytest.skip("no Solidity compiler: npm ci --prefix tests/evm (`make test` does it)")
    done = subprocess.run(
        [program, str(TOOLS / "compile.js")], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == Path(evm.__file__).with_name(evm.ARTIFACT).read_bytes()


def test_the_artifact_names_the_compiler_that_the_tests_install() -> None:
    wanted = json.loads((TOOLS / "package.json").read_text())["devDependencies"]["solc"]
    compiled = artifact()
    assert compiled["compiler"].split("+")[0] == wanted
    assert compiled["bytecode"].endswith(compiled["deployedBytecode"])
