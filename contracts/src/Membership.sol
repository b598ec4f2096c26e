// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Admission, Member, Phase} from "./FederationTypes.sol";
import {SEAT_WORDS, Seats} from "./Seats.sol";
import {SignedMessages} from "./SignedMessages.sol";

/// @title Who belongs to the federation, as what, and under which key.
/// @notice A member has a seat for ever and an account for the time of a key. A key that was rotated or
///         suspended is worthless from that block on; what it signed before stands. Here is what rounds ask of
///         members; `Registry` has how they come and go.
/// @dev The ledger's code and the registry's share this storage, and so every slot of it is declared here, in
///      one order, before any of theirs.
abstract contract Membership is SignedMessages {

    // ------------------------------------------------------------------------------------------- TYPES

    /// One slot, so that a call by the coordinator reads and writes one.
    struct Head {
        address coordinator;
        uint48 lastFinalized;
        uint24 attempt; // of the latest round; what was signed for an earlier one is worthless
        uint8 words; // of the latest round's sets of seats; zero before the first
        Phase phase; // of the latest round
        bool settled; // whether the credits of the latest finalized round are given
    }

    /// What an account's key may do: one slot, so that a submission is held against a single one.
    struct Place {
        uint16 number; // seat + 1; zero: never a member
        bool active; // neither rotated, nor suspended, nor left
        uint64 samples;
    }

    /// What members can vote on besides a registration.
    enum Change {
        Suspend,
        Reinstate
    }

    // ------------------------------------------------------------------------------------------ EVENTS

    event MemberJoined(
        address indexed member, uint256 seat, uint8 roles, uint64 samples, bytes envelopeKey, bytes signature
    );
    event KeyRotated(
        address indexed member, address indexed successor, uint256 seat, bytes envelopeKey, bytes signature
    );
    event MemberSuspended(address indexed member, uint256 seat);
    event MemberReinstated(address indexed member, uint256 seat);
    event MemberLeft(address indexed member, uint256 seat, bytes signature);
    event ActionApproved(bytes32 indexed action, address indexed member, bytes signature);
    event CoordinatorChanged(address indexed coordinator, address indexed successor);

    // ------------------------------------------------------------------------------------------ ERRORS

    error NotCoordinator(address sender);
    error RolesFollowMembership();
    error BadRoles(uint8 roles);
    error NoSamples(address hospital);
    error WrongKey(bytes32 signedDigest, bytes32 keyDigest);
    error AlreadyRegistered(address member);
    error NotRegistered(address member);
    error NotActive(address member);
    error NotSuspended(address member);
    error NoSeatLeft(address member);
    error NotApproved(bytes32 action, uint256 approvals, uint256 voters);
    error RoundInProgress(uint64 round);

    // ----------------------------------------------------------------------------------------- STORAGE

    uint8 internal constant HOSPITAL = 1;
    uint8 internal constant VALIDATOR = 2;
    uint8 internal constant AUDITOR = 4;

    bytes32 internal _id; // the federation's
    Admission internal _admission;
    Head internal _head;
    uint256[SEAT_WORDS] internal _hospitals; // seats of active hospitals
    uint256[SEAT_WORDS] internal _validators; // seats of active validators
    mapping(uint256 seat => Member) internal _members;
    uint256 internal _memberCount;
    mapping(uint256 seat => bytes32) internal _envelopeKeyDigests;
    mapping(uint256 seat => uint256) internal _changes; // of standing, so that no vote is counted twice
    mapping(address account => Place) internal _places;
    mapping(bytes32 action => uint256[SEAT_WORDS]) internal _approvals;
    mapping(uint64 round => bytes32) internal _results; // hashes; see Rounds

    modifier onlyCoordinator() {
        if (msg.sender != _head.coordinator) revert NotCoordinator(msg.sender);
        _;
    }

    // ---------------------------------------------------------------------------------------- INTERNAL

    /// The latest round's head. A round is finalized by its result alone, which spares a write.
    function _latest() internal view returns (Head memory head) {
        head = _head;
        if (head.phase == Phase.Validated && _results[head.lastFinalized + 1] != 0) {
            head.phase = Phase.Finalized;
            ++head.lastFinalized;
        }
    }

    /// The seat that an account has or had.
    function _seatOf(address account) internal view returns (uint256) {
        uint256 number = _places[account].number;
        if (number == 0) revert NotRegistered(account);
        return number - 1;
    }

    /// The seat that an account has or had (zero for a stranger), whether its key may act, and on how many
    /// samples.
    function _lookUp(address account) internal view returns (uint256 seat, bool active, uint64 samples) {
        Place memory place = _places[account];
        return (place.number == 0 ? 0 : place.number - 1, place.active, place.samples);
    }

    function _inProgress(Phase phase) internal pure returns (bool) {
        return phase == Phase.Open || phase == Phase.Closed || phase == Phase.Validated;
    }

    /// Words of a set of all seats that are given by now.
    function _words() internal view returns (uint256) {
        return (_memberCount + 255) / 256;
    }
}
