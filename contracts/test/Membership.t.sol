// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FederationLedger} from "../src/FederationLedger.sol";
import {
    Admission,
    Approval,
    Departure,
    Founding,
    Member,
    Registration,
    Rotation,
    Standing,
    Submission
} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {SignedMessages} from "../src/SignedMessages.sol";
import {Party} from "./Party.sol";
import {vm} from "./Vm.sol";

contract MembershipTest is Party {
    bytes32 private constant COORDINATOR_ROLE = keccak256("COORDINATOR");
    bytes32 private constant HOSPITAL_ROLE = keccak256("HOSPITAL");
    bytes32 private constant VALIDATOR_ROLE = keccak256("VALIDATOR");
    bytes32 private constant AUDITOR_ROLE = keccak256("AUDITOR");

    function setUp() public {
        foundWith(3);
    }

    // ------------------------------------------------------------------------------------- REGISTERING

    function test_a_registration_gives_a_seat_and_its_roles() public {
        vm.expectEmit(address(ledger));
        emit Membership.MemberJoined(
            account(9), 3, 7, 50, KEY, signed(9, hashOf(registration(9, 7, 50)))
        );
        register(9, 7, 50);
        (Member[] memory list, bytes32[] memory keys) = registry.members();
        equal(list.length, 4);
        equal(list[3].account, account(9));
        equal(list[3].samples, 50);
        equal(list[3].roles, 7);
        equal(uint256(list[3].standing), uint256(Standing.Active));
        equal(keys[3], sha256(KEY));
        (uint256 seat, bool current) = registry.seatOf(account(9));
        equal(seat, 3);
        holds(current);
        holds(registry.hasRole(HOSPITAL_ROLE, account(9)) && registry.hasRole(VALIDATOR_ROLE, account(9)));
        holds(registry.hasRole(AUDITOR_ROLE, account(9)) && !registry.hasRole(COORDINATOR_ROLE, account(9)));
        holds(!registry.hasRole("another", account(9)) && !registry.hasRole(HOSPITAL_ROLE, STRANGER));
        equal(ledger.registeredSamples(3), 50);
    }

    function test_a_registration_is_relayed_by_the_coordinator_alone() public {
        Registration memory m = registration(9, HOSPITAL, 50);
        bytes memory signature = signed(9, hashOf(m));
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        registry.register(m, KEY, signature);
    }

    function test_a_registration_is_signed_by_its_member() public {
        Registration memory m = registration(9, HOSPITAL, 50);
        bytes memory signature = signed(8, hashOf(m));
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(9), account(8)));
        registry.register(m, KEY, signature);
        m.member = address(0);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, address(0), address(0)));
        registry.register(m, KEY, "");
    }

    function test_a_changed_registration_is_no_longer_signed(uint8 roles, uint64 samples) public {
        roles = roles % 7 + 1;
        samples = roles & HOSPITAL == 0 ? 0 : samples == 0 ? 1 : samples;
        vm.assume(roles != HOSPITAL || samples != 50);
        bytes memory signature = signed(9, hashOf(registration(9, HOSPITAL, 50)));
        Registration memory m = registration(9, roles, samples);
        vm.expectRevert();
        registry.register(m, KEY, signature);
    }

    function test_a_registration_of_another_federation_is_refused() public {
        Registration memory m = registration(9, HOSPITAL, 50);
        m.federation = "another";
        bytes memory signature = signed(9, hashOf(m));
        reverts(abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        registry.register(m, KEY, signature);
    }

    function test_roles_are_a_set_that_goes_with_the_samples() public {
        refuses(registration(9, 0, 0), abi.encodeWithSelector(Membership.BadRoles.selector, 0));
        refuses(registration(9, 8, 0), abi.encodeWithSelector(Membership.BadRoles.selector, 8));
        refuses(registration(9, VALIDATOR, 1), abi.encodeWithSelector(Membership.BadRoles.selector, VALIDATOR));
        refuses(registration(9, HOSPITAL, 0), abi.encodeWithSelector(Membership.NoSamples.selector, account(9)));
    }

    function test_the_zero_address_is_no_member() public {
        Registration memory m = registration(9, HOSPITAL, 50);
        m.member = address(0);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, address(0), address(0)));
        registry.register(m, KEY, hex"00"); // a malformed signature is nobody's
    }

    function test_the_key_is_the_one_that_was_signed() public {
        Registration memory m = registration(9, HOSPITAL, 50);
        m.envelopeKeyDigest = sha256("another key");
        refuses(m, abi.encodeWithSelector(Membership.WrongKey.selector, m.envelopeKeyDigest, sha256(KEY)));
    }

    function test_an_account_registers_once_whatever_became_of_it() public {
        bytes memory taken = abi.encodeWithSelector(Membership.AlreadyRegistered.selector, account(0));
        refuses(registration(0, HOSPITAL, 60), taken);
        rotate(0, 9);
        refuses(registration(0, HOSPITAL, 60), taken);
        leave(9);
        refuses(registration(9, HOSPITAL, 60), abi.encodeWithSelector(Membership.AlreadyRegistered.selector, account(9)));
    }

    function test_the_last_seat_is_4095() public {
        for (uint256 i = 3; i < 4096; ++i) {
            register(i, HOSPITAL, 100);
        }
        (uint256 seat,) = registry.seatOf(account(4095));
        equal(seat, 4095);
        refuses(
            registration(4096, HOSPITAL, 1), abi.encodeWithSelector(Membership.NoSeatLeft.selector, account(4096))
        );
        uint256[] memory all = new uint256[](16);
        for (uint256 w = 0; w < 16; ++w) {
            all[w] = type(uint256).max;
        }
        ledger.openWideRound(1, GENESIS, "round", all, uint48(block.timestamp) + HOUR);
        submit(1, 4095);
        (, uint256[] memory standing_) = ledger.latestSets();
        equal(standing_[15], 1 << 255);
        ledger.closeRound(1);
        finalize(1);
        rotate(4095, 5000);
        (seat,) = registry.seatOf(account(5000));
        equal(seat, 4095);
        leave(5000);
        settleAll();
        reverts(abi.encodeWithSelector(bytes4(keccak256("UnknownSeats(uint256)")), 1 << 255));
        ledger.openWideRound(2, model(1), "round", all, uint48(block.timestamp) + 1);
    }

    // ---------------------------------------------------------------------------------------- ROTATING

    function test_a_rotation_gives_the_seat_to_the_new_key() public {
        vm.expectEmit(address(ledger));
        emit Membership.KeyRotated(account(0), account(9), 0, KEY, rotationSignature(0, 9));
        rotate(0, 9);
        (uint256 seat, bool current) = registry.seatOf(account(9));
        holds(seat == 0 && current);
        (seat, current) = registry.seatOf(account(0));
        holds(seat == 0 && !current);
        holds(registry.hasRole(HOSPITAL_ROLE, account(9)) && !registry.hasRole(HOSPITAL_ROLE, account(0)));
        open(1, 1);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.submitFor(1, 0);
        submit(1, 9);
        equal(standing(), 1);
    }

    function test_a_rotation_is_signed_by_both_keys() public {
        Rotation memory m = Rotation(FEDERATION, account(0), account(9), sha256(KEY));
        bytes memory old = signed(0, hashOf(m));
        bytes memory successor = signed(9, hashOf(m));
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(9)));
        registry.rotateKey(m, KEY, successor, successor);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(9), account(0)));
        registry.rotateKey(m, KEY, old, old);
        reverts(abi.encodeWithSelector(Membership.WrongKey.selector, sha256(KEY), sha256("another")));
        registry.rotateKey(m, "another", old, successor);
        m.federation = "another";
        reverts(abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        registry.rotateKey(m, KEY, old, successor);
    }

    function test_a_key_is_not_taken_up_again() public {
        reverts(abi.encodeWithSelector(Membership.AlreadyRegistered.selector, account(0)));
        this.rotateTo(0, 0);
        reverts(abi.encodeWithSelector(Membership.AlreadyRegistered.selector, account(1)));
        this.rotateTo(0, 1);
        rotate(0, 9);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.rotateTo(0, 10);
        reverts(abi.encodeWithSelector(Membership.AlreadyRegistered.selector, account(0)));
        this.rotateTo(9, 0);
    }

    // ----------------------------------------------------------------------------- LEAVING, SUSPENDING

    function test_who_left_does_nothing_more() public {
        vm.expectEmit(address(ledger));
        emit Membership.MemberLeft(account(0), 0, signed(0, hashOf(Departure(FEDERATION, account(0)))));
        leave(0);
        holds(!registry.hasRole(HOSPITAL_ROLE, account(0)));
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.leaveAs(0);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        registry.suspend(account(0));
        reverts(abi.encodeWithSelector(Membership.NotSuspended.selector, account(0)));
        registry.reinstate(account(0));
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.rotateTo(0, 9);
    }

    function test_leaving_is_signed() public {
        Departure memory m = Departure(FEDERATION, account(0));
        bytes memory signature = signed(1, hashOf(m));
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(1)));
        registry.leave(m, signature);
        m.federation = "another";
        reverts(abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        registry.leave(m, signature);
    }

    function test_a_suspended_key_is_worthless_until_it_is_reinstated() public {
        open(1, 7);
        vm.expectEmit(address(ledger));
        emit Membership.MemberSuspended(account(0), 0);
        registry.suspend(account(0));
        holds(!registry.hasRole(HOSPITAL_ROLE, account(0)));
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.submitFor(1, 0);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        this.rotateTo(0, 9);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        registry.suspend(account(0));
        vm.expectEmit(address(ledger));
        emit Membership.MemberReinstated(account(0), 0);
        registry.reinstate(account(0));
        submit(1, 0);
        equal(standing(), 1);
        reverts(abi.encodeWithSelector(Membership.NotSuspended.selector, account(0)));
        registry.reinstate(account(0));
    }

    function test_a_rotated_key_is_not_reinstated_in_its_successors_place() public {
        rotate(0, 9);
        registry.suspend(account(9));
        reverts(abi.encodeWithSelector(Membership.NotSuspended.selector, account(0)));
        registry.reinstate(account(0));
        registry.reinstate(account(9));
        holds(registry.hasRole(HOSPITAL_ROLE, account(9)) && !registry.hasRole(HOSPITAL_ROLE, account(0)));
    }

    function test_the_coordinator_alone_suspends_and_reinstates() public {
        bytes memory error = abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER);
        reverts(error);
        vm.prank(STRANGER);
        registry.suspend(account(0));
        registry.suspend(account(0));
        reverts(error);
        vm.prank(STRANGER);
        registry.reinstate(account(0));
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, STRANGER));
        registry.suspend(STRANGER);
        reverts(abi.encodeWithSelector(Membership.NotRegistered.selector, STRANGER));
        registry.reinstate(STRANGER);
        reverts(abi.encodeWithSelector(Membership.NotRegistered.selector, STRANGER));
        registry.seatOf(STRANGER);
    }

    // ------------------------------------------------------------------------------------------ VOTING

    function voting() private {
        Founding memory f = founding();
        f.admission = Admission.Vote;
        foundWith(f, 4);
        register(4, VALIDATOR, 0);
    }

    /// Three of the four hospitals vote for an action.
    function threeApprove(bytes32 action) private {
        for (uint256 i = 0; i < 3; ++i) {
            approve(i, action);
        }
    }

    function test_before_the_first_round_the_coordinator_gathers_the_members_of_a_voting_federation() public {
        voting();
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        registry.suspend(account(0));
        registry.suspend(account(0));
    }

    function test_members_vote_by_more_than_half_of_the_hospitals() public {
        voting();
        open(1, 15);
        bytes32 action = registry.actionOf(Membership.Change.Suspend, account(3));
        approve(0, action);
        approve(1, action);
        approve(1, action); // counts once
        (uint256 approvals, uint256 voters) = registry.approvalsOf(action);
        holds(approvals == 3 && voters == 15);
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 2, 4));
        registry.suspend(account(3));
        vm.expectEmit(address(ledger));
        emit Membership.ActionApproved(action, account(2), signed(2, hashOf(Approval(FEDERATION, action, account(2)))));
        approve(2, action);
        vm.prank(STRANGER);
        registry.suspend(account(3));
        holds(!registry.hasRole(HOSPITAL_ROLE, account(3)));

        action = registry.actionOf(Membership.Change.Reinstate, account(3));
        approve(0, action);
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 1, 3));
        registry.reinstate(account(3));
        approve(1, action);
        registry.reinstate(account(3));
        // The votes of the first time are no votes for a second.
        action = registry.actionOf(Membership.Change.Suspend, account(3));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 4));
        registry.suspend(account(3));
    }

    function test_a_vote_to_reinstate_is_no_vote_to_suspend() public {
        voting();
        open(1, 15);
        threeApprove(registry.actionOf(Membership.Change.Reinstate, account(3)));
        bytes32 action = registry.actionOf(Membership.Change.Suspend, account(3));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 4));
        registry.suspend(account(3));
    }

    function test_a_vote_against_one_member_is_none_against_another() public {
        voting();
        open(1, 15);
        threeApprove(registry.actionOf(Membership.Change.Suspend, account(3)));
        bytes32 action = registry.actionOf(Membership.Change.Suspend, account(2));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 4));
        registry.suspend(account(2));
    }

    function test_a_suspension_is_not_taken_back_by_votes_from_before_it() public {
        voting();
        open(1, 15);
        threeApprove(registry.actionOf(Membership.Change.Reinstate, account(3)));
        threeApprove(registry.actionOf(Membership.Change.Suspend, account(3)));
        registry.suspend(account(3));
        bytes32 action = registry.actionOf(Membership.Change.Reinstate, account(3));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 3));
        registry.reinstate(account(3));
    }

    function test_who_was_reinstated_is_not_suspended_by_votes_from_before_it() public {
        voting();
        open(1, 15);
        threeApprove(registry.actionOf(Membership.Change.Suspend, account(3)));
        registry.suspend(account(3));
        threeApprove(registry.actionOf(Membership.Change.Suspend, account(3)));
        threeApprove(registry.actionOf(Membership.Change.Reinstate, account(3)));
        registry.reinstate(account(3));
        bytes32 action = registry.actionOf(Membership.Change.Suspend, account(3));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 4));
        registry.suspend(account(3));
    }

    function test_a_vote_lapses_with_its_voter() public {
        voting();
        open(1, 15);
        bytes32 action = hashOf(registration(9, HOSPITAL, 50));
        approve(0, action);
        approve(1, action);
        leave(1);
        leave(2);
        (uint256 approvals, uint256 voters) = registry.approvalsOf(action);
        holds(approvals == 1 && voters == 9);
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 1, 2));
        this.registerAs(9, HOSPITAL, 50);
        rotate(3, 33);
        approve(33, action);
        register(9, HOSPITAL, 50);
    }

    function test_only_active_hospitals_vote() public {
        voting();
        open(1, 15);
        reverts(abi.encodeWithSelector(Membership.NotRegistered.selector, account(4)));
        this.approveAs(4, "action");
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(9)));
        this.approveAs(9, "action");
        Approval memory m = Approval(FEDERATION, "action", account(0));
        bytes memory signature = signed(1, hashOf(m));
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(1)));
        registry.approve(m, signature);
        m.federation = "another";
        reverts(abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        registry.approve(m, signature);
    }

    function test_an_empty_house_admits_nobody() public {
        voting();
        open(1, 15);
        for (uint256 i = 0; i < 4; ++i) {
            leave(i);
        }
        bytes32 action = hashOf(registration(9, HOSPITAL, 50));
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 0, 0));
        this.registerAs(9, HOSPITAL, 50);
    }

    // ------------------------------------------------------------------------------------- COORDINATOR

    function test_the_coordinators_role_is_handed_over_between_rounds() public {
        holds(registry.hasRole(COORDINATOR_ROLE, address(this)));
        vm.expectEmit(address(ledger));
        emit Membership.CoordinatorChanged(address(this), STRANGER);
        registry.handOver(STRANGER);
        equal(ledger.coordinator(), STRANGER);
        holds(registry.hasRole(COORDINATOR_ROLE, STRANGER) && !registry.hasRole(COORDINATOR_ROLE, address(this)));
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, address(this)));
        registry.handOver(address(this));
        vm.prank(STRANGER);
        registry.handOver(address(this));
        reverts(abi.encodeWithSelector(Membership.NotRegistered.selector, address(0)));
        registry.handOver(address(0));
    }

    function test_it_is_not_handed_over_in_a_round() public {
        bytes memory error = abi.encodeWithSelector(Membership.RoundInProgress.selector, 1);
        open(1, 7);
        reverts(error);
        registry.handOver(STRANGER);
        submit(1, 0);
        ledger.closeRound(1);
        reverts(error);
        registry.handOver(STRANGER);
        finalize(1);
        registry.handOver(STRANGER);
    }

    function test_roles_follow_membership() public {
        equal(registry.getRoleAdmin(HOSPITAL_ROLE), COORDINATOR_ROLE);
        reverts(abi.encodeWithSelector(Membership.RolesFollowMembership.selector));
        registry.grantRole(HOSPITAL_ROLE, STRANGER);
        reverts(abi.encodeWithSelector(Membership.RolesFollowMembership.selector));
        registry.revokeRole(HOSPITAL_ROLE, account(0));
        reverts(abi.encodeWithSelector(Membership.RolesFollowMembership.selector));
        registry.renounceRole(HOSPITAL_ROLE, account(0));
    }

    // ---------------------------------------------------------------------------------------- CALLABLE

    // An expected revert is that of the next call: what signs on the way must be inside of it.

    function submitFor(uint64 round, uint256 member) external {
        submit(round, member);
    }

    function rotateTo(uint256 member, uint256 successor) external {
        rotate(member, successor);
    }

    function leaveAs(uint256 member) external {
        leave(member);
    }

    function approveAs(uint256 member, bytes32 action) external {
        approve(member, action);
    }

    function registerAs(uint256 member, uint8 roles, uint64 samples) external {
        register(member, roles, samples);
    }

    function refuses(Registration memory m, bytes memory error) private {
        uint256 member = 0;
        while (account(member) != m.member) ++member;
        bytes memory signature = signed(member, hashOf(m));
        reverts(error);
        registry.register(m, KEY, signature);
    }

    function rotationSignature(uint256 member, uint256 successor) private view returns (bytes memory) {
        return signed(member, hashOf(Rotation(FEDERATION, account(member), account(successor), sha256(KEY))));
    }
}
