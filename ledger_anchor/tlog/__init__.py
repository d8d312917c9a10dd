"""The log: its files, appending to it, reading it, checking it, and proofs out of it.

What belongs here: C2SP tlog-tiles and tlog-proof over storages of any kind. What does not: what an
entry says of a table (``ledger_anchor.manifest``, ``ledger_anchor.row_commit``).
"""
