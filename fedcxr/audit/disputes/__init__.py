"""The client of the dispute court: a challenge of a round, prepared and brought to the contract."""
