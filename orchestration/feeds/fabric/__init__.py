"""Reader of Hyperledger Fabric channel exports: peer block stores and fetched blocks.

``sniff`` recognises a container, ``read_channel`` reads it into raw tables, ``verify_files`` only
verifies it. Format and checks: ``../shared/specs/fabric_export.md``.
"""

from orchestration.feeds.fabric.containers import sniff
from orchestration.feeds.fabric.reader import ChannelReading, read_channel, verify_files
from orchestration.feeds.fabric.tables import SCHEMAS

__all__ = ["SCHEMAS", "ChannelReading", "read_channel", "sniff", "verify_files"]
