"""What is signed and by whom: keys, notes, checkpoints and the policies that weigh signatures.

What belongs here: the C2SP formats signed-note, tlog-checkpoint, tlog-cosignature and tlog-policy.
What does not: where a log's files lie (``ledger_anchor.tlog``).
"""
