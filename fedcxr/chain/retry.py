"""How long a sender waits for a chain, how often it tries again, and when it gives up."""

from __future__ import annotations

from dataclasses import dataclass

FEE_BUMP = (9, 8)
"""A replacement pays an eighth more: nodes want a tenth (geth, Besu), some an eighth."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often requests and transactions are repeated, and how long their answers may take.

    Attributes:
        finality: blocks over a transaction's own before it counts; a reorganisation of as many is noticed,
            and what it dropped is sent again.
        timeout: seconds for one request.
        retries: of a request that met a broken transport.
        backoff: seconds before the first retry; each next one waits twice as long.
        poll: seconds between two looks for a receipt, at first; it grows to half a second.
        stuck_after: seconds without a receipt before a transaction is replaced by one that pays more.
        give_up_after: seconds without a final receipt before an error says so.
    """

    finality: int = 0
    timeout: float = 30.0
    retries: int = 6
    backoff: float = 0.1
    poll: float = 0.01
    stuck_after: float = 120.0
    give_up_after: float = 1800.0
