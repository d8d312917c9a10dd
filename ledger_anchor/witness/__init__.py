"""Witnesses: others who remember how far a log has come, and cosign nothing that rewrites it.

What belongs here: both sides of C2SP tlog-witness. ``protocol`` is the texts, ``store`` what a
witness must never forget, ``cosigner`` what it signs, ``config`` its folder, ``server`` its HTTP,
``client`` the log's side. What does not: how cosignatures are counted
(``ledger_anchor.notes.policy``).
"""
