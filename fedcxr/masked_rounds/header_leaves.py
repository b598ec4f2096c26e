"""The leaves of headers that a hospital is shown in the second trip, each with the path to its signed root.

Of each other hospital of the set: its seat (2 bytes), how many leaves (2), and for each leaf its index (4),
its 4,096 bytes and its audit path. Which leaves those are follows from the header's first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fedcxr.errors import EnvelopeError
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import Commitments, HeaderFacts, check_header
from fedcxr.update import merkle
from fedcxr.update.merkle import LEAF_SIZE


class HeaderLeaves(NamedTuple):
    """What one header has for one hospital.

    Attributes:
        owner: seat of the header's hospital.
        facts: of its first leaf.
        commitments: toward the hospital that is shown it.
    """

    owner: int
    facts: HeaderFacts
    commitments: Commitments


class ShownHeader(NamedTuple):
    """A whole header with the audit path of each of its leaves.

    Attributes:
        owner: seat of its hospital.
        facts: of its first leaf.
        leaves: the header.
        paths: of the leaves.
    """

    owner: int
    facts: HeaderFacts
    leaves: Sequence[bytes]
    paths: Sequence[Sequence[bytes]]


def header_leaves_to_bytes(attempt: MaskedAttempt, seat: int, headers: Iterable[ShownHeader]) -> bytes:
    """What the hospital in a seat is shown of others' headers.

    Args:
        attempt: of all of them.
        seat: of the hospital that is asked.
        headers: of the others in the set.
    """
    parts = []
    for header in sorted(headers, key=lambda one: one.owner):
        places = header.facts.places(_index(attempt, header.owner, seat))
        parts += [header.owner.to_bytes(2), len(places).to_bytes(2)]
        for place in places:
            parts += [place.to_bytes(4), header.leaves[place], *header.paths[place]]
    return b"".join(parts)


def read_header_leaves(
    data: bytes, attempt: MaskedAttempt, seat: int, submissions: Mapping[int, SignedSubmission]
) -> Iterator[HeaderLeaves]:
    """Read :func:`header_leaves_to_bytes` back, each leaf held to the root that its hospital signed.

    Args:
        data: as it came.
        attempt: of all headers.
        seat: of the hospital that is asked.
        submissions: what the hospitals of the set have signed, by seat.

    Raises:
        EnvelopeError: it is no such thing, a leaf is not under its root, or a header is not of this attempt.
    """
    at = 0
    while at < len(data):
        owner, count = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        at += 4
        signed = submissions.get(owner)
        if signed is None or owner == seat:
            raise EnvelopeError(f"a header of seat {owner} is shown, which is not asked for.")
        size, root = signed.message.size, signed.message.root
        leaves: dict[int, bytes] = {}
        whole = -(-size // LEAF_SIZE)
        for _ in range(count):
            place = int.from_bytes(data[at : at + 4])
            leaf = data[at + 4 : at + 4 + LEAF_SIZE]
            at += 4 + LEAF_SIZE
            end = at + 32 * merkle.path_length(place, whole)
            path = [data[k : k + 32] for k in range(at, end, 32)]
            if place in leaves or not merkle.verify_proof(leaf, place, whole, path, root):
                raise EnvelopeError(f"what is shown of seat {owner} is not under the root that it signed.")
            leaves[place], at = leaf, end
        facts = HeaderFacts.from_bytes(leaves.get(0, b""))
        check_header(attempt, owner, facts)
        if facts.size != size:
            raise EnvelopeError(f"seat {owner} has signed {size} bytes, where its header has {facts.size}.")
        index = _index(attempt, owner, seat)
        if list(leaves) != facts.places(index):
            raise EnvelopeError(f"other leaves of seat {owner} are shown than those that are needed.")
        yield HeaderLeaves(owner, facts, facts.commitments(leaves, index))


def _index(attempt: MaskedAttempt, owner: int, seat: int) -> int:
    """The place of a seat among an owner's neighbours."""
    return [other.seat for other in attempt.neighbours(owner)].index(seat)
