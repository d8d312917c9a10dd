"""External anchors: checkpoints written down in a system that the log's operator does not run.

What belongs here: ``base`` is what every anchor is and how a log is compared with it, ``git`` a
repository of checkpoints (``git_program`` starts git for it), ``evm`` a contract on an Ethereum
chain (``Checkpoints.sol`` is its source, ``Checkpoints.json`` what the compiler named in it made of
it; ``tests/evm/compile.js`` makes it again). What does not: witnesses (``ledger_anchor.witness``),
which an anchor never replaces.
"""
