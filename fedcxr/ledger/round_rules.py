"""What a federation's configuration says of its rounds, and how an opened round is held against it.

The coordinator opens rounds by these rules, hospitals hold what they are asked against them before they
train, and the audit replays them. The configuration's digest is on the ledger: nobody chooses the rules anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from fedcxr.errors import ContractRejectedError, RuleError
from fedcxr.ledger.rules import assign_weights
from fedcxr.ledger.seats import from_bitmap
from fedcxr.update import fixed_point
from fedcxr.update.forms.kinds import form_named

if TYPE_CHECKING:  # pydantic takes long, and a question to the ledger does not need it
    from fedcxr.config import Config, RoundPurpose
    from fedcxr.ledger.views import FederationViews
    from fedcxr.update.forms.form import Form
    from fedcxr.update.layout import Layout, Vector


class Breach(NamedTuple):
    """Something of a round that is not as the configuration says."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found}, where the configuration has {self.expected}"


@dataclass(frozen=True)
class Opening:
    """How an attempt at a round was opened, as the ledger has it.

    Attributes:
        number: of the round, 1-based.
        attempt: 1-based.
        seconds: of chain time, from the block of the opening to the deadline.
        samples: registered images of each participant, in the order of the seats.
        weights: of each participant, in the same order.
    """

    number: int
    attempt: int
    seconds: int
    samples: tuple[int, ...]
    weights: tuple[int, ...]

    @classmethod
    def of(cls, ledger: FederationViews, event: Any, samples: Mapping[int, int]) -> Self:
        """The opening behind an event ``RoundOpened``.

        Args:
            ledger: the contract, which knows the time of the event's block.
            event: decoded.
            samples: registered images by seat; they never change.
        """
        values = event["args"]
        return cls(
            number=int(values["round"]),
            attempt=int(values["attempt"]),
            seconds=int(values["deadline"]) - ledger.timestamp(event["blockNumber"]),
            samples=tuple(samples.get(seat, 0) for seat in from_bitmap(values["seats"])),
            weights=tuple(map(int, values["weights"])),
        )


@dataclass(frozen=True)
class RoundRules:
    """The rounds of a federation, by its configuration."""

    config: Config

    @property
    def rounds(self) -> int:
        """How many there are, a calibration among them."""
        return self.config.federation.total_rounds

    @property
    def deadline(self) -> int:
        """Seconds in which the contract takes a round's updates."""
        return self.config.ledger.deadline

    def purpose(self, number: int) -> RoundPurpose:
        """What a round is for.

        Raises:
            RuleError: the federation has no such round.
        """
        purpose = self.config.federation.purpose(number)
        if purpose is None:
            raise RuleError(f"round {number}: {self._rounds_in_words}.")
        return purpose

    def weights(self, samples: Sequence[int]) -> list[int]:
        """The integer weights of participants with so many registered images.

        Raises:
            ContractRejectedError: there are too few of them for the largest share.
        """
        federation = self.config.federation
        return assign_weights(samples, federation.weighting, federation.share_parts)

    @property
    def form(self) -> Form:
        """The form in which updates travel."""
        return form_named(self.config.federation.update_form)

    def exponents(self, layout: Layout, base: Vector, before: Vector | None) -> tuple[int, ...]:
        """The fixed point's exponents of a round; they follow from two models and the form of the updates.

        Args:
            layout: of both models.
            base: that the round starts from.
            before: that the round before started from; None in the first round.
        """
        return self.form.exponents(layout, base, None if before is None else base - before)

    def breaches(self, opening: Opening) -> Iterator[Breach]:
        """What of an opened round is not by the rules: its number, its deadline, its weights."""
        if self.config.federation.purpose(opening.number) is None:
            yield Breach("the round", self._rounds_in_words, f"round {opening.number}")
        shortest = self.config.ledger.shortest_deadline
        if opening.seconds < shortest:
            expected = f"{self.deadline} s, of which {shortest} are left when it is opened"
            yield Breach("the deadline", expected, f"{opening.seconds} s after the opening")
        yield from self._weight_breaches(opening)

    def _weight_breaches(self, opening: Opening) -> Iterator[Breach]:
        try:
            expected = self.weights(opening.samples) if all(opening.samples) and opening.samples else []
        except ContractRejectedError as error:
            expected, rule = None, f"those of enough participants ({error})"
        else:
            rule = f"{expected} ({self.config.federation.weighting})"
        if list(opening.weights) != expected:
            yield Breach("the weights", rule, str(list(opening.weights)))

    def exponent_breaches(
        self, number: int, layout: Layout, base: Vector, exponents: Sequence[int]
    ) -> Iterator[Breach]:
        """What of a round's exponents cannot follow, whatever the model before its base was.

        Those of the first round follow from the base alone. Those of a later one follow from how far the last
        round moved each tensor, which needs the model before: without it, they are held to the range that any
        movement leaves.
        """
        anew, later = self.exponents(layout, base, None), fixed_point.later_exponents(self.form.limit)
        allowed = list(exponents) == list(anew)
        if number > 1 and len(exponents) == len(anew):
            allowed = all(e == first or e in later for e, first in zip(exponents, anew, strict=True))
        if not allowed:
            expected = str(anew) if number == 1 else f"{anew}, or one within {later} in its place"
            yield Breach("the exponents", expected, str(tuple(exponents)))

    @property
    def _rounds_in_words(self) -> str:
        federation = self.config.federation
        calibration = ", the last of them a calibration" if federation.calibrate else ", none a calibration"
        return f"{self.rounds} round{'s' * (self.rounds != 1)}{calibration}"
