"""What hospitals signed of differential privacy, against the configuration and the accountant.

An audit does not see a hospital's patients or its noise: that they were clipped and drowned is the hospital's
own word, to its own patients. What follows from its word is checked: its number of patients gives the rate at
which each is in a step, delta and the steps of a round; they and the noise stay what they are; steps grow by
those of each round; and what all steps cost is what it says, and no more than the federation's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isclose

from fedcxr.audit.findings import AuditReport
from fedcxr.config import Config
from fedcxr.privacy.dp.accounting import NoisyStep
from fedcxr.privacy.dp.plan import counted
from fedcxr.update.metrics import HospitalMetrics

_CLOSE = 1e-3  # of an epsilon, between versions of the accountant
_SAME = 1e-9  # of a number that is computed from the same two
_KEPT = ("delta", "sample_rate", "noise_multiplier", "clip")
Breach = tuple[str, str, str]  # what, expected, found


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
        private = self.config.differential_privacy.on
        for address, signed in sorted(metrics.items()):
            if (signed.privacy is not None) != private:
                wanted = "what was spent" if private else "nothing of it"
                found = "nothing of it" if signed.privacy is None else "what was spent"
                self.report.find("metrics' privacy", wanted, found, number, address)
            elif signed.privacy is not None:
                for what, expected, told in self._breaches(self.config, address, signed, signed.privacy):
                    self.report.find(f"metrics' {what}", expected, told, number, address)
                self._last[address] = (number, signed.privacy)

    def conclude(self) -> None:
        """Hold each hospital's last claim to the accountant, and say what is promised."""
        if self.config is None or not self._last:
            return
        allowed = self.config.differential_privacy.epsilon
        for address, (number, said) in sorted(self._last.items()):
            spent = _spent(self.config, said)
            if said["epsilon"] < spent * (1.0 - _CLOSE):
                self.report.find(
                    "metrics' epsilon", f"{spent:.4f}", f"{said['epsilon']:.4f}", number, address
                )
        most = max(said["epsilon"] for _, said in self._last.values())
        self.report.notes.append(
            f"differential privacy by patient, by the hospitals' own word: epsilon up to {most:.3f}, "
            f"of {allowed} that the federation allows"
        )

    def _breaches(
        self, config: Config, address: str, signed: HospitalMetrics, said: Mapping[str, float]
    ) -> Iterator[Breach]:
        """Where a claim is not as the configuration, its own counts and the claim before it give it."""
        wanted, (_, before) = config.differential_privacy, self._last.get(address, (0, said))
        for name in _KEPT:
            if said[name] != before[name]:
                yield name, str(before[name]), str(said[name])
        if said["clip"] != wanted.clip:
            yield "clip", str(wanted.clip), str(said["clip"])
        if wanted.noise_multiplier not in (None, said["noise_multiplier"]):
            yield "noise_multiplier", str(wanted.noise_multiplier), str(said["noise_multiplier"])
        taken = before["steps"] if address in self._last else 0.0
        if said["steps"] < taken + signed.steps or said["steps"] != int(said["steps"]):
            yield "steps", f"{taken + signed.steps:.0f} or more", str(said["steps"])
        if not before["epsilon"] <= said["epsilon"] <= (wanted.epsilon or 0.0) * (1.0 + _CLOSE):
            yield "epsilon", f"from {before['epsilon']} to {wanted.epsilon}", str(said["epsilon"])
        patients = _patients(config, said)
        if said["sample_rate"] == 1.0 and config.differential_privacy.delta:
            patients = min(patients, signed.images)  # any number up to a batch has this rate
        if not 1 <= patients <= signed.images:
            yield "sample_rate", f"that of {signed.images:,} patients at most", str(said["sample_rate"])
            return
        rate, delta, steps = counted(config, patients)
        if not isclose(rate, said["sample_rate"], rel_tol=_SAME):
            yield "sample_rate", str(rate), str(said["sample_rate"])
        if not isclose(delta, said["delta"], rel_tol=_SAME):
            yield "delta", str(delta), str(said["delta"])
        if not 1 <= signed.steps <= steps:
            yield "steps", f"1 to {steps} in a round", str(signed.steps)


def _patients(config: Config, said: Mapping[str, float]) -> int:
    """How many patients a claim is of; 0 where there is no such number."""
    rate, delta = said["sample_rate"], said["delta"]
    if not (1e-9 < rate <= 1.0 and 1e-12 < delta < 1.0):
        return 0
    if rate < 1.0:
        return round(config.training.batch_size / rate)
    return config.training.batch_size if config.differential_privacy.delta else round(0.5 / delta)


def _spent(config: Config, said: Mapping[str, float]) -> float:
    """Epsilon of the steps that a hospital says it took; infinite where they cannot be any."""
    patients = _patients(config, said)
    if not patients >= 1 or said["steps"] > config.federation.rounds * counted(config, patients)[2]:
        return float("inf")
    step = NoisyStep(said["sample_rate"], said["noise_multiplier"])
    return step.epsilon(int(said["steps"]), said["delta"])
