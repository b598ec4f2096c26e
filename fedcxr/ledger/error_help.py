"""What a user can do about each custom error of the contract and its court."""

from __future__ import annotations

_GENERIC = "The contract's rules forbid this; its error and arguments say which rule (contracts/src)."
ERROR_HELP = {
    "AccessControlBadConfirmation": "An account gives up a role for itself alone, by leaving.",
    "AccessControlUnauthorizedAccount": "Only who has the role may do this, and this account lacks it.",
    "AggregateCorrect": "The leaves shown add up to the aggregate's: there is nothing to dispute at this "
    "index.",
    "AlreadyAttested": "One verdict a validator and update counts; the first stands.",
    "AlreadyDisputed": "This round's dispute has been won already; look at its AggregateDisputed event.",
    "AlreadyRegistered": "This address is a member; a hospital that lost its disk joins under a new address.",
    "AlreadySettled": "The round's credits were awarded before; nothing is left to do.",
    "AlreadySubmitted": "The first update of a hospital counts in each attempt at a round; this one was the "
    "second.",
    "BadCommittee": "Choose a committee size of 3f + 1 that the members can fill.",
    "BadLeaf": "Leaves are 4,096 bytes, the last one shorter: take them from the stored blob as it is.",
    "BadRoles": "Roles are a sum of hospital = 1, validator = 2 and auditor = 4.",
    "BadSignature": "Signed by another key, or for another chain, contract or content: is the hospital's key "
    "the registered one, and the chain id the federation's?",
    "BondLocked": "The bond stays until the last round's dispute window is over: announce its release "
    "(`fedcxr ledger bond announce RUN`), and wait that long.",
    "BondTooSmall": "Post the coordinator's bond before the round is opened (`fedcxr ledger bond post RUN`), "
    "and start the run again.",
    "CommitteeDrawnAlready": "The round's committee stands; read it from the CommitteeDrawn event.",
    "CommitteeNeedsEach": "Committee validation needs a commitment an update, not one root a round.",
    "BadShare": "A share is at most the whole: 10,000 parts.",
    "CommitteeNotDrawn": "Draw the committee first (drawCommittee), a block after the round was opened.",
    "DeadlineInPast": "The chain's clock is ahead of the deadline asked for: raise ledger.deadline.",
    "DeadlinePassed": "The update came after the round's deadline in chain time: raise ledger.deadline, or "
    "look why the hospital was slow.",
    "DeadlineTooNear": "The federation was founded with a shortest deadline, which follows from "
    "ledger.deadline: did the opening wait so long for its block? Start the run again.",
    "DisputeWindowOver": "A dispute must come within the window after the round was finalized.",
    "DrawTooEarly": "The committee's randomness comes from a later block: draw again after the next one.",
    "DrawTooLate": "The block that the draw needs is out of the chain's reach (256 blocks): abort the round "
    "and open it again.",
    "EmptyUpdate": "An update has a size and a Merkle root; this one has none.",
    "InvalidShortString": "A name in the contract's EIP-712 domain is malformed: was it built from these "
    "sources?",
    "JudgesItself": "A validator judges the updates of others.",
    "LengthMismatch": "Two lists that belong together have different lengths.",
    "NoCommittee": "This federation was founded without committee validation (policy none).",
    "NoModel": "A finalized round needs the digests of its aggregate and its model.",
    "NoParticipants": "A round needs a participant: register hospitals first.",
    "NoSamples": "A hospital registers and submits with at least one image; is its shard empty?",
    "NoSeatLeft": "A federation has 4,096 seats, and those of members who left are not given again.",
    "NoSuchCase": "A case is of the account that opened it, about one word of one result: open it first.",
    "NoSuchLeaf": "The aggregate has fewer leaves; an index counts from 0.",
    "NoSuchRound": "The federation was founded with so many rounds, and all of them are finalized.",
    "NoSuchWord": "The aggregate has fewer words; they count from 0.",
    "NotAResult": "The result shown is not the one that the contract committed to for this round.",
    "NotAccepted": "The contract accepted no update of this hospital in the round: it cannot be included.",
    "NotActive": "No active member's key: it never was one, was rotated, is suspended, or has left.",
    "NotApproved": "This goes by vote here, and too few hospitals have signed for it: each does so with "
    "`fedcxr member approve`, and `fedcxr member relay` brings it.",
    "NotCommitted": "What is shown for this seat is not what the contract holds of it.",
    "NotCoordinator": "Only the account that founded the federation may do this: is this its run directory "
    "and key?",
    "NotLatest": "Seeds are published of the round that was opened last.",
    "NotOnCommittee": "Only validators drawn for this round may attest.",
    "NotOmitted": "Its submission is under the root, or it was not included: there is nothing to dispute.",
    "NotParticipant": "The round was opened without this hospital; it may take part in the next.",
    "NotRegistered": "Register the hospital first: its address is unknown to the contract.",
    "NotSettled": "The credits of the round before are not all given: call `settle` until they are.",
    "NotSuspended": "Only a suspended member can be reinstated.",
    "NotTheSet": "The words shown are not those of the set of seats that the result has the hash of.",
    "NothingFinalized": "There is no finalized round yet.",
    "NothingToWithdraw": "Nothing is owed to this account by this court, which is one of an earlier fedcxr.",
    "PathDoesNotLead": "The Merkle proof does not lead from the leaf to the committed root: was the blob "
    "changed?",
    "QuorumMissing": "Fewer updates than the quorum: abort the round; it can be opened again.",
    "RolesFollowMembership": "Roles are granted by joining and taken by leaving, not by grantRole or "
    "revokeRole.",
    "RoundInProgress": "This waits until the open round is finalized or aborted.",
    "SeatsBeyond256": "The chunks of a round with seats beyond the first 256 are too many for one "
    "transaction: the audit adds them.",
    "ShareTooLarge": "Without the updates that are missing one hospital has too large a share of the weight: "
    "abort the round; it can be opened again.",
    "StillOpen": "The round takes updates until its deadline, or until all are in.",
    "StringTooLong": "A name in the contract's EIP-712 domain is malformed: was it built from these sources?",
    "SubmissionGood": "The submission shown is good: there is nothing to dispute.",
    "SubmissionsMissing": "Show the submissions of these seats, too.",
    "TooFewForShare": "With so few hospitals one of them has more than federation.largest_share of the "
    "weight: wait until more are there.",
    "TooFewValidators": "Too few validators who do not judge themselves: let more join, or choose a smaller "
    "committee.",
    "TooManySamples": "More samples than the hospital registered; it joins again where its shard has grown.",
    "TransferFailed": "The receiving account does not take ether.",
    "Undecided": "The committee has no quorum on this update yet.",
    "Unknown": "The error is none of the contract's: is another contract at this address, or an older "
    "artifact here?",
    "UnknownSeats": "Some of these seats belong to no active hospital.",
    "UpdatesAreOpen": "Open updates have no masks: their chunks are challenged as they are.",
    "UpdatesAreSealed": "Only open updates can be added on the chain; this federation's are encrypted.",
    "ValidationOver": "The time for verdicts is over: this one came too late to count.",
    "WrongAttempt": "Signed for another attempt at this round: the round was aborted and opened again "
    "meanwhile.",
    "WrongBase": "The model started from is not the one that the contract holds: look for a second "
    "coordinator, or a model file restored from another run.",
    "WrongCommitment": "The verdict is on another update than the accepted one.",
    "WrongContext": "The context shown has fewer participants than the round's sum has updates.",
    "WrongFederation": "Signed for another federation: does hospital.toml name this run's ledger?",
    "WrongHeader": "The update shown for this seat is none that was masked under the context shown.",
    "WrongKey": "The envelope key does not have the digest that was signed.",
    "WrongPhase": "The round is in another phase; open, closed, validated and finalized follow in this "
    "order.",
    "WrongRecording": "This federation records its updates the other way (an update each, or one root a "
    "round).",
    "WrongRegistry": "The contract at the registry's address has other code than the ledger is told: deploy "
    "the artifact's.",
    "WrongRound": "Rounds are opened in order, one at a time: has another coordinator gone on?",
    "WrongWords": "A set of seats has as many words of 256 bits as its round's highest seat takes.",
    "WrongSeed": "The hospital in the first seat committed to another seed for its mask, or for the one that "
    "it shares with the second seat: take them from the published seeds.",
    "WrongSize": "An open update has the size that the layout says.",
}


def help_for(name: str) -> str:
    """What a user can do about a custom error; about one that is not listed, where to look."""
    return ERROR_HELP.get(name, _GENERIC)
