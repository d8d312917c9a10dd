"""Simulates the medicines trade: an E-Ledger export, EPCIS documents, feeds, and the truth apart.

Everything is drawn from one seed: the same seed writes the same bytes.
"""

from orchestration.feeds.simulate.pharma.simulation import PharmaSummary, simulate_pharma

__all__ = ["PharmaSummary", "simulate_pharma"]
