"""Asset factories, each written once for all domains; their logic is in plain functions beside."""
