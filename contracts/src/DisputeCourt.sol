// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Result, Submission} from "./FederationTypes.sol";
import {MerkleSum} from "./MerkleSum.sol";
import {Seats} from "./Seats.sol";
import {SubmissionTree} from "./SubmissionTree.sol";

/// @notice What the court asks of the ledger that made it.
interface IDisputedLedger {
    function federation() external view returns (bytes32);
    function coordinator() external view returns (address);
    function inProgress() external view returns (bool);
    /// @dev The first two of what it returns.
    function latestRound() external view returns (uint64 number, uint64 attempt);
    function resultOf(uint64 round) external view returns (bytes32);
    function commitmentOf(uint64 round, uint64 attempt, uint256 seat) external view returns (bytes32);
    function registeredSamples(uint256 seat) external view returns (uint64);
    function seatOf(address account) external view returns (uint256 seat, bool current);
    function structHash(Submission calldata submission) external view returns (bytes32);
    function signerOf(Submission calldata submission, bytes calldata signature) external view returns (address);
}

/// @title The coordinator's bond, and what it is lost for.
/// @notice Made by a ledger with itself, in one transaction. Anyone may show, within the dispute window of a
///         round, that a chunk of its aggregate is not the sum of the included updates' chunks, or that a
///         submission under its root is none that the ledger would have taken. The whole bond is then locked here
///         for ever. Nobody gains by a challenge, and so a coordinator does not gain by being the first to
///         challenge itself.
///         One bond covers every round that is within its dispute window: it is lost once. No round opens after
///         that until another is posted, and further wrong rounds of the same window cost no more.
contract DisputeCourt {
    using Seats for uint256[];
    using MerkleSum for bytes;

    // ------------------------------------------------------------------------------------------- TYPES

    /// One included update at a challenge.
    /// @param submission What the hospital signed.
    /// @param leaf The challenged chunk of its vector.
    /// @param path Audit path of the chunk.
    /// @param signature Only where one root records all: it is part of the leaf there.
    /// @param place Only where one root records all: path of the submission under that root.
    struct Opening {
        Submission submission;
        bytes leaf;
        bytes32[] path;
        bytes signature;
        bytes32[] place;
    }

    // ------------------------------------------------------------------------------------------ EVENTS

    event BondPosted(address indexed sender, uint256 amount, uint256 bond);
    /// @param toChallenger Nothing: earlier courts gave the challenger half.
    event BondSlashed(uint64 indexed round, address indexed challenger, uint256 toChallenger, uint256 locked);
    event ReleaseAnnounced(uint256 releaseAt);
    event BondReleased(address indexed coordinator, uint256 amount);
    event AggregateDisputed(uint64 indexed round, uint256 leafIndex, address indexed challenger);
    event SubmissionDisputed(uint64 indexed round, uint256 seat, address indexed challenger);
    event SeedsPublished(uint64 indexed round, uint64 attempt, bytes32 root);

    // ------------------------------------------------------------------------------------------ ERRORS

    error NotCoordinator(address sender);
    error RoundInProgress();
    error BondTooSmall(uint256 bond, uint256 needed);
    error BondLocked(uint256 releaseAt);
    error NotLatest(uint64 round);
    error NotAResult(uint64 round);
    error DisputeWindowOver(uint64 round, uint256 until);
    error AlreadyDisputed(uint64 round);
    error UpdatesAreSealed();
    error SeatsBeyond256(uint64 round);
    error NotTheSet(uint64 round);
    error NoSuchLeaf(uint256 index, uint256 count);
    error LengthMismatch(uint256 left, uint256 right);
    error NotCommitted(uint256 seat);
    error PathDoesNotLead(address hospital);
    error AggregateCorrect(uint64 round, uint256 leafIndex);
    error NotOmitted(uint256 seat);
    error SubmissionGood(uint64 round, uint256 seat);
    error TransferFailed(address account);

    // ----------------------------------------------------------------------------------------- STORAGE

    IDisputedLedger public immutable ledger;
    /// @notice Seconds from finalizing in which a round may be challenged.
    uint32 public immutable disputeWindow;
    /// @notice Wei without which no round opens.
    uint128 public immutable minimumBond;
    /// @notice Whether updates are plain vectors of the ring; only then can their chunks be added here.
    bool public immutable openUpdates;
    /// @notice Bytes of such a vector.
    uint64 public immutable updateSize;

    /// @notice The bond, in wei.
    uint256 public bond;
    /// @notice When the bond may be released; zero while it is pledged.
    uint256 public releaseAt;
    mapping(uint64 round => bool) private _disputed;

    // ------------------------------------------------------------------------------------------- LOGIC

    modifier onlyCoordinator() {
        if (msg.sender != ledger.coordinator()) revert NotCoordinator(msg.sender);
        _;
    }

    constructor(uint32 disputeWindow_, uint128 minimumBond_, bool openUpdates_, uint64 updateSize_) {
        ledger = IDisputedLedger(msg.sender);
        disputeWindow = disputeWindow_;
        minimumBond = minimumBond_;
        openUpdates = openUpdates_;
        updateSize = updateSize_;
    }

    /// @notice Add to the bond. The coordinator pledges the whole of it again by that; a stranger, who could
    ///         keep it from being released so, does not.
    function postBond() external payable {
        bond += msg.value;
        if (msg.sender == ledger.coordinator()) releaseAt = 0;
        emit BondPosted(msg.sender, msg.value, bond);
    }

    /// @notice Say that the bond is to be taken back: no round opens from now on where a bond is needed, and
    ///         after the dispute window of the last round it is free.
    function announceRelease() external onlyCoordinator {
        if (ledger.inProgress()) revert RoundInProgress();
        releaseAt = block.timestamp + disputeWindow + 1;
        emit ReleaseAnnounced(releaseAt);
    }

    /// @notice Take the bond back.
    function releaseBond() external onlyCoordinator {
        // Where no bond is needed, rounds may have gone on since.
        if (releaseAt == 0 || block.timestamp < releaseAt) revert BondLocked(releaseAt);
        uint256 amount = bond;
        bond = 0;
        emit BondReleased(msg.sender, amount);
        (bool paid,) = msg.sender.call{value: amount}("");
        if (!paid) revert TransferFailed(msg.sender);
    }

    /// @notice Say under which root the seeds are that take the masks off the latest round's sum.
    function publishSeeds(uint64 round, bytes32 root) external onlyCoordinator {
        (uint64 number, uint64 attempt) = ledger.latestRound();
        if (round != number) revert NotLatest(round);
        emit SeedsPublished(round, attempt, root);
    }

    /// @notice Show that a chunk of a round's aggregate is not the sum of the included updates' chunks. The
    ///         court adds them itself; it reverts where the sum is right.
    /// @param result The round's result, as it was finalized.
    /// @param leafIndex Which chunk.
    /// @param openings Of every included hospital, in the order of seats.
    /// @param aggregateLeaf The chunk of the aggregate.
    /// @param aggregatePath Its audit path under the aggregate's root.
    function challenge(
        Result calldata result,
        uint256 leafIndex,
        Opening[] calldata openings,
        bytes calldata aggregateLeaf,
        bytes32[] calldata aggregatePath
    ) external {
        if (!openUpdates) revert UpdatesAreSealed();
        // The chunks of so many would be more than a transaction may carry.
        if (_requireDisputable(result)) revert SeatsBeyond256(result.round);
        uint256 width = MerkleSum.leaves(updateSize);
        if (leafIndex >= width) revert NoSuchLeaf(leafIndex, width);
        bytes memory leaf = aggregateLeaf;
        if (MerkleSum.rootOf(leaf, leafIndex, width, aggregatePath) != result.aggregateRoot) {
            revert PathDoesNotLead(address(0));
        }
        (bytes memory sum, bool whole) = _sum(result, leafIndex, width, openings);
        if (whole && keccak256(sum) == keccak256(leaf)) revert AggregateCorrect(result.round, leafIndex);
        emit AggregateDisputed(result.round, leafIndex, msg.sender);
        _slash(result.round);
    }

    /// @notice Show that a submission under a round's root is none that the ledger would have taken.
    /// @param result The round's result, as it was finalized.
    /// @param seat Of which hospital.
    /// @param submission What stands there.
    /// @param signature What stands there as its signature.
    /// @param path From its leaf up to the root.
    function disputeSubmission(
        Result calldata result,
        uint256 seat,
        Submission calldata submission,
        bytes calldata signature,
        bytes32[] calldata path
    ) external {
        _requireDisputable(result);
        bytes32 leaf = SubmissionTree.leaf(ledger.structHash(submission), keccak256(signature));
        if (!SubmissionTree.proves(result.submissionsRoot, seat, leaf, path)) revert NotCommitted(seat);
        if (_isGood(result, seat, submission, signature)) revert SubmissionGood(result.round, seat);
        emit SubmissionDisputed(result.round, seat, msg.sender);
        _slash(result.round);
    }

    /// @notice Show that an included hospital has no submission under a round's root.
    /// @param result The round's result, as it was finalized.
    /// @param seat Of which hospital.
    /// @param path From its empty leaf up to the root.
    function disputeOmission(Result calldata result, uint256 seat, bytes32[] calldata path) external {
        if (_requireDisputable(result)) revert SeatsBeyond256(result.round);
        _disputeOmission(result, Seats.only(result.included), seat, path);
    }

    /// @notice As `disputeOmission`, of a round with seats beyond the first 256.
    /// @param included The words whose hash the result has.
    function disputeWideOmission(
        Result calldata result,
        uint256[] calldata included,
        uint256 seat,
        bytes32[] calldata path
    ) external {
        bool wide = _requireDisputable(result);
        bool same = uint256(keccak256(abi.encodePacked(included))) == result.included;
        if (!wide || !same) revert NotTheSet(result.round);
        _disputeOmission(result, included, seat, path);
    }

    // ------------------------------------------------------------------------------------------- VIEWS

    /// @notice Reverts where a round may not open for want of a bond.
    function requireBond() external view {
        // slither-disable-next-line incorrect-equality (zero is no time, but says that there is none)
        uint256 pledged = releaseAt == 0 ? bond : 0;
        if (pledged < minimumBond) revert BondTooSmall(pledged, minimumBond);
    }

    /// @notice Whether a round was finalized so lately that it may be challenged, and has not been yet.
    function disputable(Result calldata result) external view returns (bool) {
        (bool held,) = _isResult(result);
        return held && !_disputed[result.round] && block.timestamp <= uint256(result.finalizedAt) + disputeWindow;
    }

    /// @notice Whether a challenge of the round has succeeded.
    function disputed(uint64 round) external view returns (bool) {
        return _disputed[round];
    }

    /// @notice Whether a seat has a submission under a root: a proof of inclusion.
    function provesInclusion(
        bytes32 root,
        uint256 seat,
        Submission calldata submission,
        bytes calldata signature,
        bytes32[] calldata path
    ) external view returns (bool) {
        bytes32 leaf = SubmissionTree.leaf(ledger.structHash(submission), keccak256(signature));
        return SubmissionTree.proves(root, seat, leaf, path);
    }

    /// @notice Whether a seat has no submission under a root: a proof of omission.
    function provesOmission(bytes32 root, uint256 seat, bytes32[] calldata path) external pure returns (bool) {
        return SubmissionTree.proves(root, seat, bytes32(0), path);
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    function _disputeOmission(
        Result calldata result,
        uint256[] memory included,
        uint256 seat,
        bytes32[] calldata path
    ) private {
        bool empty = SubmissionTree.proves(result.submissionsRoot, seat, bytes32(0), path);
        if (!empty || !included.has(seat)) revert NotOmitted(seat);
        emit SubmissionDisputed(result.round, seat, msg.sender);
        _slash(result.round);
    }

    /// Whether the ledger keeps this result, and whether of a round with seats beyond 256: there it has hashed
    /// once more, and `included` is the hash of the set's words.
    function _isResult(Result calldata result) private view returns (bool held, bool wide) {
        bytes32 hash = keccak256(abi.encode(result));
        bytes32 kept = ledger.resultOf(result.round);
        wide = keccak256(abi.encode(hash)) == kept;
        held = wide || hash == kept;
    }

    function _requireDisputable(Result calldata result) private view returns (bool wide) {
        bool held;
        (held, wide) = _isResult(result);
        if (!held) revert NotAResult(result.round);
        uint256 until = uint256(result.finalizedAt) + disputeWindow;
        if (block.timestamp > until) revert DisputeWindowOver(result.round, until);
        if (_disputed[result.round]) revert AlreadyDisputed(result.round);
    }

    /// The sum of the openings' chunks. It is not whole where one has the wrong length: what commits to that is
    /// no vector, and should not have been included.
    function _sum(Result calldata result, uint256 leafIndex, uint256 width, Opening[] calldata openings)
        private
        view
        returns (bytes memory sum, bool whole)
    {
        whole = true;
        uint256[] memory seats = Seats.only(result.included).list();
        if (openings.length != seats.length) revert LengthMismatch(openings.length, seats.length);
        sum = new bytes(MerkleSum.leafLength(updateSize, leafIndex));
        for (uint256 i = 0; i < seats.length; ++i) {
            Opening calldata opening = openings[i];
            if (!_isCommitted(result, seats[i], opening)) revert NotCommitted(seats[i]);
            bytes memory leaf = opening.leaf;
            if (MerkleSum.rootOf(leaf, leafIndex, width, opening.path) != opening.submission.root) {
                revert PathDoesNotLead(opening.submission.hospital);
            }
            if (leaf.length == sum.length) sum.add(leaf);
            else whole = false;
        }
    }

    function _isCommitted(Result calldata result, uint256 seat, Opening calldata opening)
        private
        view
        returns (bool)
    {
        bytes32 hash = ledger.structHash(opening.submission);
        if (result.submissionsRoot == bytes32(0)) {
            return ledger.commitmentOf(result.round, result.attempt, seat) == hash;
        }
        bytes32 leaf = SubmissionTree.leaf(hash, keccak256(opening.signature));
        return SubmissionTree.proves(result.submissionsRoot, seat, leaf, opening.place);
    }

    /// Whether the ledger would have taken a submission for a seat in a round.
    function _isGood(
        Result calldata result,
        uint256 seat,
        Submission calldata submission,
        bytes calldata signature
    ) private view returns (bool) {
        bool fits = submission.federation == ledger.federation() && submission.round == result.round
            && submission.attempt == result.attempt && submission.base == result.base
            && submission.samples != 0 && submission.samples <= ledger.registeredSamples(seat)
            && submission.size != 0 && submission.root != bytes32(0)
            && (!openUpdates || submission.size == updateSize);
        if (!fits || ledger.signerOf(submission, signature) != submission.hospital) return false;
        // A key that was rotated since then has its seat still: whether it is the current one does not matter.
        // slither-disable-next-line unused-return
        try ledger.seatOf(submission.hospital) returns (uint256 held, bool) {
            return held == seat;
        } catch {
            return false;
        }
    }

    function _slash(uint64 round) private {
        _disputed[round] = true;
        emit BondSlashed(round, msg.sender, 0, bond);
        bond = 0;
    }
}
