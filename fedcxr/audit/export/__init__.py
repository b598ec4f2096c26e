"""An audit's evidence and report in one signed file, written for outsiders and verified by them offline.

Verification reads the file and nothing else: no chain, no store, no run directory.
"""
