"""What can be proven of a run afterwards, from its ledger and its store alone."""
