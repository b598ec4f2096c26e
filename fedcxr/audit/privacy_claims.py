"""What hospitals signed of differential privacy, against the configuration and the accountant.

An audit does not see a hospital's patients or its noise: that they were clipped and drowned is the hospital's
own word, to its own patients. What follows from its word is checked: that the steps it says it took cost what
it says they cost, and that this is no more than the federation's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcxr.audit.findings import AuditReport
from fedcxr.config import Config
from fedcxr.privacy.dp.accounting import NoisyStep
from fedcxr.update.metrics import HospitalMetrics

_CLOSE = 1e-3  # of an epsilon, between versions of the accountant


@dataclass
class PrivacyClaims:
    """The claims of all hospitals, taken in round by round.

    Attributes:
        config: of the federation; None where it is not at hand.
        report: what findings are added to.
    """

    config: Config | None
    report: AuditReport
    _last: dict[str, tuple[int, dict[str, float]]] = field(default_factory=dict)

    def take(self, number: int, metrics: Mapping[str, HospitalMetrics]) -> None:
        """Take in what hospitals signed in a round, each by its address."""
        if self.config is None:
            return
        for address, signed in sorted(metrics.items()):
            if (signed.privacy is not None) != self.config.differential_privacy.on:
                wanted = "what was spent" if self.config.differential_privacy.on else "nothing of it"
                found = "nothing of it" if signed.privacy is None else "what was spent"
                self.report.find("metrics' privacy", wanted, found, number, address)
            if signed.privacy is not None and self.config.differential_privacy.on:
                self._compare(number, address, signed.steps, signed.privacy)
                self._last[address] = (number, signed.privacy)

    def conclude(self) -> None:
        """Hold each hospital's last claim to the accountant, and say what is promised."""
        if self.config is None or not self.config.differential_privacy.on:
            return
        for address, (number, said) in sorted(self._last.items()):
            spent = _spent(said)
            if spent is None:
                self.report.find("metrics' privacy", "steps that can be", str(said), number, address)
            elif said["epsilon"] < spent * (1.0 - _CLOSE):
                self.report.find(
                    "metrics' epsilon", f"{spent:.4f}", f"{said['epsilon']:.4f}", number, address
                )
        if self._last:
            most = max(said["epsilon"] for _, said in self._last.values())
            self.report.notes.append(
                f"differential privacy by patient, by the hospitals' own word: epsilon up to {most:.3f}, "
                f"of {self.config.differential_privacy.epsilon} that the federation allows"
            )

    def _compare(self, number: int, address: str, steps: int, said: Mapping[str, float]) -> None:
        """One claim, with the claim before it and what the configuration allows."""
        assert self.config is not None
        wanted = self.config.differential_privacy
        before = self._last.get(address)
        at_least = steps + (0.0 if before is None else before[1]["steps"])
        claims = (
            ("steps", said["steps"] >= at_least, f"{at_least:.0f} or more"),
            ("epsilon", said["epsilon"] <= (wanted.epsilon or 0.0) * (1.0 + _CLOSE), str(wanted.epsilon)),
            ("delta", said["delta"] == (wanted.delta or said["delta"]), str(wanted.delta)),
            ("clip", said["clip"] == wanted.clip, str(wanted.clip)),
        )
        for what, fits, expected in claims:
            if not fits:
                self.report.find(f"metrics' {what}", expected, str(said[what]), number, address)


def _spent(said: Mapping[str, float]) -> float | None:
    """Epsilon of the steps that a hospital says it took; None where they cannot be any."""
    steps, delta = said["steps"], said["delta"]
    step = NoisyStep(said["sample_rate"], said["noise_multiplier"])
    possible = 0.0 < step.sample_rate <= 1.0 and 0.0 < delta < 1.0 and steps == int(steps) and steps >= 0
    return step.epsilon(int(steps), delta) if possible else None
