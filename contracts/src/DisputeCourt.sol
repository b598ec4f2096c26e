// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bond} from "./Bond.sol";
import {Result, Submission} from "./FederationTypes.sol";
import {MaskedCases} from "./MaskedCases.sol";
import {MerkleSum} from "./MerkleSum.sol";
import {Seats} from "./Seats.sol";
import {SubmissionTree} from "./SubmissionTree.sol";

/// @title The coordinator's bond, and what it is lost for.
/// @notice Made by a ledger with itself, in one transaction. Anyone may show, within the dispute window of a
///         round, that a chunk of its aggregate is not the sum of the included updates' chunks, or that a
///         submission under its root is none that the ledger would have taken. The whole bond is then locked here
///         for ever. Nobody gains by a challenge, and so a coordinator does not gain by being the first to
///         challenge itself.
///         One bond covers every round that is within its dispute window: it is lost once. No round opens after
///         that until another is posted, and further wrong rounds of the same window cost no more.
contract DisputeCourt is MaskedCases {
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

    event SubmissionDisputed(uint64 indexed round, uint256 seat, address indexed challenger);

    // ------------------------------------------------------------------------------------------ ERRORS

    error UpdatesAreSealed();
    error NotTheSet(uint64 round);
    error NoSuchLeaf(uint256 index, uint256 count);
    error NotOmitted(uint256 seat);
    error SubmissionGood(uint64 round, uint256 seat);

    // ------------------------------------------------------------------------------------------- LOGIC

    constructor(uint32 disputeWindow_, uint128 minimumBond_, bool openUpdates_, uint64 updateSize_)
        Bond(disputeWindow_, minimumBond_, openUpdates_, updateSize_)
    {}

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
        _requireLeaf(result, leafIndex, aggregateLeaf, aggregatePath);
        (bytes memory sum, bool whole) = _sum(result, leafIndex, width, openings);
        if (whole && keccak256(sum) == keccak256(aggregateLeaf)) revert AggregateCorrect(result.round, leafIndex);
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
            if (!_isCommitted(result, seats[i], opening.submission, opening.signature, opening.place)) {
                revert NotCommitted(seats[i]);
            }
            bytes memory leaf = opening.leaf;
            if (MerkleSum.rootOf(leaf, leafIndex, width, opening.path) != opening.submission.root) {
                revert PathDoesNotLead(opening.submission.hospital);
            }
            if (leaf.length == sum.length) sum.add(leaf);
            else whole = false;
        }
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
}
