"""The list of a round's submissions in the store, where the contract records one root for all of them.

The list is canonical JSON. Whoever has it can check every signature, and prove of each hospital that it is in
the round or that it is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedcxr import json_text
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.protocol import AcceptedUpdate, RoundView
from fedcxr.ledger.seats import MOST
from fedcxr.ledger.signed_json import signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import Domain, SignedSubmission, Submission, recover
from fedcxr.ledger.submissions import tree as submission_tree

LONGEST = MOST << 10
"""Bytes of a list; a submission in it, with the longest signature that is taken, has some 900."""


def to_bytes(submissions: Sequence[SignedSubmission]) -> bytes:
    """The list, in the order of addresses."""
    ordered = sorted(submissions, key=lambda signed: signed.message.hospital.lower())
    tree = [signed_to_tree(signed) for signed in ordered]
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def from_bytes(data: bytes) -> list[SignedSubmission]:
    """Read :func:`to_bytes` back.

    Raises:
        FederationError: not such a list; the error names the field that is wrong.
    """
    try:
        tree = json_text.parse(data, LONGEST)
    except ValueError as error:
        raise FederationError(f"not a list of submissions: {error}") from None
    if not isinstance(tree, list) or len(tree) > MOST:
        raise FederationError(f"not a list of at most {MOST} submissions: {tree!r:.80}")
    return [signed_from_tree(Submission, entry) for entry in tree]


def leaves(submissions: Sequence[SignedSubmission], seats: Mapping[str, int]) -> dict[int, bytes]:
    """The leaf of each submission by its hospital's seat."""
    return {seats[signed.message.hospital]: submission_tree.leaf(signed) for signed in submissions}


def fill(view: RoundView, data: bytes, domain: Domain) -> RoundView:
    """A view with the accepted updates of its list, once every one of them is what the contract's root holds.

    Raises:
        FederationError: the list is none.
        LedgerError: it is not the one under the root, or what it holds was not signed by its hospital for
            this attempt.
    """
    listed = from_bytes(data)
    strangers = [s.message.hospital for s in listed if s.message.hospital not in view.seats]
    if strangers:
        raise LedgerError(f"round {view.number}: the list holds strangers: {', '.join(strangers)}.")
    accounts = {view.seats[signed.message.hospital]: signed.message.hospital for signed in listed}
    if len(accounts) != len(listed):
        raise LedgerError(f"round {view.number}: the list holds a hospital twice.")
    for signed in listed:
        said = (signed.message.round, signed.message.attempt, signed.message.base)
        if said != (view.number, view.attempt, view.base):
            raise LedgerError(
                f"round {view.number}: what the list holds of {signed.message.hospital} was signed for round "
                f"{said[0]}, attempt {said[1]}, base {said[2].hex()}."
            )
    depth = submission_tree.depth_of(view.seats.values())
    if submission_tree.root(leaves(listed, view.seats), depth) != view.submissions_root:
        raise LedgerError(f"round {view.number}: the list of submissions is not that of the contract's root.")
    for signed in listed:
        if (signer := recover(signed.message, signed.signature, domain)) != signed.message.hospital:
            raise LedgerError(f"round {view.number}: {signed.message.hospital} did not sign; {signer} did.")
    return replace(view.under(accounts), accepted=accepted(listed))


def accepted(submissions: Sequence[SignedSubmission]) -> dict[str, AcceptedUpdate]:
    """What the submissions commit to, by hospital."""
    return {
        s.message.hospital: AcceptedUpdate(
            s.message.root, s.message.samples, s.message.size, s.message.metrics
        )
        for s in submissions
    }
