"""Commit dataset snapshots to a transparency log, and verify them without trusting anyone."""
