"""The chain in this process: py-evm over an SQLite file that is sealed when its owner closes it.

The replay, which executes every block of such a file again, lives here too.
"""
