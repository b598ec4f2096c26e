"""Flower, NVFLARE, pfl-research and fedcxr on one piece of work: ``python experiments/peers/run.py --help``.

Of these files only those that are named after a system import it, and only in the process of its own run.
"""
