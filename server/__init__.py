"""The coordinator: a Flower ServerApp around a round engine of our own.

Registration, rounds, the committee and what is shown of them live here. What a run needs besides its rounds
is in `fedcxr.run`.
"""
