"""Chest X-rays in the CheXpert layout: tables, label policies, partitions by patient, and decoded images.

It reads files and returns arrays and tables; it knows nothing of models, rounds or the ledger. A new scheme
of partition is a row of `fedcxr.data.dealing`.
"""
