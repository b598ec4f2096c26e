"""The ledger's history as tables for a terminal.

`fedcxr.indexer` says what is in them. Imports stay light, so that an answer comes fast.
"""
