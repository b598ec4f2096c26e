"""Who is in a round's sum, by what the ledger says of them: accounts, images, weights and shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedcxr.audit.scope import Scope
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.views import FederationViews


def participants(ledger: FederationViews, views: Sequence[RoundView], scope: Scope) -> Iterator[str]:
    """A line for each hospital that the last of these finalized rounds asked; of a part of a run, each round.

    Images are those that it was registered with, by its own word; its share is that of its weight among the
    weights in the sum.
    """
    members = ledger.members()
    for view in views if scope.part else views[-1:]:
        total = sum(view.weights[address] for address in view.included)
        for address in view.participants:
            images, weight = members[view.seats[address]].samples, view.weights[address]
            share = f"{weight / total:.1%} of the sum" if address in view.included else "not in the sum"
            said = f"round {view.number}: {address} is registered with {images} images"
            yield f"{said}: weight {weight}, {share}"
