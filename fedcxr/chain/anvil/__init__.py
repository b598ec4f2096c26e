"""The anvil that fedcxr starts: its process, and the journal from which the same blocks are made again.

Nothing here knows the federation's contract.
"""
