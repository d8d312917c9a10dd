"""Engines: three ways of calculating the same bytes (docs/adr/0013).

What belongs here: ``plain`` with the standard library, which the others are held to; ``numpy_*``
with numpy and OpenSSL; ``fast`` and its kernels with numba; and the choice between them. What does
not: what is calculated (``ledger_anchor.row_commit.rows``).
"""
