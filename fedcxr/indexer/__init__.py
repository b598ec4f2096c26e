"""What a federation's contract has said, read once and kept in one SQLite file, so that questions are cheap.

The file is a cache: deleting it changes nothing, and a damaged one is made again. It believes the chain that
it is shown; whether that is right is the audit's question. Nothing here imports web3 or py-evm unless it must
execute the contract: to answer from an index where nothing has happened costs less than to import them.
"""
