"""Snapshots of datasets: committing them, their private records, and proofs of their rows.

What belongs here: what becomes of one dataset at one time, with its keys and files. What does not:
checking a whole home (``ledger_anchor.checking``), erasing a person (``ledger_anchor.erasing``).
"""
