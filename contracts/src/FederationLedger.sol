// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Committee} from "./Committee.sol";
import {DisputeCourt} from "./DisputeCourt.sol";
import {Admission, Bounds, Founding, Recording, Submission} from "./FederationTypes.sol";
import {Registry} from "./Registry.sol";
import {Rewards} from "./Rewards.sol";
import {RoundRules} from "./RoundRules.sol";
import {Rounds} from "./Rounds.sol";

/// @title The record of one federation: who takes part, what each round starts from, what was accepted with
///        which weight, who judged it, what came out, and who is owed what.
/// @notice Read from below: SignedMessages, Membership, Rounds, Committee, Rewards; and beside it Registry, which
///         has the calls about members, DisputeCourt and RoundRules.
contract FederationLedger is Rewards, EIP712 {
    event FederationCreated(bytes32 indexed federation, address court, Founding founding);
    event BoundsFixed(Bounds bounds);

    error CommitteeNeedsEach();
    error WrongRegistry(bytes32 expected, bytes32 given);

    /// @notice The federation's id, which every signed message repeats.
    bytes32 public immutable federation;
    /// @notice Who lets members in and suspends them once the first round is open.
    Admission public immutable admission;
    bytes32 public immutable layoutDigest;
    bytes32 public immutable configDigest;
    bytes32 public immutable genesisDigest;
    bytes32 public immutable coordinatorKeyDigest;
    bytes32 public immutable auditorKeyDigest; // zero: no auditor
    /// @notice Holds the coordinator's bond, and judges challenges.
    DisputeCourt public immutable court;
    RoundRules private immutable _rules;
    Registry private immutable _registry;

    /// @notice Found a federation; the sender is its coordinator.
    /// @param registryCode Hash of the registry's code. It comes first, right behind the code of this contract: so
    ///        who sees the transaction knows by how it begins which code the federation runs.
    /// @param registry A contract with that code.
    /// @param founding What it is founded with.
    /// @param bounds What binds its rounds.
    constructor(bytes32 registryCode, Registry registry, Founding memory founding, Bounds memory bounds)
        EIP712(NAME, VERSION)
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
        bytes32 given = address(registry).codehash;
        if (given != registryCode) revert WrongRegistry(registryCode, given);
        _registry = registry;
        federation = founding.federation;
        admission = founding.admission;
        _id = founding.federation;
        _admission = founding.admission;
        layoutDigest = founding.layoutDigest;
        configDigest = founding.configDigest;
        genesisDigest = founding.genesisDigest;
        coordinatorKeyDigest = sha256(founding.coordinatorKey);
        auditorKeyDigest = founding.auditorKey.length == 0 ? bytes32(0) : sha256(founding.auditorKey);
        court = new DisputeCourt(
            founding.disputeWindow, founding.minimumBond, founding.openUpdates, founding.updateSize
        );
        _rules = new RoundRules(bounds, court, founding.minimumBond != 0);
        emit IAccessControl.RoleGranted(keccak256("COORDINATOR"), msg.sender, msg.sender);
        emit FederationCreated(founding.federation, address(court), founding);
        emit BoundsFixed(bounds);
    }

    /// @notice Whatever is not here is the registry's, run in this contract's storage and name.
    fallback(bytes calldata message) external returns (bytes memory answer) {
        bool done;
        // slither-disable-next-line controlled-delegatecall (any call may name any function of the registry's)
        (done, answer) = address(_registry).delegatecall(message);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
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

    /// @inheritdoc EIP712
    /// @dev As OpenZeppelin's says it, without its way to names of more than 31 bytes, which costs 300 bytes of code.
    function eip712Domain()
        public
        view
        override
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", NAME, VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    function _federation() internal view override returns (bytes32) {
        return federation;
    }

    function _digest(bytes32 hash) internal view override returns (bytes32) {
        return _hashTypedDataV4(hash);
    }

    function _requireOpening(uint64 number, uint256[] memory samples, uint48 deadline)
        internal
        view
        override
        returns (uint64)
    {
        return _rules.requireOpening(number, samples, deadline);
    }

    function _requireShares(uint256[] memory seats, uint256[] memory weights) internal view override {
        _rules.requireShares(seats, weights);
    }
}
