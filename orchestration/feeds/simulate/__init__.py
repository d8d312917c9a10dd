"""Simulated networks and feeds in the same bytes as the real ones: seeded, of any size."""
