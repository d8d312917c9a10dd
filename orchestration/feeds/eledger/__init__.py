"""The E-Ledger's exports: blocks of ten shards as mongoexport writes them.

Format and checks: specs/eledger_export.md.
"""

from __future__ import annotations

from orchestration.feeds.eledger.nodes import NodeDirectory
from orchestration.feeds.eledger.reader import (
    BLOCKS_SCHEMA,
    BLOCKS_TABLE,
    TRANSACTIONS_SCHEMA,
    TRANSACTIONS_TABLE,
    EledgerReading,
    read_exports,
)
from orchestration.feeds.eledger.source import BLOCKS_KIND, NODES_KIND, sniff

__all__ = [
    "BLOCKS_KIND",
    "BLOCKS_SCHEMA",
    "BLOCKS_TABLE",
    "NODES_KIND",
    "TRANSACTIONS_SCHEMA",
    "TRANSACTIONS_TABLE",
    "EledgerReading",
    "NodeDirectory",
    "read_exports",
    "sniff",
]
