"""A hospital's own limits, held against what the ledger says of a round and of the configuration.

The digest of the configuration is on the ledger, and with it the rate, the batches and the phases; weights
and deadline are the contract's. The coordinator's word decides nothing. A limit that cannot be checked, for
there is no ledger, counts as passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clients.open_round import OpenRound
from fedcxr.config import Config
from fedcxr.errors import LimitError
from fedcxr.ledger.round_rules import RoundRules
from fedcxr.store.hospital_settings import HospitalLimits
from fedcxr.training.phases import Phase

_OPENING = 0.9  # of a deadline is left at least when the opening, of which the seconds count, is in a block


def check_training(
    limits: HospitalLimits, config: Config, asked: OpenRound, images: Callable[[], int]
) -> None:
    """See that a round asks for nothing beyond the limits.

    Args:
        limits: the hospital's.
        config: of the federation.
        asked: the round.
        images: counts those that the hospital would train on.

    Raises:
        LimitError: it does; each limit is named.
    """
    if beyond := list(_beyond(limits, config, asked, images)):
        raise LimitError(f"round {asked.number}: refused, for the limits here: {'; '.join(beyond)}.")


def check_judging(limits: HospitalLimits, number: int) -> None:
    """See that the hospital judges others' updates at all.

    Raises:
        LimitError: it does not.
    """
    if not limits.takes_part_in("judging"):
        raise LimitError(f"round {number}: refused, for the limits here: judging is none of its phases.")


def _beyond(
    limits: HospitalLimits, config: Config, asked: OpenRound, images: Callable[[], int]
) -> Iterator[str]:
    purpose = RoundRules(config).purpose(asked.number)
    rate = 0.0 if purpose == "calibration" else Phase.of(config, asked.number).learning_rate
    if not limits.takes_part_in(purpose):
        yield f"{purpose} is none of its phases"
    if limits.rounds is not None and asked.number > limits.rounds:
        yield f"no round after {limits.rounds}"
    if limits.learning_rate is not None and rate > limits.learning_rate:
        yield f"a learning rate of {rate}, and at most {limits.learning_rate} is allowed"
    if limits.batch_size is not None and config.training.batch_size < limits.batch_size:
        yield f"batches of {config.training.batch_size}, and at least {limits.batch_size} are asked for"
    if limits.images is not None and (count := images()) < limits.images:
        yield f"{count} images to train on, and at least {limits.images} are asked for"
    if limits.share is not None:
        share = asked.largest_other_share
        if share is None or share > limits.share:
            said = "no ledger says which share" if share is None else f"a share of {share:.3f}"
            yield f"{said} of the weight another one has, and at most {limits.share} is allowed"
    if limits.deadline is not None:
        seconds = asked.seconds
        if seconds is None or seconds < _OPENING * limits.deadline:
            said = "no ledger says which deadline" if seconds is None else f"a deadline of {seconds} s"
            yield f"{said}, and at least {limits.deadline} s are asked for"
