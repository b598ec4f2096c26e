"""The federation's contract: what is signed, what is written to it, what is read of it, and its court.

Everything that knows the contract's ABI or its rules lives here. `fedcxr.chain` carries the transactions, and
`fedcxr.indexer` answers questions about a long history.
"""
