// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bond} from "./Bond.sol";
import {Result, Submission} from "./FederationTypes.sol";
import {MaskWords} from "./MaskWords.sol";
import {MerkleSum} from "./MerkleSum.sol";
import {Seats} from "./Seats.sol";

/// @title Challenges of masked rounds: one word of the sum, with the masks taken off by the published seeds.
/// @notice docs/secure-aggregation.md has the bytes of contexts, headers and commitments. Each seed is held to what
///         its hospital committed to in the update that the ledger accepted, so that no seed need be believed.
///         A case is whose opened it, and may be fed in several transactions: fifty openings are more than one
///         may cost.
abstract contract MaskedCases is Bond {
    using Seats for uint256[];

    // ------------------------------------------------------------------------------------------- TYPES

    /// One included update at a challenge of a masked round.
    /// @param submission What the hospital signed.
    /// @param signature Only where one root records all: it is part of the leaf there.
    /// @param place Only where one root records all: path of the submission under that root.
    /// @param leaves The first of the update's header; its second, where one of the commitments is in it; and last
    ///        the one with the word.
    /// @param paths Their audit paths.
    /// @param seeds Of its own mask; and those that it shares with participants who are not in the sum, by seat.
    struct MaskedOpening {
        Submission submission;
        bytes signature;
        bytes32[] place;
        bytes[] leaves;
        bytes32[][] paths;
        bytes32[] seeds;
    }

    /// What a case has come to.
    /// @param taken How many openings, of the lowest seats; one more than there are.
    /// @param sum Of their words without masks, modulo 2^32.
    /// @param claimed The aggregate's word; above 2^32 where its leaf is no vector's.
    struct Tally {
        uint16 taken;
        uint32 sum;
        uint64 claimed;
    }

    /// What the openings of a transaction are held against.
    struct Frame {
        uint256 word;
        uint256 included; // seats of the sum, a word
        uint256 missing; // participants that are not in it
        bytes context; // of the attempt
        bytes32 digest; // of that
        bytes table;
        bytes schedule;
    }

    // ------------------------------------------------------------------------------------------ EVENTS

    event SeedsPublished(uint64 indexed round, uint64 attempt, bytes32 root);

    // ------------------------------------------------------------------------------------------ ERRORS

    error NotLatest(uint64 round);
    error UpdatesAreOpen();
    error NoSuchWord(uint256 word, uint256 count);
    error NoSuchCase(bytes32 id);
    error WrongContext(uint256 length);
    error WrongHeader(uint256 seat);
    error WrongSeed(uint256 seat, uint256 other);

    // ----------------------------------------------------------------------------------------- STORAGE

    uint256 private constant WORDS = MerkleSum.LEAF_SIZE / 4;
    uint256 private constant PARTICIPANTS = 254; // where they begin in a context
    uint256 private constant PARTICIPANT = 58;
    uint256 private constant PAIRS = 1856; // where the commitments for neighbours begin in a header
    uint256 private constant PAIR = 64;
    bytes32 private constant SELF = "fedcxr/masked/self/commit/1";
    bytes32 private constant PAIRED = "fedcxr/masked/pair/commit/1";

    mapping(bytes32 id => Tally) private _cases;

    // ------------------------------------------------------------------------------------------- LOGIC

    /// @notice Say under which root the seeds are that take the masks off the latest round's sum.
    function publishSeeds(uint64 round, bytes32 root) external onlyCoordinator {
        (uint64 number, uint64 attempt) = ledger.latestRound();
        if (round != number) revert NotLatest(round);
        emit SeedsPublished(round, attempt, root);
    }

    /// @notice Show that a word of a masked round's aggregate is not the sum of the included updates' words without
    ///         their masks. The case is decided once every included update is opened, here or by `addOpenings`; it
    ///         then reverts where the sum is right.
    /// @param result The round's result, as it was finalized.
    /// @param word Which.
    /// @param openings Of included hospitals, in the order of seats, from the lowest on.
    /// @param context What the hospitals' context is the digest of: it names who could take part.
    /// @param aggregateLeaf The leaf of the aggregate with the word.
    /// @param aggregatePath Its audit path under the aggregate's root.
    function challengeMasked(
        Result calldata result,
        uint256 word,
        MaskedOpening[] calldata openings,
        bytes calldata context,
        bytes calldata aggregateLeaf,
        bytes32[] calldata aggregatePath
    ) external {
        if (openUpdates) revert UpdatesAreOpen();
        if (word >= updateSize / 4) revert NoSuchWord(word, updateSize / 4);
        _requireLeaf(result, word / WORDS, aggregateLeaf, aggregatePath);
        bool whole = aggregateLeaf.length == MerkleSum.leafLength(updateSize, word / WORDS);
        uint64 claimed = whole ? _wordOf(aggregateLeaf, word) : type(uint64).max;
        _add(Tally(1, 0, claimed), result, word, openings, context);
    }

    /// @notice Go on with a case of the sender's own: see `challengeMasked`.
    /// @param openings Of the next included hospitals.
    function addOpenings(
        Result calldata result,
        uint256 word,
        MaskedOpening[] calldata openings,
        bytes calldata context
    ) external {
        bytes32 id = _id(result, word, sha256(context));
        Tally memory tally = _cases[id];
        if (tally.taken == 0) revert NoSuchCase(id);
        _add(tally, result, word, openings, context);
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    function _add(
        Tally memory tally,
        Result calldata result,
        uint256 word,
        MaskedOpening[] calldata openings,
        bytes calldata context
    ) private {
        if (_requireDisputable(result)) revert SeatsBeyond256(result.round);
        Frame memory frame;
        frame.word = word;
        frame.included = result.included;
        frame.context = context;
        frame.digest = sha256(context);
        (frame.table, frame.schedule) = MaskWords.tables();
        uint256[] memory seats = Seats.only(frame.included).list();
        if (context.length < PARTICIPANTS + PARTICIPANT * seats.length) revert WrongContext(context.length);
        frame.missing = _participants(context.length) - seats.length;
        uint256 free;
        assembly ("memory-safe") {
            free := mload(64)
        }
        for (uint256 i = 0; i < openings.length; ++i) {
            if (tally.taken > seats.length) revert LengthMismatch(openings.length, i);
            uint256 seat = seats[tally.taken - 1];
            MaskedOpening calldata opening = openings[i];
            if (!_isCommitted(result, seat, opening.submission, opening.signature, opening.place)) {
                revert NotCommitted(seat);
            }
            uint32 opened = _opened(frame, seat, opening);
            unchecked {
                tally.sum += opened;
            }
            ++tally.taken;
            assembly ("memory-safe") {
                mstore(64, free) // what an opening took is not wanted any more
            }
        }
        if (tally.taken <= seats.length) {
            _cases[_id(result, word, frame.digest)] = tally;
            return;
        }
        if (tally.sum == tally.claimed) revert AggregateCorrect(result.round, word / WORDS);
        emit AggregateDisputed(result.round, word / WORDS, msg.sender);
        _slash(result.round);
    }

    /// One update's word without its masks.
    function _opened(Frame memory frame, uint256 seat, MaskedOpening calldata opening)
        private
        view
        returns (uint32 rest)
    {
        bytes[] memory leaves = opening.leaves;
        bytes32[] memory seeds = opening.seeds;
        if (seeds.length != frame.missing + 1) revert LengthMismatch(seeds.length, frame.missing + 1);
        // A vector's leaf alone could have a header written into it.
        if (leaves.length < 2) revert LengthMismatch(leaves.length, 2);
        _requireLeaves(frame, seat, opening, leaves);
        rest = _wordOf(leaves[leaves.length - 1], frame.word);
        bytes32 said = sha256(abi.encodePacked(SELF, frame.digest, uint16(seat), seeds[0]));
        if (said != _load(leaves[0], 64)) revert WrongSeed(seat, seat);
        rest = _less(frame, rest, seeds[0]);
        uint256 used;
        uint256 at = PAIRS;
        for (uint256 i = PARTICIPANTS; i < frame.context.length; i += PARTICIPANT) {
            uint256 other = uint256(_load(frame.context, i)) >> 240;
            if (other == seat) continue;
            if (frame.included & (1 << other) == 0) {
                bytes32 seed = seeds[++used];
                // The last leaf is the vector's: there a hospital wrote what it liked.
                uint256 leaf = at / MerkleSum.LEAF_SIZE;
                if (leaf + 1 >= leaves.length) revert LengthMismatch(leaves.length, leaf + 2);
                said = other < seat ? _pair(frame.digest, other, seat, seed) : _pair(frame.digest, seat, other, seed);
                if (said != _load(leaves[leaf], at % MerkleSum.LEAF_SIZE)) revert WrongSeed(seat, other);
                // It was added where the other's seat is higher, and else taken off.
                rest = other > seat ? _less(frame, rest, seed) : ~_less(frame, ~rest, seed);
            }
            at += PAIR;
        }
    }

    /// The leaves that are shown are those of the update, and its header is one of this attempt.
    function _requireLeaves(
        Frame memory frame,
        uint256 seat,
        MaskedOpening calldata opening,
        bytes[] memory leaves
    ) private view {
        uint256 neighbours = _participants(frame.context.length) - 1;
        bytes32 numbers = _load(leaves[0], 48);
        uint256 header =
            MerkleSum.leaves(PAIRS + neighbours * (PAIR + (uint256(numbers) >> 208) % 65536));
        uint256 size = header * MerkleSum.LEAF_SIZE + updateSize;
        if (
            _load(leaves[0], 0) >> 128 != bytes32(bytes16("fedcxr/masked/1\n")) >> 128
                || _load(leaves[0], 16) != frame.digest || uint256(numbers) >> 224 != (seat << 16) + neighbours
                || opening.submission.size != size
        ) revert WrongHeader(seat);
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 index = i + 1 == leaves.length ? header + frame.word / WORDS : i;
            uint256 length = MerkleSum.leafLength(size, index);
            if (leaves[i].length != length) revert MerkleSum.BadLeaf(leaves[i].length, length);
            bytes32 root = MerkleSum.rootOf(leaves[i], index, MerkleSum.leaves(size), opening.paths[i]);
            if (root != opening.submission.root) revert PathDoesNotLead(opening.submission.hospital);
        }
    }

    /// What both ends of a pair commit to their seed by.
    function _pair(bytes32 digest, uint256 low, uint256 high, bytes32 seed) private pure returns (bytes32) {
        return sha256(abi.encodePacked(PAIRED, digest, uint16(low), uint16(high), seed));
    }

    /// A word without the mask of a seed.
    function _less(Frame memory frame, uint32 rest, bytes32 seed) private pure returns (uint32) {
        unchecked {
            return rest - MaskWords.word(frame.table, frame.schedule, seed, frame.word);
        }
    }

    /// How many hospitals a context of this length has.
    function _participants(uint256 length) private pure returns (uint256) {
        return (length - PARTICIPANTS) / PARTICIPANT;
    }

    /// A little-endian word of the leaf that has it.
    function _wordOf(bytes memory leaf, uint256 word) private pure returns (uint32 value) {
        value = uint32(uint256(_load(leaf, 4 * (word % WORDS))) >> 224);
        value = ((value & 0x00ff00ff) << 8) | ((value >> 8) & 0x00ff00ff);
        return (value << 16) | (value >> 16);
    }

    /// What begins at a place. Callers know that it begins there; what is behind the end is zero, or memory's.
    function _load(bytes memory data, uint256 at) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 32), at))
        }
    }

    /// A case is one of its sender, about one word of one result.
    function _id(Result calldata result, uint256 word, bytes32 digest) private view returns (bytes32) {
        return keccak256(abi.encode(msg.sender, result, word, digest));
    }
}
