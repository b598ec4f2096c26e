"""Federated chest X-ray classification with a ledger that proves what was aggregated."""

__version__ = "0.1.0"
