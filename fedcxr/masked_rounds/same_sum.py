"""Further attempts at a masked round: the same sum again, or none.

A coordinator looks before it closes an attempt, and a hospital before it releases anything.

Training starts from the same model with the same seeds, so an attempt's update has the same bits as the one
before, and two sums over two sets would differ by single updates. A hospital therefore looks at every member
of the set, and not at its own past alone (docs/secure-aggregation.md, "Attempts of one round").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fedcxr.errors import RuleError
from fedcxr.privacy.secagg.attempt import MaskedAttempt, set_digest
from fedcxr.privacy.secagg.header import HistoryEntry

NOTHING = bytes(32)


def check_same_sum(
    attempt: MaskedAttempt,
    accepted: Sequence[int],
    histories: Mapping[int, Sequence[HistoryEntry]],
    attempt_on_ledger: Callable[[int], MaskedAttempt],
) -> None:
    """See that no update of a set can be in a sum over another one.

    Args:
        attempt: that is to be unmasked.
        accepted: its set of seats.
        histories: what the members of the set say of earlier attempts, under their signatures, by seat.
        attempt_on_ledger: an earlier attempt of the same round, as the ledger has it; raises FederationError.

    Raises:
        RuleError: it could be; names the attempt and the seats.
    """
    where = f"round {attempt.round}, attempt {attempt.attempt}"
    said: dict[int, dict[int, HistoryEntry]] = {}
    for seat, history in histories.items():
        for entry in history:
            if entry.attempt >= attempt.attempt:
                raise RuleError(
                    f"{where}: seat {seat} tells of attempt {entry.attempt}, which is none before."
                )
            said.setdefault(entry.attempt, {})[seat] = entry
    weights = {seat: attempt.of(seat).weight for seat in accepted}
    for number, entries in sorted(said.items()):
        earlier = attempt_on_ledger(number)
        same = set_digest(attempt.round, number, weights)
        for seat, entry in entries.items():
            if entry.context != earlier.context:
                raise RuleError(f"{where}: seat {seat} was shown another attempt {number} than the ledger's.")
            if entry.answered not in (NOTHING, same):
                raise RuleError(
                    f"{where}: seat {seat} has unmasked attempt {number} for another set. A second sum with "
                    "the same update would show what is in one of them only: nothing is released. The round "
                    "succeeds with the hospitals of that attempt."
                )
        for seat in entries:
            others = [each.seat for each in earlier.participants if each.seat != seat]
            back = sum(other in weights for other in others)
            if back < earlier.numbers.smallest - 1:
                raise RuleError(
                    f"{where}: of the {len(others)} that took part with seat {seat} in attempt {number} only "
                    f"{back} are in this set, where {earlier.numbers.smallest - 1} must be: nothing is "
                    "released. The round succeeds when more of them are back."
                )
