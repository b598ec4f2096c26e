"""The services of one run directory: founding, preparation, evaluation, resumption and released models.

Nothing here imports Flower; the server and the command line come in.
"""
