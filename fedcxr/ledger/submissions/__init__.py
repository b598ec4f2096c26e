"""What a round's submissions are on the ledger: each by itself, or leaves of one Merkle tree with proofs."""
