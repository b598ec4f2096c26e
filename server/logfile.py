"""One log file a run: what is logged anywhere, and every event of the engine."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from server.events import (
    Event,
    FederationStarted,
    HospitalAnswered,
    NotRegistered,
    RoundFinalized,
    RoundOpened,
)

logger = logging.getLogger(__name__)
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """A full disk ends a run where it must write, not where it would tell of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append everything that fedcxr, clients and server log to one file while the context lasts."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    loggers = [logging.getLogger(name) for name in ("fedcxr", "clients", "server")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the console belongs to the progress display
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        handler.close()


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
        case RoundFinalized():
            mean = event.evaluation and event.evaluation.macro.value
            auroc = "" if mean is None else f"; mean AUROC {mean:.4f}"
            said = f"{len(event.included)} updates, {event.seconds:.1f} s, model {event.model_digest.hex()}"
            logger.info("round %d: finalized with %s%s", event.round, said, auroc)
