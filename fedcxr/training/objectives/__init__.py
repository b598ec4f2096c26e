"""The terms of the joint objective, a file each, and the table that lists them.

A new term declares what it needs in its own file, and is a row of `fedcxr.training.objectives.registry`.
"""
