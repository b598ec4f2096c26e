"""The ledger's history as tables for a terminal."""
