"""A hospital's local training in one round: the objective, what of the model moves, and the loop.

It takes a model, a hospital's examples and the state that the hospital kept; it knows nothing of messages,
keys or the ledger. A new term of the objective is a file and a row in `fedcxr.training.objectives`.
"""
