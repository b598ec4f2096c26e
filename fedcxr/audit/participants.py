"""Who is in a round's sum, by what the ledger says of them: accounts, images, weights and shares."""

from __future__ import annotations

from collections.abc import Iterator

from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.views import FederationViews


def participants(ledger: FederationViews, view: RoundView) -> Iterator[str]:
    """A line for each hospital that a finalized round asked.

    Images are those that it was registered with, by its own word; its share is that of its weight among the
    weights in the sum.
    """
    members = ledger.members()
    total = sum(view.weights[address] for address in view.included)
    for address in view.participants:
        images = members[view.seats[address]].samples
        weight = view.weights[address]
        share = f"{weight / total:.1%} of the sum" if address in view.included else "not in the sum"
        yield f"round {view.number}: {address} is registered with {images} images: weight {weight}, {share}"
