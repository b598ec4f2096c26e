"""What travels: a state dict as one flat vector, its fixed-point form, and the Merkle roots of both.

Hospitals sign these bytes and the ledger names them, so their formats stay as they are.
"""
