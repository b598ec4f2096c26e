"""What stands under a round's one root, and proofs of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedcxr import json_text
from fedcxr.errors import LedgerError
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.location import IndexedLedger
from fedcxr.indexer.members import MemberRecord, Members
from fedcxr.indexer.rounds import RoundRecord, read_rounds
from fedcxr.ledger.recorded import Recorded
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.submissions.proof import Proof


def read_list(record: RoundRecord, members: Members, data: bytes) -> list[SignedSubmission]:
    """The list of a round, once it is the one under the contract's root.

    Raises:
        FederationError: no list.
        LedgerError: another one.
    """
    where = f"round {record.number}: the list {(record.list_root or b'').hex()} of the store"
    submissions = submission_list.from_bytes(data)
    if any(signed.message.hospital not in members.seat_of for signed in submissions):
        raise LedgerError(f"{where} holds strangers.")
    leaves = submission_list.leaves(submissions, members.seat_of)
    if submission_tree.root(leaves, submission_tree.depth_of(record.accounts)) != record.submissions_root:
        raise LedgerError(f"{where} is not the one under the contract's root.")
    return submissions


def prove(
    ledger: IndexedLedger,
    members: Members,
    member: MemberRecord,
    number: int,
    fetch: Callable[[bytes], bytes],
) -> Proof:
    """Prove that a hospital is in the last attempt at a round that was closed, or that it is not.

    Args:
        ledger: of the federation.
        members: of it.
        member: the hospital.
        number: of the round.
        fetch: the blob under a root: asked for the list of the round.

    Raises:
        LedgerError: the round is not closed, the contract records each submission, or the list in the store
            is another than the one under the root.
        StoreError: it cannot be fetched.
    """
    record = _closed(ledger.index, members, number)
    assert record.list_root is not None
    assert record.submissions_root is not None
    submissions = read_list(record, members, fetch(record.list_root))
    own = next((s for s in submissions if s.message.hospital in member.accounts), None)
    leaves = submission_list.leaves(submissions, members.seat_of)
    return Proof(
        chain_id=ledger.chain_id,
        contract=ledger.location.contract,
        round=record.number,
        attempt=record.attempt,
        hospital=own.message.hospital if own else record.accounts.get(member.seat, member.account),
        seat=member.seat,
        root=record.submissions_root,
        path=_path(leaves, member.seat, record),
        submission=own,
    )


def _path(leaves: Mapping[int, bytes], seat: int, record: RoundRecord) -> tuple[bytes, ...]:
    """The path of a seat; one that the round's tree has no place for was not asked, and so has none."""
    depth = submission_tree.depth_of(record.accounts)
    if seat >= 1 << depth:
        raise LedgerError(
            f"round {record.number}: seat {seat} was not asked, nor any beyond the first {1 << depth}."
        )
    return tuple(submission_tree.path(leaves, seat, depth))


def check(ledger: IndexedLedger, members: Members, proof: Proof) -> RoundRecord:
    """Hold a proof to the contract.

    Args:
        ledger: of the federation that it must be about.
        members: of it.
        proof: by whomever.

    Returns:
        The attempt that it is about.

    Raises:
        LedgerError: what of it the contract does not say.
    """
    location = ledger.location
    if (proof.chain_id, proof.contract.lower()) != (ledger.chain_id, location.contract.lower()):
        raise LedgerError(
            f"the proof is for {proof.contract} on chain {proof.chain_id}; here is {location.contract} on "
            f"chain {ledger.chain_id}."
        )
    if members.seat_of.get(proof.hospital) != proof.seat:
        raise LedgerError(f"seat {proof.seat} is not that of {proof.hospital}.")
    records = read_rounds(ledger.index, members, proof.round, proof.round)
    record = next((each for each in records if each.attempt == proof.attempt), None)
    held = record.submissions_root if record else None
    if record is None or held != proof.root:
        shown = "has none" if held is None else f"holds {held.hex()}"
        raise LedgerError(
            f"round {proof.round}, attempt {proof.attempt}: the proof is under the root {proof.root.hex()}, "
            f"but the contract {shown}."
        )
    if len(proof.path) != (depth := submission_tree.depth_of(record.accounts)):
        # Who makes a root can make it so that a seat has one leaf at this depth, and another at the other.
        raise LedgerError(f"it has {len(proof.path)} siblings, where the round's tree is {depth} deep.")
    proof.check()
    federation = bytes(ledger.index.select("FederationCreated")[0]["federation"])
    if proof.submission is not None and proof.submission.message.federation != federation:
        raise LedgerError("what was signed is for another federation.")
    return record


def _closed(index: IndexFile, members: Members, number: int) -> RoundRecord:
    """The last attempt at a round that has a root."""
    founding = json_text.parse(index.select("FederationCreated")[0]["founding"])
    if not Recorded(founding["recording"]).listed:
        raise LedgerError(
            "this federation records each submission, and there is no root to prove it under: "
            "`fedcxr ledger update` shows it."
        )
    records = read_rounds(index, members, number, number)
    if not records:
        raise LedgerError(f"round {number} was never opened.")
    closed = [record for record in records if record.submissions_root is not None]
    if not closed:
        raise LedgerError(f"round {number} is {records[-1].phase}: only a closed round has a root.")
    return closed[-1]
