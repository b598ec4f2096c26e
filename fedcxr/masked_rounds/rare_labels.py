"""Rare labels: whose rows of the model nobody moves in a round, for too few of its hospitals have the label.

A label's rows move by images that speak of it alone. Where one hospital has any, the sum of those rows is
that hospital's, masks or none. Each hospital states the labels that it has, once, under its signature; which
are withheld follows from the statements of a round's participants, and both are in the round's configuration,
whose digest the ledger has: no coordinator tells one hospital another list than the others
(docs/secure-aggregation.md, "What leaks all the same").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fedcxr.data.labels import LABELS as NAMES
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.round_rules import Breach
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import Domain, recover
from fedcxr.ledger.statements import Labels
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.attempts import SignedSeat, attempt_events, signed_seats
from fedcxr.privacy.secagg.parameters import RoundNumbers
from fedcxr.update.round_config import LABELS, RareLabels, RoundConfig, StatedLabels

MOVERS = 3
"""Hospitals that must be able to move a label's rows for their sum to hide each of them."""

_NOW = {"blockNumber": 2**63, "logIndex": 0}  # behind every event


def movers_asked(numbers: RoundNumbers) -> int:
    """Participants that must have a label, so that three, two of them honest, move it whoever is missing."""
    return max(MOVERS, numbers.colluders + 2) + numbers.missing


def bits_of(labels: Iterable[int]) -> int:
    """Labels as a statement has them."""
    return sum(1 << label for label in labels)


def withheld_labels(numbers: RoundNumbers, stated: Sequence[int]) -> tuple[int, ...]:
    """The labels that too few participants have, rising; one that nobody has is among them.

    Args:
        numbers: of the round.
        stated: the statements' labels, as bits.
    """
    having = [sum(labels >> label & 1 for labels in stated) for label in range(LABELS)]
    return tuple(label for label, count in enumerate(having) if count < movers_asked(numbers))


def withheld_names(round_config: RoundConfig) -> tuple[str, ...]:
    """The names of the labels that a round withholds, in CheXpert's order."""
    return () if round_config.rare is None else tuple(NAMES[label] for label in round_config.rare.withheld)


def stated_labels(
    ledger: FederationViews, participants: Mapping[str, tuple[int, bytes]], parts: int
) -> RareLabels:
    """What a round that is about to be opened has in its configuration.

    Args:
        ledger: the contract.
        participants: by their accounts, what each states: labels as bits, and its signature.
        parts: ``privacy.colluders`` in 1/10,000.

    Raises:
        FederationError: there are no numbers for so few participants.
    """
    accounts = ledger.accounts()
    stated = [StatedLabels(accounts[account], account, *said) for account, said in participants.items()]
    numbers = _numbers(signed_seats(ledger, _NOW), len(stated), parts)
    withheld = withheld_labels(numbers, [one.labels for one in stated])
    return RareLabels(tuple(sorted(stated, key=lambda one: one.seat)), withheld)


def rare_label_breaches(
    ledger: FederationViews,
    number: int,
    parts: int,
    rare: RareLabels | None,
    *,
    withholds: bool,
    attempt: int | None = None,
) -> Iterator[Breach]:
    """What of a round's withheld labels does not follow from its participants' signed statements.

    Args:
        ledger: the contract.
        number: of the round.
        parts: ``privacy.colluders`` in 1/10,000.
        rare: as the round's configuration has it.
        withholds: whether the federation withholds rare labels.
        attempt: of the round; by default the latest.

    Raises:
        FederationError: there is no such attempt, or there are no numbers for its participants.
    """
    what = "the withheld labels"
    if rare is None or not withholds:
        if withholds:
            yield Breach(what, "those that its participants' statements give", "no statements")
        elif rare is not None:
            yield Breach(what, "none: it withholds no rare labels", str(list(rare.withheld)))
        return
    opened = attempt_events(ledger, number, attempt).events[0]
    seats = signed_seats(ledger, opened)
    participants = from_bitmap(opened["args"]["seats"])
    good = []
    for one in rare.statements:
        if fault := _fault(one, seats, participants, ledger.federation, ledger.domain):
            yield Breach(f"the labels of seat {one.seat}", "a statement that its hospital signed", fault)
        else:
            good.append(one)
    order = [one.seat for one in rare.statements]
    if order != sorted(set(order)):
        yield Breach("the statements of labels", "one of a hospital, by rising seat", f"{order!s:.200}")
    numbers = _numbers(seats, len(participants), parts)
    expected = withheld_labels(numbers, [one.labels for one in good])
    if rare.withheld != expected:
        asked = f"{list(expected)}, which fewer than {movers_asked(numbers)} of its participants have"
        yield Breach(what, asked, str(list(rare.withheld)))


def _numbers(seats: Mapping[int, SignedSeat], participants: int, parts: int) -> RoundNumbers:
    hospitals = sum(seat.hospital and not seat.left for seat in seats.values())
    return RoundNumbers.of(participants, max(hospitals, participants), parts)


def _fault(
    one: StatedLabels,
    seats: Mapping[int, SignedSeat],
    participants: Sequence[int],
    federation: bytes,
    domain: Domain,
) -> str:
    """What is wrong with a statement; empty where nothing is."""
    if one.seat not in participants:
        return "one of a seat that does not take part"
    if one.seat not in seats or one.account not in seats[one.seat].accounts:
        return f"one of {one.account:.42}, which is none of its accounts"
    try:
        signer = recover(Labels(federation, one.account, one.labels), one.signature, domain)
    except (FederationError, LedgerError) as error:
        return f"{error!s:.200}"
    return "" if signer == one.account else f"one that {signer} signed"
