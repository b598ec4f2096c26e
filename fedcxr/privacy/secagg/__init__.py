"""The parts of secure aggregation (docs/secure-aggregation.md): seeds, masks, shares, a round's numbers.

Pure functions over bytes and vectors. What is read from a ledger, sent or written down is elsewhere.
"""
