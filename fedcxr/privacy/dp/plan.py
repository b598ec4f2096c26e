"""What a hospital spends in a federation: it follows from counts and the configuration, before it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fedcxr.config import Config
from fedcxr.privacy.dp.accounting import NoisyStep, noise_multiplier_for


@dataclass(frozen=True)
class PrivacyPlan:
    """The steps of one hospital over all rounds of a federation.

    Attributes:
        patients: that it trains on.
        step: what each of its steps is.
        clip: length that a patient's gradient has at most.
        epsilon: that the hospital spends at most, in all rounds together.
        delta: at which.
        round_steps: in each round, where the budget lasts.
        steps: in all rounds together; none is taken after them.
    """

    patients: int
    step: NoisyStep
    clip: float
    epsilon: float
    delta: float
    round_steps: int
    steps: int

    @classmethod
    def of(cls, config: Config, patients: int) -> Self:
        """The plan of a hospital with so many patients.

        Args:
            config: with ``differential_privacy.epsilon``.
            patients: at least one.

        Raises:
            ConfigError: no noise is strong enough for what the configuration asks for.
        """
        wanted = config.differential_privacy
        assert wanted.epsilon is not None
        rate, delta, round_steps = counted(config, patients)
        steps = config.federation.rounds * round_steps
        if wanted.noise_multiplier is None:
            step = NoisyStep(rate, noise_multiplier_for(rate, steps, wanted.epsilon, delta))
        else:
            step = NoisyStep(rate, wanted.noise_multiplier)
            steps = step.steps_within(wanted.epsilon, delta, steps)
        return cls(patients, step, wanted.clip, wanted.epsilon, delta, round_steps, steps)

    def spent(self, steps: int) -> float:
        """Epsilon of so many steps."""
        return self.step.epsilon(steps, self.delta)


def counted(config: Config, patients: int) -> tuple[float, float, int]:
    """What follows from a hospital's number of patients: the sampling rate, delta, and steps in a round."""
    batch = min(config.training.batch_size, patients)
    wanted = config.differential_privacy.delta
    steps = config.training.local_epochs * max(1, round(patients / batch))
    return batch / patients, 0.5 / patients if wanted is None else wanted, steps
