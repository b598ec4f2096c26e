"""The learning rate over a phase of a federation: linear warm-up, then one cosine over its rounds.

After Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983), without restarts. The schedule is a pure
function of the progress in rounds and not of steps: hospitals of different sizes take different numbers of
steps a round and still train at one rate at the same time, and a resumed run needs no scheduler state.
"""

from __future__ import annotations

import math

from fedcxr.config import Training


def learning_rate(progress: float, rounds: int, training: Training, *, top: float | None = None) -> float:
    """The rate at ``progress`` rounds, from 0 (the first round begins) to ``rounds`` (the last one ends).

    Rises linearly from 0 to ``top`` (``training.learning_rate``, if nothing else is said) over
    ``training.warmup_rounds`` (at most half the phase), then falls as a half cosine to
    ``training.min_learning_rate`` at the end.
    """
    top = training.learning_rate if top is None else top
    warmup = min(training.warmup_rounds, rounds / 2)
    progress = min(max(progress, 0.0), float(rounds))
    if progress < warmup:
        return top * progress / warmup
    fallen = (progress - warmup) / (rounds - warmup)
    span = top - training.min_learning_rate
    return training.min_learning_rate + span * 0.5 * (1.0 + math.cos(math.pi * fallen))


def step_progress(round_index: int, step: int, steps: int) -> float:
    """Rounds done at the middle of ``step`` (from 0) of ``steps`` in round ``round_index`` (from 1)."""
    return round_index - 1 + (step + 0.5) / steps
