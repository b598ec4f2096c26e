"""What ``import fedcxr`` gives: a federation from a notebook, and what the command line shares with it.

The names are in :mod:`fedcxr` itself, which imports this package when one of them is asked for.
"""
