"""A contract on an Ethereum chain as an external anchor; needs the optional extra ``evm``.

What belongs here: publishing to the contract ``Checkpoints``, reading it, and deploying it. What
does not: the node and the key (``evm_node``). The chain learns SHA-256 of the log's origin, sizes
and roots, nothing else.

Whoever deploys the contract is its publisher, and nobody, the publisher included, can change or
remove what stands there. The contract lets sizes grow only; that roots belong together is checked
by whoever compares them with the log. The code at the address is compared with the committed
artifact, so that no other contract can stand in; the node's word is taken for what the chain
holds, so use a node of your own, or ask several.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ledger_anchor.errors import (
    ExternalAnchorError,
    ExternalHistoryError,
    ExternalSetupError,
    ExternalUnreachableError,
)
from ledger_anchor.external.base import (
    Check,
    Published,
    Receipt,
    origin_hash,
    read_checkpoint,
    refuse_conflict,
)
from ledger_anchor.external.evm_node import Node, Sender, checked_address

ARTIFACT = "Checkpoints.json"
MAX_FEE_WEI = 2 * 10**16
_PAGE = 256


class EvmAnchor:
    """Checkpoints in a contract.

    Args:
        url: JSON-RPC address of a node: https, or http on this machine.
        contract: address of the contract; ``deploy_contract`` makes one.
        key_file: file with the publisher's key (mode 0600); not needed to check.
        account: instead of it, an account that a node on this machine holds, unlocked.
        chain_id: number of the chain; if given, a node on another chain is refused.
        confirmations: how many blocks, its own included, make a checkpoint published.
        max_fee_wei: what one publication may cost at most.
        timeout_seconds: how long one answer, or waiting for a block, may take.
    """

    def __init__(
        self,
        url: str,
        contract: str,
        key_file: Path | None = None,
        *,
        account: str | None = None,
        chain_id: int | None = None,
        confirmations: int = 1,
        max_fee_wei: int = MAX_FEE_WEI,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._node = Node(url, timeout_seconds)
        self.address = checked_address(contract, "contract")
        self._key_file = key_file
        self._account = account
        self._chain_id = chain_id
        self._confirmations = max(1, confirmations)
        self._max_fee_wei = max_fee_wei

    @property
    def name(self) -> str:
        """The contract and the node, for messages."""
        return f"contract {self.address} at {self._node.label}"

    def publish(self, checkpoint_note: bytes, check: Check | None = None) -> Receipt:
        """Send a checkpoint to the contract and wait; see ``ExternalAnchor.publish``.

        If it is not in a block in time, publish again later: nothing is published twice.
        """
        checkpoint = read_checkpoint(checkpoint_note)
        sender = Sender(
            self._node, self._key_file, self._account, self._chain_id, self._max_fee_wei
        )
        published = list(self._entries(checkpoint.origin, 1))
        if check is not None:
            check(published)
        known = refuse_conflict(checkpoint, published)
        if known is not None:
            return Receipt(self.name, known, False)
        log = origin_hash(checkpoint.origin)
        with self._node.asking("its publisher"):
            publisher = self._contract.functions.publisher().call()
            call = self._contract.functions.publish(log, checkpoint.size, checkpoint.root)
        if publisher != sender.address:
            raise ExternalSetupError(
                f"{self.name}: expected the key of its publisher {publisher}, found that of "
                f"{sender.address}"
            )
        receipt = sender.send(call, f"publication of size {checkpoint.size}")
        self._await(receipt["blockNumber"])
        for made in self._entries(checkpoint.origin, self._confirmations):
            if (made.size, made.root) == (checkpoint.size, checkpoint.root):
                return Receipt(self.name, made, True)
        raise ExternalAnchorError(
            f"{self.name}: size {checkpoint.size} was published in block "
            f"{receipt['blockNumber']}, but is not there any more: check with another node"
        )

    def published(self, origin: str) -> Iterator[Published]:
        """Every checkpoint the contract holds of a log; see ``ExternalAnchor.published``."""
        return self._entries(origin, self._confirmations)

    def _entries(self, origin: str, confirmations: int) -> Iterator[Published]:
        """What the contract holds, as of the newest block with so many confirmations."""
        log, size = origin_hash(origin), 0
        with self._node.asking("the newest block") as client:
            chain = self._check_chain(client)
            block = client.eth.block_number - (confirmations - 1)
            if block < 0:
                return
            self._check_code(client, block)
            count = self._contract.functions.count(log).call(block_identifier=block)
        first = 0
        while first < count:
            with self._node.asking("what is published"):
                call = self._contract.functions.page(log, first, _PAGE)
                rows = [tuple(row) for row in call.call(block_identifier=block)]
                if len(rows) != min(_PAGE, count - first):
                    raise ValueError(f"{len(rows)} checkpoints of {count - first}")
            for number, (next_size, when, in_block, root) in enumerate(rows, first):
                where = (
                    f"contract {self.address} on chain {chain}, block {in_block}, entry {number}"
                )
                if next_size <= size:
                    words = f"{where}: size {next_size} after {size}, which the contract refuses"
                    raise ExternalHistoryError(self.name, (words,))
                size = next_size
                yield Published(size, bytes(root), where, when)
            first += _PAGE

    def _check_chain(self, client: Any) -> int:
        chain = int(client.eth.chain_id)
        if self._chain_id is not None and chain != self._chain_id:
            raise ExternalSetupError(
                f"{self._node.label}: expected a node on chain {self._chain_id}, it is on {chain}"
            )
        return chain

    def _check_code(self, client: Any, block: int) -> None:
        code = bytes(client.eth.get_code(self.address, block))
        if code != bytes.fromhex(artifact()["deployedBytecode"]):
            found = "another contract" if code else "none"
            raise ExternalSetupError(
                f"{self._node.label}: expected the contract Checkpoints at {self.address}, found "
                f"{found} (block {block})"
            )

    def _await(self, block: int) -> None:
        """Wait until a block has its confirmations."""
        deadline = time.monotonic() + self._node.timeout_seconds
        with self._node.asking("the newest block") as client:
            while client.eth.block_number < block + self._confirmations - 1:
                if time.monotonic() > deadline:
                    raise ExternalUnreachableError(
                        f"{self.name}: block {block} does not have {self._confirmations} "
                        "confirmations yet. Check again later: it is not published twice"
                    )
                time.sleep(0.5)

    @cached_property
    def _contract(self) -> Any:
        return self._node.web3.eth.contract(address=self.address, abi=artifact()["abi"])


def deploy_contract(
    url: str,
    key_file: Path | None = None,
    *,
    account: str | None = None,
    chain_id: int | None = None,
    max_fee_wei: int = 10 * MAX_FEE_WEI,
    timeout_seconds: float = 60.0,
) -> EvmAnchor:
    """Put a new contract on the chain; whoever sends it is its only publisher, for good.

    Args:
        url: see ``EvmAnchor``, like all the others.
        key_file: the publisher's key.
        account: instead of it, an account of a node on this machine.
        chain_id: number of the chain.
        max_fee_wei: what it may cost at most.
        timeout_seconds: how long one answer, or waiting for a block, may take.

    Returns:
        The anchor; its ``address`` is what others need.

    Raises:
        ExternalAnchorError: if the node or the key does not do.
        MissingLibraryError: without web3.py.
    """
    node = Node(url, timeout_seconds)
    sender = Sender(node, key_file, account, chain_id, max_fee_wei)
    compiled = artifact()
    with node.asking("its chain") as client:
        if chain_id is not None and client.eth.chain_id != chain_id:
            raise ExternalSetupError(f"{node.label}: expected a node on chain {chain_id}")
        made = client.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    receipt = sender.send(made.constructor(), "the contract")
    return EvmAnchor(
        url, str(receipt["contractAddress"]), key_file,
        account=account, chain_id=chain_id, timeout_seconds=timeout_seconds,
    )  # fmt: skip


def artifact() -> dict[str, Any]:
    """The compiled contract: its interface (abi), bytecode, and what stands on the chain then."""
    text = files("ledger_anchor.external").joinpath(ARTIFACT).read_text("utf-8")
    compiled: dict[str, Any] = json.loads(text)
    return compiled
