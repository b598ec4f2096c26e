"""A run's records in one file, written for outsiders and verified by them."""
