"""The node list beside an export: who may validate and who may submit, with their keys.

Checking signatures against it belongs to the signature check, which does not exist yet; until
then the list is read, kept and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestration.feeds.common import FeedError


@dataclass(frozen=True)
class NodeDirectory:
    """The consortium of one chain.

    Attributes:
        chain: Chain name.
        quorum: Numerator and denominator of the share of a shard's nodes that must sign.
        nodes: Validators: node, shard, publicKey, validFrom, validTo.
        submitters: Submitters: gln, publicKey, validFrom, validTo.
    """

    chain: str
    quorum: tuple[int, int]
    nodes: tuple[dict[str, Any], ...]
    submitters: tuple[dict[str, Any], ...]


def read_nodes(path: Path, name: str) -> NodeDirectory:
    """Read ``nodes.json``.

    Args:
        path: The landed file.
        name: Name under which it is cited.

    Raises:
        FeedError: If it is not a node list.
        OSError: If it cannot be read.
    """
    try:
        content = orjson.loads(path.read_bytes())
        quorum = content["quorum"]
        numerator, denominator = int(quorum[0]), int(quorum[1])
        return NodeDirectory(
            chain=str(content["chain"]),
            quorum=(numerator, denominator),
            nodes=tuple(dict(node) for node in content["nodes"]),
            submitters=tuple(dict(submitter) for submitter in content["submitters"]),
        )
    except (ValueError, TypeError, LookupError) as error:
        raise FeedError(
            where=name,
            expected="a node list with chain, quorum, nodes and submitters",
            found="JSON of another form, or none",
            what_to_do="Export the consortium's nodes.json again.",
        ) from error
