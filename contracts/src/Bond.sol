// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Result, Submission} from "./FederationTypes.sol";
import {MerkleSum} from "./MerkleSum.sol";
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

/// @title The coordinator's bond, and which rounds it can still be lost for.
/// @notice One bond covers every round that is within its dispute window: it is lost once, whole, and locked here for
///         ever. No round opens after that until another is posted.
abstract contract Bond {
    // ------------------------------------------------------------------------------------------- EVENTS

    event BondPosted(address indexed sender, uint256 amount, uint256 bond);
    /// @param toChallenger Nothing: earlier courts gave the challenger half.
    event BondSlashed(uint64 indexed round, address indexed challenger, uint256 toChallenger, uint256 locked);
    event ReleaseAnnounced(uint256 releaseAt);
    event BondReleased(address indexed coordinator, uint256 amount);
    event AggregateDisputed(uint64 indexed round, uint256 leafIndex, address indexed challenger);

    // ------------------------------------------------------------------------------------------- ERRORS

    error NotCoordinator(address sender);
    error RoundInProgress();
    error BondTooSmall(uint256 bond, uint256 needed);
    error BondLocked(uint256 releaseAt);
    error NotAResult(uint64 round);
    error DisputeWindowOver(uint64 round, uint256 until);
    error AlreadyDisputed(uint64 round);
    error NotCommitted(uint256 seat);
    error PathDoesNotLead(address hospital);
    error LengthMismatch(uint256 left, uint256 right);
    error SeatsBeyond256(uint64 round);
    error AggregateCorrect(uint64 round, uint256 leafIndex);
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

    // -------------------------------------------------------------------------------------------- LOGIC

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

    // -------------------------------------------------------------------------------------------- VIEWS

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

    // ----------------------------------------------------------------------------------------- INTERNAL

    /// Whether the ledger keeps this result, and whether of a round with seats beyond 256: there it has hashed
    /// once more, and `included` is the hash of the set's words.
    function _isResult(Result calldata result) private view returns (bool held, bool wide) {
        bytes32 hash = keccak256(abi.encode(result));
        bytes32 kept = ledger.resultOf(result.round);
        wide = keccak256(abi.encode(hash)) == kept;
        held = wide || hash == kept;
    }

    function _requireDisputable(Result calldata result) internal view returns (bool wide) {
        bool held;
        (held, wide) = _isResult(result);
        if (!held) revert NotAResult(result.round);
        uint256 until = uint256(result.finalizedAt) + disputeWindow;
        if (block.timestamp > until) revert DisputeWindowOver(result.round, until);
        if (_disputed[result.round]) revert AlreadyDisputed(result.round);
    }

    /// Whether the ledger, or the root that it keeps, has this submission of a seat.
    function _isCommitted(
        Result calldata result,
        uint256 seat,
        Submission calldata submission,
        bytes calldata signature,
        bytes32[] calldata place
    ) internal view returns (bool) {
        bytes32 hash = ledger.structHash(submission);
        if (result.submissionsRoot == bytes32(0)) {
            return ledger.commitmentOf(result.round, result.attempt, seat) == hash;
        }
        bytes32 leaf = SubmissionTree.leaf(hash, keccak256(signature));
        return SubmissionTree.proves(result.submissionsRoot, seat, leaf, place);
    }

    /// A leaf is the aggregate's.
    function _requireLeaf(Result calldata result, uint256 index, bytes memory leaf, bytes32[] calldata path)
        internal
        view
    {
        if (MerkleSum.rootOf(leaf, index, MerkleSum.leaves(updateSize), path) != result.aggregateRoot) {
            revert PathDoesNotLead(address(0));
        }
    }

    function _slash(uint64 round) internal {
        _disputed[round] = true;
        emit BondSlashed(round, msg.sender, 0, bond);
        bond = 0;
    }
}
