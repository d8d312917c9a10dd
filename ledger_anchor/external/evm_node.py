"""Speaking with an Ethereum node through web3.py: addresses, keys, transactions and failures.

What belongs here: everything that names web3. What does not: the contract (``evm``). The library
is an optional extra (``evm``) and is loaded when a node is first asked.

The key signs on this machine and is sent nowhere; it comes from a file that only its owner can
read, never from an argument. A node is believed no more than it must be: it is told no address to
look up for it (CCIP-read is off), redirections are not followed, a transaction is signed for one
chain and up to one price, and nothing of its address but the host is ever repeated, for such
addresses often hold a secret.
"""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ledger_anchor.errors import (
    ExternalAnchorError,
    ExternalConflictError,
    ExternalSetupError,
    ExternalUnreachableError,
    MissingLibraryError,
)

_MAX_GAS = 3_000_000
_KEY = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})\s*", re.ASCII)
_MAX_KEY_FILE = 200
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            "an Ethereum chain as external anchor needs web3.py: pip install 'tracient[evm]' or "
            f"'ledger-anchor[evm]' ({error})"
        ) from error


class Node:
    """A node's JSON-RPC interface.

    Args:
        url: https, or http on this machine.
        timeout_seconds: how long one answer may take.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self.timeout_seconds = timeout_seconds
        self.label, self.is_loopback = _checked_url(url)
        self._web3: Any = None

    def __repr__(self) -> str:
        return f"Node({self.label!r})"

    @property
    def web3(self) -> Any:
        """The library's client."""
        if self._web3 is None:
            library, requests = _library("web3"), _library("requests")
            session = requests.Session()
            session.trust_env = not self.is_loopback  # a proxy has nothing to do on this machine
            options = {"timeout": self.timeout_seconds, "allow_redirects": False}
            provider = library.HTTPProvider(
                self._url, request_kwargs=options, session=session,
                exception_retry_configuration=None,
            )  # fmt: skip
            provider.global_ccip_read_enabled = False
            self._web3 = library.Web3(provider)
        return self._web3

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[Any]:
        """Turn the library's failures into this package's.

        Args:
            what: what the node is asked for, for messages.

        Raises:
            ExternalUnreachableError: if the node does not answer.
            ExternalAnchorError: if it refuses, or answers with what cannot be read.
        """
        client, failures = self.web3, _library("web3.exceptions")
        decoding, requests = _library("eth_abi.exceptions"), _library("requests")
        try:
            yield client
        except (requests.RequestException, failures.RequestTimedOut) as error:
            # The library's words hold the address, and with it perhaps a secret.
            answer = getattr(error, "response", None)
            why = type(error).__name__ if answer is None else f"HTTP {answer.status_code}"
            raise ExternalUnreachableError(
                f"the node at {self.label} does not answer ({why}) when asked for {what}: is it "
                "running, and is this its address?"
            ) from None
        except failures.ContractLogicError as error:
            words = self._words(error)
            raise ExternalConflictError(f"the contract refuses {what}: {words}") from None
        except (
            failures.Web3Exception,
            decoding.DecodingError,
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            words = self._words(error)
            raise ExternalAnchorError(
                f"the node at {self.label}, asked for {what}: {type(error).__name__}: {words}"
            ) from None

    def _words(self, error: Exception) -> str:
        words = getattr(error, "message", None) or str(error)
        hidden = words.replace(self._url, self.label) if isinstance(words, str) else ""
        return _UNPRINTABLE.sub(" ", hidden)[:300]


def _checked_url(url: str) -> tuple[str, bool]:
    """Scheme, host and port of a node's address, and whether it is this machine.

    Raises:
        ExternalSetupError: if it is no such address; it is not repeated.
    """
    expected = "expected an address that starts with https://, or http:// and this machine"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ExternalSetupError(f"not a node's address: {expected}") from None
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not host or parts.scheme not in {"http", "https"}:
        raise ExternalSetupError(f"not a node's address: {expected}")
    if parts.scheme == "http" and not is_loopback:
        raise ExternalSetupError(
            f"{host}: whoever sits between could answer for the node: {expected}"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}"), is_loopback


def checked_address(text: str, what: str) -> str:
    """An address in its checksummed spelling.

    Raises:
        ExternalSetupError: if it is none, or its mixed case does not fit its digits.
        MissingLibraryError: without web3.py.
    """
    client = _library("web3").Web3
    digits = text.removeprefix("0x")
    is_address = bool(re.fullmatch(r"0x[0-9a-fA-F]{40}", text, re.ASCII))
    is_mixed = digits not in {digits.lower(), digits.upper()}
    if not is_address or (is_mixed and not client.is_checksum_address(text)):
        raise ExternalSetupError(
            f"{what}: expected an address, 0x and 40 hex digits with its checksum in their case"
        )
    return str(client.to_checksum_address(text))


class Sender:
    """An account that can send transactions: a key in a file, or one of a node on this machine.

    Args:
        node: the node that passes transactions on.
        key_file: 64 hex digits, readable by the owner alone.
        account: address of an account that the node itself holds, unlocked.
        chain_id: the chain transactions are for; the node's word is taken if not given.
        max_fee_wei: what one transaction may cost at most.
    """

    def __init__(
        self,
        node: Node,
        key_file: Path | None,
        account: str | None,
        chain_id: int | None,
        max_fee_wei: int,
    ) -> None:
        if (key_file is None) == (account is None):
            raise ExternalSetupError(
                "publishing needs the key of the publisher: a file with mode 0600, or the address "
                "of an account that a node on this machine holds"
            )
        if account is not None and not node.is_loopback:
            raise ExternalSetupError(
                f"the account is the node's own, but {node.label} is not this machine: expected a "
                "node on loopback, or a file with the key"
            )
        self._node = node
        self._signer: Any = None
        if key_file is not None:
            self._signer = _read_key(key_file)
        if account is None:
            self.address = str(self._signer.address)
        else:
            self.address = checked_address(account, "account")
        self._chain_id = chain_id
        self._max_fee_wei = max_fee_wei

    def send(self, call: Any, what: str) -> Any:
        """Send one transaction and wait until it is in a block.

        Args:
            call: the library's bound call of a contract, or its constructor.
            what: what it does, for messages.

        Returns:
            The library's receipt.

        Raises:
            ExternalAnchorError: if it costs too much, an earlier one is still waiting, the contract
                refuses it, or the chain does not take it up in time.
        """
        with self._node.asking(what) as client:
            latest = client.eth.get_transaction_count(self.address, "latest")
            if client.eth.get_transaction_count(self.address, "pending") > latest:
                raise ExternalUnreachableError(
                    f"{self.address}: an earlier transaction is not in a block yet; try again later"
                )
            transaction = call.build_transaction(self._terms(client, call, latest))
            if self._signer is None:
                sent = client.eth.send_transaction(transaction)
            else:
                raw = self._signer.sign_transaction(transaction).raw_transaction
                sent = client.eth.send_raw_transaction(raw)
            exhausted = _library("web3.exceptions").TimeExhausted
            try:
                receipt = client.eth.wait_for_transaction_receipt(
                    sent, timeout=self._node.timeout_seconds, poll_latency=0.05
                )
            except exhausted:
                raise ExternalUnreachableError(
                    f"transaction {sent.to_0x_hex()} ({what}) is not in a block after "
                    f"{self._node.timeout_seconds:g} seconds. Try again later: it will not be "
                    "published twice"
                ) from None
            if receipt["status"] != 1:
                raise ExternalConflictError(
                    f"transaction {sent.to_0x_hex()} ({what}) was refused by the contract"
                )
            return receipt

    def _terms(self, client: Any, call: Any, nonce: int) -> dict[str, object]:
        """Chain, number and price of a transaction.

        Raises:
            ExternalSetupError: if it would cost more than it may.
        """
        gas = call.estimate_gas({"from": self.address}) * 6 // 5
        base = client.eth.get_block("latest").get("baseFeePerGas")
        fees: dict[str, object]
        if base is None:
            price = client.eth.gas_price
            fees = {"gasPrice": price}
        else:
            tip = client.eth.max_priority_fee
            price = 2 * base + tip
            fees = {"maxFeePerGas": price, "maxPriorityFeePerGas": tip}
        if gas > _MAX_GAS or gas * price > self._max_fee_wei:
            raise ExternalSetupError(
                f"the node at {self._node.label} asks for {gas} gas at {price} wei: expected at "
                f"most {_MAX_GAS} gas and {self._max_fee_wei} wei in all. Wait, or allow more"
            )
        chain_id = client.eth.chain_id if self._chain_id is None else self._chain_id
        return {"from": self.address, "nonce": nonce, "chainId": chain_id, "gas": gas, **fees}


def _read_key(path: Path) -> Any:
    """The account of a key file; no message repeats anything of its content.

    Raises:
        ExternalSetupError: if it cannot be read, others can read it, or it holds no key.
    """
    expected = "expected a file with mode 0600 that holds 64 hex digits"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            about = os.fstat(descriptor)
            raw = os.read(descriptor, _MAX_KEY_FILE) if stat.S_ISREG(about.st_mode) else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ExternalSetupError(f"key file {path}: {error.strerror}; {expected}") from None
    if about.st_mode & 0o077 or about.st_uid not in {os.geteuid(), 0}:
        mode = stat.S_IMODE(about.st_mode)
        raise ExternalSetupError(f"key file {path}: others can read it ({mode:04o}); {expected}")
    match = _KEY.fullmatch(raw)
    if match is None:
        raise ExternalSetupError(f"key file {path}: {expected}")
    account = _library("eth_account").Account
    try:
        return account.from_key(bytes.fromhex(match[1].decode()))
    except Exception:  # noqa: BLE001 - the library's words may hold the key
        raise ExternalSetupError(f"key file {path}: not a key of this curve; {expected}") from None
