"""Checking a home: the log, and the data against what was committed.

What belongs here: ``verify`` and ``audit``, the naming of what differs, and their reports. What
does not: checking a log from its files alone (``ledger_anchor.tlog.fsck``).
"""
