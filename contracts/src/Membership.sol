// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {
    Admission,
    Approval,
    Departure,
    Member,
    Phase,
    Registration,
    Rotation,
    Standing
} from "./FederationTypes.sol";
import {Seats} from "./Seats.sol";
import {SignedMessages} from "./SignedMessages.sol";

/// @title Who belongs to the federation, as what, and under which key.
/// @notice A member has a seat for ever and an account for the time of a key. A key that was rotated or
///         suspended is worthless from that block on; what it signed before stands. Roles are read through
///         OpenZeppelin's IAccessControl; they follow membership and cannot be granted apart from it.
abstract contract Membership is SignedMessages, IAccessControl {
    using Seats for uint256;

    // ------------------------------------------------------------------------------------------- TYPES

    /// One slot, so that a call by the coordinator reads and writes one.
    struct Head {
        address coordinator;
        uint48 lastFinalized;
        uint32 attempt; // of the latest round; what was signed for an earlier one is worthless
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
    bytes32 public constant COORDINATOR_ROLE = keccak256("COORDINATOR");
    bytes32 public constant HOSPITAL_ROLE = keccak256("HOSPITAL");
    bytes32 public constant VALIDATOR_ROLE = keccak256("VALIDATOR");
    bytes32 public constant AUDITOR_ROLE = keccak256("AUDITOR");

    uint256 private constant MAX_SEATS = 256;

    /// @notice Who lets members in and suspends them once the first round is open.
    Admission public immutable admission;

    Head internal _head;
    uint256 internal _hospitals; // seats of active hospitals
    uint256 internal _validators; // seats of active validators
    mapping(uint256 seat => Member) internal _members;
    uint256 private _memberCount;
    mapping(uint256 seat => bytes32) private _envelopeKeyDigests;
    mapping(uint256 seat => uint256) private _changes; // of standing, so that no vote is counted twice
    mapping(address account => Place) internal _places;
    mapping(bytes32 action => uint256) private _approvals;

    modifier onlyCoordinator() {
        if (msg.sender != _head.coordinator) revert NotCoordinator(msg.sender);
        _;
    }

    constructor(Admission admission_) {
        admission = admission_;
        _head.coordinator = msg.sender;
        emit RoleGranted(COORDINATOR_ROLE, msg.sender, msg.sender);
    }

    // ------------------------------------------------------------------------------------------- LOGIC

    /// @notice Admit a member that asks for it under its own signature: by the coordinator, or, where members
    ///         vote and the first round has been opened, by anyone once more than half of the hospitals approve.
    /// @param registration What the member signed.
    /// @param envelopeKey Its HPKE public key, whose SHA-256 it signed.
    /// @param signature 65 bytes, by the member.
    function register(Registration calldata registration, bytes calldata envelopeKey, bytes calldata signature)
        external
    {
        address member = registration.member;
        uint8 roles = registration.roles;
        _requireFederation(registration.federation);
        if (roles == 0 || roles > (HOSPITAL | VALIDATOR | AUDITOR)) revert BadRoles(roles);
        if (roles & HOSPITAL == 0) {
            if (registration.samples != 0) revert BadRoles(roles);
        } else if (registration.samples == 0) {
            revert NoSamples(member);
        }
        bytes32 structHash = _hash(registration);
        _requireSigned(member, structHash, signature);
        _authorise(structHash);
        uint256 seat = _memberCount++;
        if (seat == MAX_SEATS) revert NoSeatLeft(member);
        _members[seat] = Member(member, registration.samples, roles, Standing.Active);
        _seat(seat, member, registration.samples, registration.envelopeKeyDigest, envelopeKey);
        _enter(seat, roles);
        _tellRoles(roles, member, true);
        emit MemberJoined(member, seat, roles, registration.samples, envelopeKey, signature);
    }

    /// @notice Give a member's seat a new key, by the old key's signature and the new one's.
    /// @param rotation What both signed.
    /// @param envelopeKey The new HPKE public key, whose SHA-256 they signed.
    /// @param signature By the old key.
    /// @param successorSignature By the new key.
    function rotateKey(
        Rotation calldata rotation,
        bytes calldata envelopeKey,
        bytes calldata signature,
        bytes calldata successorSignature
    ) external {
        _requireFederation(rotation.federation);
        uint256 seat = _activeSeat(rotation.member);
        bytes32 structHash = _hash(rotation);
        _requireSigned(rotation.member, structHash, signature);
        _requireSigned(rotation.successor, structHash, successorSignature);
        uint8 roles = _members[seat].roles;
        uint64 samples = _members[seat].samples;
        _places[rotation.member].active = false;
        _members[seat].account = rotation.successor;
        _seat(seat, rotation.successor, samples, rotation.envelopeKeyDigest, envelopeKey);
        _tellRoles(roles, rotation.member, false);
        _tellRoles(roles, rotation.successor, true);
        emit KeyRotated(rotation.member, rotation.successor, seat, envelopeKey, signature);
    }

    /// @notice Leave the federation, under the member's signature. The seat stays empty.
    /// @param departure What the member signed.
    /// @param signature 65 bytes, by the member.
    function leave(Departure calldata departure, bytes calldata signature) external {
        _requireFederation(departure.federation);
        uint256 seat = _activeSeat(departure.member);
        _requireSigned(departure.member, _hash(departure), signature);
        _exit(seat, departure.member, Standing.Left);
        emit MemberLeft(departure.member, seat, signature);
    }

    /// @notice Put a member's vote for an action on record.
    /// @param approval What the member, an active hospital, signed; see `actionOf`.
    /// @param signature 65 bytes, by the member.
    function approve(Approval calldata approval, bytes calldata signature) external {
        _requireFederation(approval.federation);
        uint256 seat = _activeSeat(approval.member);
        if (!_hospitals.has(seat)) revert NotRegistered(approval.member);
        _requireSigned(approval.member, _hash(approval), signature);
        _approvals[approval.action] = _approvals[approval.action].with(seat);
        emit ActionApproved(approval.action, approval.member, signature);
    }

    /// @notice Suspend a member: by the coordinator, or, where members vote, by more than half of the hospitals.
    /// @param member Its key is worthless from this block on.
    function suspend(address member) external {
        uint256 seat = _activeSeat(member);
        _authorise(actionOf(Change.Suspend, member));
        ++_changes[seat];
        _exit(seat, member, Standing.Suspended);
        emit MemberSuspended(member, seat);
    }

    /// @notice Take a suspension back, by whom it can be ordered.
    /// @param member Suspended.
    function reinstate(address member) external {
        uint256 seat = _seatOf(member);
        Member memory held = _members[seat];
        if (held.standing != Standing.Suspended || held.account != member) revert NotSuspended(member);
        _authorise(actionOf(Change.Reinstate, member));
        _members[seat].standing = Standing.Active;
        _places[member].active = true;
        ++_changes[seat];
        _enter(seat, held.roles);
        _tellRoles(held.roles, member, true);
        emit MemberReinstated(member, seat);
    }

    /// @notice Give the coordinator's role to another account, between rounds.
    /// @param successor The new coordinator.
    function handOver(address successor) external onlyCoordinator {
        Head memory head = _latest();
        if (_inProgress(head.phase)) revert RoundInProgress(head.lastFinalized + 1);
        if (successor == address(0)) revert NotRegistered(successor);
        _head.coordinator = successor;
        emit RoleRevoked(COORDINATOR_ROLE, msg.sender, msg.sender);
        emit RoleGranted(COORDINATOR_ROLE, successor, msg.sender);
        emit CoordinatorChanged(msg.sender, successor);
    }

    // ------------------------------------------------------------------------------------------- VIEWS

    /// @notice What members approve to change another's standing. A registration's action is its struct hash.
    function actionOf(Change change, address member) public view returns (bytes32) {
        uint256 seat = _seatOf(member);
        return keccak256(abi.encode(federation, change, seat, _changes[seat]));
    }

    /// @notice Seats of the hospitals that approve an action and could vote now, and of all that could.
    function approvalsOf(bytes32 action) public view returns (uint256 approvals, uint256 voters) {
        return (_approvals[action] & _hospitals, _hospitals);
    }

    /// @notice Every member in the order of its seat, with the digests of their envelope keys.
    function members() external view returns (Member[] memory list, bytes32[] memory envelopeKeyDigests) {
        uint256 count = _memberCount;
        list = new Member[](count);
        envelopeKeyDigests = new bytes32[](count);
        for (uint256 seat = 0; seat < count; ++seat) {
            list[seat] = _members[seat];
            envelopeKeyDigests[seat] = _envelopeKeyDigests[seat];
        }
    }

    /// @notice The seat that an account has or had; `current` is false for a key that was rotated.
    function seatOf(address account) external view returns (uint256 seat, bool current) {
        seat = _seatOf(account);
        current = _members[seat].account == account;
    }

    /// @inheritdoc IAccessControl
    function hasRole(bytes32 role, address account) external view returns (bool) {
        if (role == COORDINATOR_ROLE) return account == _head.coordinator;
        Place memory place = _places[account];
        if (!place.active) return false;
        uint8 asked = role == HOSPITAL_ROLE
            ? HOSPITAL
            : role == VALIDATOR_ROLE ? VALIDATOR : role == AUDITOR_ROLE ? AUDITOR : 0;
        return _members[place.number - 1].roles & asked != 0;
    }

    /// @inheritdoc IAccessControl
    function getRoleAdmin(bytes32) external pure returns (bytes32) {
        return COORDINATOR_ROLE;
    }

    /// @inheritdoc IAccessControl
    function grantRole(bytes32, address) external pure {
        revert RolesFollowMembership();
    }

    /// @inheritdoc IAccessControl
    function revokeRole(bytes32, address) external pure {
        revert RolesFollowMembership();
    }

    /// @inheritdoc IAccessControl
    function renounceRole(bytes32, address) external pure {
        revert RolesFollowMembership();
    }

    // ---------------------------------------------------------------------------------------- INTERNAL

    /// The latest round's head. A round is finalized by its result alone, which spares a write.
    function _latest() internal view returns (Head memory head) {
        head = _head;
        if (head.phase == Phase.Validated && _hasResult(head.lastFinalized + 1)) {
            head.phase = Phase.Finalized;
            ++head.lastFinalized;
        }
    }

    /// Whether a round has a result.
    function _hasResult(uint64 round) internal view virtual returns (bool);

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

    // ----------------------------------------------------------------------------------------- PRIVATE

    function _activeSeat(address account) private view returns (uint256) {
        (uint256 seat, bool active,) = _lookUp(account);
        if (!active) revert NotActive(account);
        return seat;
    }

    /// Before the first round the coordinator gathers the founding members, whoever admits later ones.
    function _authorise(bytes32 action) private view {
        bool founding = _head.lastFinalized == 0 && _head.phase == Phase.None;
        if (founding || admission == Admission.Coordinator) {
            if (msg.sender != _head.coordinator) revert NotCoordinator(msg.sender);
            return;
        }
        (uint256 approvals, uint256 voters) = approvalsOf(action);
        if (2 * approvals.count() <= voters.count()) {
            revert NotApproved(action, approvals.count(), voters.count());
        }
    }

    /// An account has one seat for ever: no registration can be said twice, and no key be taken up again.
    function _seat(
        uint256 seat,
        address account,
        uint64 samples,
        bytes32 signedDigest,
        bytes calldata envelopeKey
    ) private {
        if (_places[account].number != 0) revert AlreadyRegistered(account);
        bytes32 keyDigest = sha256(envelopeKey);
        if (keyDigest != signedDigest) revert WrongKey(signedDigest, keyDigest);
        _places[account] = Place(uint16(seat + 1), true, samples);
        _envelopeKeyDigests[seat] = keyDigest;
    }

    function _enter(uint256 seat, uint8 roles) private {
        if (roles & HOSPITAL != 0) _hospitals = _hospitals.with(seat);
        if (roles & VALIDATOR != 0) _validators = _validators.with(seat);
    }

    function _exit(uint256 seat, address account, Standing standing) private {
        _members[seat].standing = standing;
        _places[account].active = false;
        _hospitals = _hospitals.without(seat);
        _validators = _validators.without(seat);
        _tellRoles(_members[seat].roles, account, false);
    }

    function _tellRoles(uint8 roles, address account, bool granted) private {
        if (roles & HOSPITAL != 0) _tellRole(HOSPITAL_ROLE, account, granted);
        if (roles & VALIDATOR != 0) _tellRole(VALIDATOR_ROLE, account, granted);
        if (roles & AUDITOR != 0) _tellRole(AUDITOR_ROLE, account, granted);
    }

    function _tellRole(bytes32 role, address account, bool granted) private {
        if (granted) emit RoleGranted(role, account, msg.sender);
        else emit RoleRevoked(role, account, msg.sender);
    }
}
