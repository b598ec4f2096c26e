// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
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
import {Membership} from "./Membership.sol";
import {SEAT_WORDS, Seats} from "./Seats.sol";

/// @title How members come, change and go: code that a ledger runs in its own storage.
/// @notice The ledger hands over every call that it does not know itself (DELEGATECALL), so that all of this is
///         called, and speaks, at the ledger's address. It stands apart because the ledger's code is as large as
///         code may be (EIP-170), and it is no part of what creates a ledger (EIP-3860). It has no storage and no
///         immutables: the hash of its code says what it does, and one serves any number of ledgers. Roles are read
///         through OpenZeppelin's IAccessControl; they follow membership and cannot be granted apart from it.
/// @dev At its own address it has no coordinator, and so admits nobody.
contract Registry is Membership, IAccessControl {
    using Seats for uint256[];
    using Seats for uint256[SEAT_WORDS];

    bytes32 public constant COORDINATOR_ROLE = keccak256("COORDINATOR");
    bytes32 public constant HOSPITAL_ROLE = keccak256("HOSPITAL");
    bytes32 public constant VALIDATOR_ROLE = keccak256("VALIDATOR");
    bytes32 public constant AUDITOR_ROLE = keccak256("AUDITOR");

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

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
        if (seat == Seats.MOST) revert NoSeatLeft(member);
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
        if (!_hospitals.holds(seat)) revert NotRegistered(approval.member);
        _requireSigned(approval.member, _hash(approval), signature);
        _approvals[approval.action].put(seat);
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
        return keccak256(abi.encode(_id, change, seat, _changes[seat]));
    }

    /// @notice Seats of the hospitals that approve an action and could vote now, and of all that could: of the
    ///         first 256 seats.
    function approvalsOf(bytes32 action) external view returns (uint256 approvals, uint256 voters) {
        return approvalsOfWord(action, 0);
    }

    /// @notice As `approvalsOf`, of the seats from 256 * word on.
    function approvalsOfWord(bytes32 action, uint256 word)
        public
        view
        returns (uint256 approvals, uint256 voters)
    {
        return (_approvals[action][word] & _hospitals[word], _hospitals[word]);
    }

    /// @notice Every member in the order of its seat, with the digests of their envelope keys.
    function members() external view returns (Member[] memory list, bytes32[] memory envelopeKeyDigests) {
        return _listed(0, _memberCount);
    }

    /// @notice As `members`, of the seats from 256 * word on, 256 at most: all of them are too many for a call.
    function membersOfWord(uint256 word)
        external
        view
        returns (Member[] memory list, bytes32[] memory envelopeKeyDigests)
    {
        uint256 first = 256 * word;
        uint256 count = _memberCount;
        if (first >= count) return (list, envelopeKeyDigests);
        return _listed(first, count - first < 256 ? count - first : 256);
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

    function _federation() internal view override returns (bytes32) {
        return _id;
    }

    /// As OpenZeppelin's EIP712 has it at the ledger; this code has no immutables to remember the domain in.
    function _digest(bytes32 structHash) internal view override returns (bytes32) {
        bytes32 name = keccak256(bytes(NAME));
        bytes32 version = keccak256(bytes(VERSION));
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, name, version, block.chainid, address(this)));
        return MessageHashUtils.toTypedDataHash(domain, structHash);
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
        if (founding || _admission == Admission.Coordinator) {
            if (msg.sender != _head.coordinator) revert NotCoordinator(msg.sender);
            return;
        }
        uint256 approvals;
        uint256 voters;
        for (uint256 word = 0; word < _words(); ++word) {
            (uint256 approving, uint256 voting) = approvalsOfWord(action, word);
            approvals += Seats.count(approving);
            voters += Seats.count(voting);
        }
        if (2 * approvals <= voters) revert NotApproved(action, approvals, voters);
    }

    function _listed(uint256 first, uint256 count)
        private
        view
        returns (Member[] memory list, bytes32[] memory envelopeKeyDigests)
    {
        list = new Member[](count);
        envelopeKeyDigests = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = _members[first + i];
            envelopeKeyDigests[i] = _envelopeKeyDigests[first + i];
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
        if (roles & HOSPITAL != 0) _hospitals.put(seat);
        if (roles & VALIDATOR != 0) _validators.put(seat);
    }

    function _exit(uint256 seat, address account, Standing standing) private {
        _members[seat].standing = standing;
        _places[account].active = false;
        _hospitals.drop(seat);
        _validators.drop(seat);
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
