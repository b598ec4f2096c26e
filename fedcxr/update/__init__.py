"""What travels: a state dict as one flat vector, its fixed-point form, and the Merkle roots of both."""
