"""The commands of ``ledger-anchor``, one module a subject.

What belongs here: arguments, a few calls into the package, and what is printed. What does not: any
check or hash, and the parser itself (``ledger_anchor.cli``).
"""
