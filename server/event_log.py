"""The engine's events as lines of the run's log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from server.events import (
    Event,
    FederationStarted,
    HospitalAnswered,
    NotRegistered,
    RoundFinalized,
    RoundOpened,
    UnmaskingWaits,
)

logger = logging.getLogger(__name__)
_SAID = 0.005  # of a round: less is left out of the line


def log_event(event: Event) -> None:
    """Put an event of the engine on the log."""
    match event:
        case NotRegistered():
            logger.error("node %d was not registered: %s", event.node, event.reason)
        case FederationStarted():
            said = ", ".join(
                f"{name} ({a}, {event.samples[a]} images)" for a, name in event.hospitals.items()
            )
            if event.first_round > event.rounds:
                logger.info("all %d rounds are finalized, with %s", event.rounds, said)
            else:
                logger.info("rounds %d to %d with %s", event.first_round, event.rounds, said)
        case RoundOpened():
            weights = ", ".join(f"{address}: {weight}" for address, weight in event.weights.items())
            logger.info("round %d: open on %s; weights %s", event.round, event.base.hex(), weights)
        case HospitalAnswered() if event.reason:
            logger.warning("round %d: %s is left out: %s", event.round, event.hospital, event.reason)
        case HospitalAnswered():
            waited = "" if event.waited is None else f"; waited {event.waited:.2f} s for its loader"
            logger.info("round %d: %s is in; %s%s", event.round, event.hospital, event.metrics, waited)
        case UnmaskingWaits():
            said = ", ".join(event.hospitals)
            logger.info("round %d: its sum waits for %s: %s", event.round, said, event.lacking)
        case RoundFinalized():
            mean = event.evaluation and event.evaluation.macro.value
            auroc = "" if mean is None else f"; mean AUROC {mean:.4f}"
            said = f"{len(event.included)} updates, {event.seconds:.1f} s, model {event.model_digest.hex()}"
            logger.info("round %d: finalized with %s%s", event.round, said, auroc)
            if event.shares:
                logger.info("round %d: time: %s", event.round, in_shares(event.shares))


def in_shares(shares: Mapping[str, float]) -> str:
    """Where a round's time went, in percent, on one line; less than half of one is left out."""
    return ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares.items() if share >= _SAID)
