"""The chain in this process: py-evm over a SQLite file that is sealed when its owner closes it."""
