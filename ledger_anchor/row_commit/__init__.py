"""row-commit v1: from the rows of a table to one root, in bounded memory.

What belongs here: tables as columns of logical types, salted cells, keyed order, leaves, the tree
over them and its files; and the engines that calculate these. What does not: where keys come from,
and when a snapshot counts as committed (``ledger_anchor.snapshots``).
"""
