"""Any Ethereum chain: its backends, its endpoint, and who sends transactions to it.

Nothing here knows the federation's contract; `fedcxr.ledger` does, and stands above.
"""
