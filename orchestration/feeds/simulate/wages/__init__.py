"""The simulated wage network: people, employers, payrolls, mistakes, and the files they leave.

Read in this order: ``levels`` (published figures), ``world`` (who), ``activity`` (true work),
``households`` (what they live on), ``payroll`` (payments), ``faults`` (what goes wrong),
``ledger`` and ``feeds`` (what is written), ``run`` (all of it).
"""

from orchestration.feeds.simulate.wages.run import WagesSummary, simulate_wages

__all__ = ["WagesSummary", "simulate_wages"]
