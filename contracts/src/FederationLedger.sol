// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Committee} from "./Committee.sol";
import {DisputeCourt} from "./DisputeCourt.sol";
import {Bounds, Founding, Recording, Submission} from "./FederationTypes.sol";
import {Membership} from "./Membership.sol";
import {Rewards} from "./Rewards.sol";
import {RoundRules} from "./RoundRules.sol";
import {Rounds} from "./Rounds.sol";
import {SignedMessages} from "./SignedMessages.sol";

/// @title The record of one federation: who takes part, what each round starts from, what was accepted with
///        which weight, who judged it, what came out, and who is owed what.
/// @notice Read from below: SignedMessages, Membership, Rounds, Committee, Rewards; and beside it DisputeCourt and
///         RoundRules.
contract FederationLedger is Rewards {
    event FederationCreated(bytes32 indexed federation, address court, Founding founding);
    event BoundsFixed(Bounds bounds);

    error CommitteeNeedsEach();

    bytes32 public immutable layoutDigest;
    bytes32 public immutable configDigest;
    bytes32 public immutable genesisDigest;
    bytes32 public immutable coordinatorKeyDigest;
    bytes32 public immutable auditorKeyDigest; // zero: no auditor
    /// @notice Holds the coordinator's bond, and judges challenges.
    DisputeCourt public immutable court;
    RoundRules private immutable _rules;

    /// @notice Found a federation; the sender is its coordinator.
    /// @param founding What it is founded with.
    /// @param bounds What binds its rounds.
    constructor(Founding memory founding, Bounds memory bounds)
        SignedMessages(founding.federation)
        Membership(founding.admission)
        Rounds(
            founding.genesisDigest,
            founding.weighting,
            founding.recording,
            founding.openUpdates,
            founding.minUpdates,
            founding.updateSize,
            bounds.largestShare != 0
        )
        Committee(founding.committeeSize, founding.validationWindow)
        Rewards(founding.rewardBudget)
    {
        // A verdict is for one commitment, and under one root the contract holds none.
        if (founding.committeeSize != 0 && founding.recording != Recording.Each) revert CommitteeNeedsEach();
        layoutDigest = founding.layoutDigest;
        configDigest = founding.configDigest;
        genesisDigest = founding.genesisDigest;
        coordinatorKeyDigest = sha256(founding.coordinatorKey);
        auditorKeyDigest = founding.auditorKey.length == 0 ? bytes32(0) : sha256(founding.auditorKey);
        court = new DisputeCourt(
            founding.disputeWindow, founding.minimumBond, founding.openUpdates, founding.updateSize
        );
        _rules = new RoundRules(bounds, court, founding.minimumBond != 0);
        emit FederationCreated(founding.federation, address(court), founding);
        emit BoundsFixed(bounds);
    }

    /// @notice Images that a seat was registered with.
    function registeredSamples(uint256 seat) external view returns (uint64) {
        return _members[seat].samples;
    }

    /// @notice Whether a round is open, closed or validated.
    function inProgress() external view returns (bool) {
        return _inProgress(_latest().phase);
    }

    /// @notice EIP-712 struct hash of a submission: what the contract keeps of it.
    function structHash(Submission calldata submission) external pure returns (bytes32) {
        return _hash(submission);
    }

    /// @notice Who signed a submission; zero for a malformed signature.
    function signerOf(Submission calldata submission, bytes calldata signature) external view returns (address) {
        return _recover(_hash(submission), signature);
    }

    function _requireOpening(uint64 number, uint256 participants, uint48 deadline)
        internal
        view
        override
        returns (uint64)
    {
        return _rules.requireOpening(number, participants, deadline);
    }

    function _requireShares(uint256 included) internal view override {
        _rules.requireShares(included);
    }
}
