// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The kinds of a federation's members and rules, and what its messages say.

/// How a round's weights follow from its participants' registered samples.
enum Weighting {
    Samples,
    Uniform
}

/// Who lets members in and suspends them once the first round is open.
enum Admission {
    Coordinator,
    Vote
}

/// What of a submission is on the chain: each with its signature checked, or one Merkle root for all.
enum Recording {
    Each,
    Root
}

/// Where the latest round stands. A number that was aborted can be opened again, as its next attempt.
enum Phase {
    None,
    Open,
    Closed,
    Validated,
    Finalized,
    Aborted
}

enum Standing {
    None,
    Active,
    Suspended,
    Left
}

/// What a federation is founded with; none of it changes.
/// @param federation Its id, which every signed message repeats.
/// @param layoutDigest Merkle root of the layout: it pins the architecture.
/// @param configDigest SHA-256 of the resolved configuration.
/// @param genesisDigest Digest of the model that round 1 starts from.
/// @param openUpdates Updates are plain vectors of the ring, so that a chunk of the sum can be challenged.
/// @param committeeSize Validators drawn for each round, 3f+1; zero: an accepted update counts.
/// @param minUpdates Updates that a round needs.
/// @param validationWindow Seconds from closing in which validators may attest.
/// @param disputeWindow Seconds from finalizing in which a round may be challenged.
/// @param updateSize Bytes of a vector of the ring.
/// @param rewardBudget Credits of each round.
/// @param minimumBond Wei that the coordinator must have posted to open a round.
/// @param coordinatorKey HPKE public key that updates are sealed to.
/// @param auditorKey HPKE public key of the auditor; empty when there is none.
struct Founding {
    bytes32 federation;
    bytes32 layoutDigest;
    bytes32 configDigest;
    bytes32 genesisDigest;
    Weighting weighting;
    Admission admission;
    Recording recording;
    bool openUpdates;
    uint8 committeeSize;
    uint16 minUpdates;
    uint32 validationWindow;
    uint32 disputeWindow;
    uint64 updateSize;
    uint64 rewardBudget;
    uint128 minimumBond;
    bytes coordinatorKey;
    bytes auditorKey;
}

/// What the configuration binds of every round; none of it changes, and zero binds nothing.
/// @param rounds How many there are; an aborted one's next attempt has its number.
/// @param shortestDeadline Seconds for which a round must be open at least.
/// @param largestShare Of a round's weight that one hospital may have, in 1/10,000.
struct Bounds {
    uint48 rounds;
    uint32 shortestDeadline;
    uint16 largestShare;
}

/// A member: one slot. Its seat is for ever; its account follows its key.
struct Member {
    address account;
    uint64 samples; // zero where it is no hospital
    uint8 roles;
    Standing standing;
}

/// Signed by who wants to join.
struct Registration {
    bytes32 federation;
    address member;
    uint8 roles;
    uint64 samples;
    bytes32 envelopeKeyDigest;
}

/// Signed by the old key and by the new one.
struct Rotation {
    bytes32 federation;
    address member;
    address successor;
    bytes32 envelopeKeyDigest;
}

/// Signed by who leaves.
struct Departure {
    bytes32 federation;
    address member;
}

/// A member's vote for an action; there is no vote against.
struct Approval {
    bytes32 federation;
    bytes32 action;
    address member;
}

/// A hospital's commitment to one update.
struct Submission {
    bytes32 federation;
    uint64 round;
    uint64 attempt;
    address hospital;
    bytes32 base;
    bytes32 root;
    uint64 samples;
    uint64 size;
    bytes32 metrics;
}

/// A hospital was handed a model that the contract does not hold.
struct Refusal {
    bytes32 federation;
    uint64 round;
    address hospital;
    bytes32 seen;
}

/// A validator's verdict on an update. The score is its gain on the validator's own images, in 1/10,000.
struct Attestation {
    bytes32 federation;
    uint64 round;
    uint64 attempt;
    address validator;
    address hospital;
    bytes32 commitment;
    bool accepted;
    int16 score;
}

/// What a finalized round came to; the contract keeps its hash.
struct Result {
    uint64 round;
    uint64 attempt;
    uint64 finalizedAt;
    bytes32 base;
    bytes32 aggregateRoot;
    bytes32 modelDigest;
    bytes32 submissionsRoot; // zero where each submission is recorded
    uint256 included;
}
