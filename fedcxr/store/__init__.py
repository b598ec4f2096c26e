"""Where bytes lie: content-addressed blobs, the run directory around them, identities, and hospitals' state.

A blob is bytes under their Merkle root; what they mean is for those who read them.
"""
