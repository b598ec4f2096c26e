"""How a round's submissions are recorded: each by itself, or as leaves of one Merkle tree with proofs.

A new way to record them is a class and a row in `fedcxr.ledger.submissions.recording`.
"""
