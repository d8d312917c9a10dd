"""Erasing a data subject from every snapshot, so that a crash leaves it undone or done.

What belongs here: the plan, the journal and carrying it out. What does not: how erased rows remain
provable (``ledger_anchor.snapshots.tombstones``).
"""
