// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Committee} from "../src/Committee.sol";
import {FederationLedger} from "../src/FederationLedger.sol";
import {Attestation, Founding, Phase, Recording} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {Rewards} from "../src/Rewards.sol";
import {Rounds} from "../src/Rounds.sol";
import {SignedMessages} from "../src/SignedMessages.sol";
import {Party} from "./Party.sol";
import {Vm, vm} from "./Vm.sol";

contract CommitteeTest is Party {
    uint256 private constant HOSPITALS = 7 << 4; // behind the four validators

    function setUp() public {
        foundCommittee(4, 3);
    }

    /// Three updates of members 4, 5 and 6 wait for their verdicts.
    function waiting() private {
        open(1, HOSPITALS);
        draw(1);
        submitAll(1, 4, 3);
        ledger.closeRound(1);
    }

    function judge(uint256 member, uint256 approvals, uint256 rejections) private {
        for (uint256 i = 0; i < approvals + rejections; ++i) {
            attest(1, i, member, i < approvals, int16(int256(i)));
        }
    }

    // ----------------------------------------------------------------------------------------- SIZES

    /// forge-config: ci.fuzz.runs = 1000
    function test_a_committee_has_3f_plus_1_seats_and_time(uint8 size, uint32 window) public {
        Founding memory f = founding();
        f.committeeSize = size;
        f.validationWindow = window;
        bool good = size == 0 || (size % 3 == 1 && size <= 13 && window != 0);
        if (!good) reverts(abi.encodeWithSelector(Committee.BadCommittee.selector, size));
        this.foundAs(f);
        if (good) equal(ledger.committeeSize(), size);
    }

    function test_a_committee_without_time_is_refused() public {
        Founding memory f = founding();
        f.committeeSize = 4;
        f.validationWindow = 0;
        reverts(abi.encodeWithSelector(Committee.BadCommittee.selector, 4));
        this.foundAs(f);
    }

    function test_verdicts_are_for_updates_that_are_recorded() public {
        Founding memory f = founding();
        f.committeeSize = 4;
        f.recording = Recording.Root;
        reverts(abi.encodeWithSelector(FederationLedger.CommitteeNeedsEach.selector));
        this.foundAs(f);
    }

    // --------------------------------------------------------------------------------------- DRAWING

    function test_a_committee_is_drawn_after_its_round_was_opened() public {
        equal(ledger.committee().length, 0);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.None));
        ledger.drawCommittee(1);
        open(1, HOSPITALS);
        reverts(abi.encodeWithSelector(Committee.DrawTooEarly.selector, block.number));
        ledger.drawCommittee(1);
        reverts(abi.encodeWithSelector(Committee.CommitteeNotDrawn.selector, 1));
        this.submitFor(1, 4);
        draw(1);
        equal(ledger.committee().length, 4);
        reverts(abi.encodeWithSelector(Committee.CommitteeDrawnAlready.selector, 1));
        ledger.drawCommittee(1);
        submit(1, 4);
        ledger.abortRound(1, "again");
        open(1, HOSPITALS);
        equal(ledger.committee().length, 0);
        reverts(abi.encodeWithSelector(Committee.CommitteeNotDrawn.selector, 1));
        this.submitFor(1, 4);
    }

    function test_a_draw_comes_within_256_blocks() public {
        open(1, HOSPITALS);
        uint256 openedAt = block.number;
        vm.roll(openedAt + 257);
        reverts(abi.encodeWithSelector(Committee.DrawTooLate.selector, openedAt));
        ledger.drawCommittee(1);
    }

    function test_without_a_committee_there_is_nothing_to_draw() public {
        foundWith(2);
        open(1, 3);
        reverts(abi.encodeWithSelector(Committee.NoCommittee.selector));
        ledger.drawCommittee(1);
        equal(ledger.committee().length, 0);
        equal(ledger.tallyOf(1, 1, 0).eligible, 0);
    }

    function test_a_round_needs_a_committee_of_validators() public {
        leave(0);
        reverts(abi.encodeWithSelector(Committee.TooFewValidators.selector, 3, 4));
        ledger.openRound(1, GENESIS, "round", HOSPITALS, uint48(block.timestamp) + HOUR);
    }

    function test_each_opening_has_its_own_validators_to_draw_from() public {
        open(1, HOSPITALS);
        ledger.abortRound(1, "again");
        register(7, VALIDATOR, 0);
        leave(0);
        open(1, HOSPITALS);
        draw(1);
        address[] memory drawn = ledger.committee();
        for (uint256 i = 0; i < 4; ++i) {
            holds(drawn[i] != account(0));
        }
    }

    /// forge-config: ci.fuzz.runs = 1000
    function test_nobody_comes_or_goes_to_turn_a_draw(bytes32 hash) public {
        vm.assume(hash != 0);
        for (uint256 i = 7; i < 12; ++i) {
            register(i, VALIDATOR, 0);
        }
        open(1, HOSPITALS);
        register(12, VALIDATOR, 0);
        registry.suspend(account(7));
        vm.roll(block.number + 1);
        vm.setBlockhash(block.number - 1, hash);
        ledger.drawCommittee(1);
        // The first steps of Fisher and Yates over the seats of the moment of opening.
        uint256[] memory pool = new uint256[](9);
        for (uint256 i = 0; i < 9; ++i) {
            pool[i] = i < 4 ? i : i + 3;
        }
        bytes32 seed = keccak256(abi.encode(hash, FEDERATION, 1, 1));
        address[] memory drawn = ledger.committee();
        for (uint256 i = 0; i < 4; ++i) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (9 - i);
            (pool[i], pool[j]) = (pool[j], pool[i]);
            equal(drawn[i], account(pool[i]));
        }
    }

    // --------------------------------------------------------------------------------------- JUDGING

    function test_an_update_counts_with_a_quorum() public {
        waiting();
        inPhase(Phase.Closed);
        judge(4, 3, 1);
        judge(5, 2, 2);
        judge(6, 4, 0);
        Committee.Tally memory tally = ledger.tallyOf(1, 1, 4);
        holds(tally.approvals == 3 && tally.rejections == 1 && tally.eligible == 4 && tally.score == 1);
        vm.expectEmit(address(ledger));
        emit Committee.UpdateValidated(1, account(4), true, tally);
        vm.expectEmit(address(ledger));
        emit Committee.UpdateValidated(1, account(5), false, ledger.tallyOf(1, 1, 5));
        vm.prank(STRANGER);
        ledger.validateRound(1);
        inPhase(Phase.Validated);
        equal(standing(), 5 << 4);
        reverts(abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, account(5)));
        exclude(1, 5);
        finalize(1);
        equal(ledger.committee().length, 4);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Finalized));
        ledger.validateRound(1);
    }

    function test_a_round_waits_for_its_verdicts_until_their_time_is_over() public {
        waiting();
        judge(4, 3, 0);
        judge(6, 3, 0);
        judge(5, 2, 1);
        reverts(abi.encodeWithSelector(Committee.Undecided.selector, 1, account(5)));
        ledger.validateRound(1);
        uint256 until = block.timestamp + HOUR;
        vm.warp(until);
        reverts(abi.encodeWithSelector(Committee.Undecided.selector, 1, account(5)));
        ledger.validateRound(1);
        vm.warp(until + 1);
        says(attestation(1, 3, 5, true, 0), 3, abi.encodeWithSelector(Committee.ValidationOver.selector, until));
        ledger.validateRound(1);
        equal(standing(), 5 << 4);
    }

    function test_a_round_of_which_nothing_counts_is_anyones_to_abort() public {
        waiting();
        vm.warp(block.timestamp + HOUR + 1);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.abortRound(1, "not validated yet");
        ledger.validateRound(1);
        equal(standing(), 0);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 0, 1));
        finalize(1);
        vm.prank(STRANGER);
        ledger.abortRound(1, "nothing counts");
    }

    function test_while_verdicts_are_awaited_no_round_opens_and_no_role_is_handed_over() public {
        waiting();
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Closed));
        ledger.openRound(1, GENESIS, "round", HOSPITALS, uint48(block.timestamp) + HOUR);
        reverts(abi.encodeWithSelector(Membership.RoundInProgress.selector, 1));
        registry.handOver(STRANGER);
    }

    function test_a_verdict_is_taken_once() public {
        waiting();
        Attestation memory m = attestation(1, 0, 4, true, -5);
        bytes memory signature = signed(0, hashOf(m));
        vm.expectEmit(address(ledger));
        emit Committee.UpdateAttested(1, account(4), account(0), true, -5, signature);
        attest(m, 0);
        bytes memory again = abi.encodeWithSelector(Committee.AlreadyAttested.selector, account(0), account(4));
        says(m, 0, again);
        m.accepted = false;
        says(m, 0, again);
        rotate(0, 9); // a new key has the vote of its seat
        says(attestation(1, 9, 4, true, 0), 9, abi.encodeWithSelector(Committee.AlreadyAttested.selector, account(9), account(4)));
        attest(1, 9, 5, true, 7);
        equal(ledger.tallyOf(1, 1, 5).approvals, 1);
    }

    function test_a_bad_verdict_is_rejected_with_its_reason() public {
        waiting();
        Attestation memory m = attestation(1, 0, 4, true, 0);
        m.federation = "another";
        says(m, 0, abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        m = attestation(1, 0, 4, true, 0);
        m.round = 2;
        says(m, 0, abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Closed));
        m = attestation(1, 0, 4, true, 0);
        m.attempt = 2;
        says(m, 0, abi.encodeWithSelector(Rounds.WrongAttempt.selector, 1, 2));
        m = attestation(1, 0, 4, true, 0);
        m.hospital = account(9);
        says(m, 0, abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, account(9)));
        m = attestation(1, 0, 4, true, 0);
        m.commitment = "another";
        says(m, 0, abi.encodeWithSelector(Committee.WrongCommitment.selector, ledger.commitmentOf(1, 1, 4), m.commitment));
        m = attestation(1, 0, 4, true, 0);
        says(m, 1, abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(1)));
        m = attestation(1, 5, 4, true, 0);
        says(m, 5, abi.encodeWithSelector(Committee.NotOnCommittee.selector, account(5)));
        registry.suspend(account(0));
        m = attestation(1, 0, 4, true, 0);
        says(m, 0, abi.encodeWithSelector(Membership.NotActive.selector, account(0)));
        rotate(4, 9);
        attest(1, 1, 4, true, 0); // the update of the seat, under the key that submitted it
        attest(1, 2, 9, true, 0); // and under its key of now
        equal(ledger.tallyOf(1, 1, 4).approvals, 2);
        reverts(abi.encodeWithSelector(Rounds.LengthMismatch.selector, 1, 0));
        ledger.attest(new Attestation[](1), new bytes[](0));
    }

    function test_a_verdict_on_an_update_that_is_not_there_is_rejected() public {
        open(1, HOSPITALS);
        draw(1);
        submitAll(1, 4, 2);
        ledger.closeRound(1);
        Attestation memory m = attestation(1, 0, 6, true, 0);
        equal(m.commitment, 0);
        says(m, 0, abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, account(6)));
    }

    function test_after_the_count_no_verdict_is_taken_though_its_time_is_not_over() public {
        waiting();
        for (uint256 member = 4; member < 7; ++member) {
            judge(member, 3, 0);
        }
        ledger.validateRound(1);
        says(attestation(1, 3, 4, true, 9), 3, abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Validated));
        equal(ledger.tallyOf(1, 1, 4).approvals, 3);
    }

    function test_a_verdict_on_a_stranger_is_none_on_the_first_seat() public {
        Founding memory f = founding();
        f.committeeSize = 1;
        found(f);
        register(0, HOSPITAL, 100);
        register(1, VALIDATOR, 0);
        open(1, 1);
        draw(1);
        submit(1, 0);
        ledger.closeRound(1);
        Attestation memory m = attestation(1, 1, 0, true, 5);
        m.hospital = STRANGER;
        says(m, 1, abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, STRANGER));
    }

    function test_the_last_second_of_validation_is_in_time() public {
        waiting();
        vm.warp(block.timestamp + HOUR);
        attest(1, 0, 4, true, 0);
        equal(ledger.tallyOf(1, 1, 4).approvals, 1);
    }

    function test_a_verdict_that_was_changed_is_no_longer_signed(uint8 field, uint64 number, bytes32 word) public {
        waiting();
        Attestation memory m = attestation(1, 0, 4, true, 1);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signed(0, hashOf(m));
        bytes32 before = hashOf(m);
        field = field % 8;
        if (field == 0) m.federation = word;
        if (field == 1) m.round = number;
        if (field == 2) m.attempt = number;
        if (field == 3) m.validator = account(1);
        if (field == 4) m.hospital = account(5);
        if (field == 5) m.commitment = word;
        if (field == 6) m.accepted = false;
        if (field == 7) m.score = int16(uint16(number));
        vm.assume(hashOf(m) != before);
        Attestation[] memory messages = new Attestation[](1);
        messages[0] = m;
        vm.recordLogs();
        ledger.attest(messages, signatures);
        equal(vm.getRecordedLogs()[0].topics[0], Committee.AttestationRejected.selector);
        equal(ledger.tallyOf(1, 1, 4).approvals, 0);
    }

    function test_nobody_judges_an_update_of_its_own() public {
        Founding memory f = founding();
        f.committeeSize = 4;
        found(f);
        for (uint256 i = 0; i < 4; ++i) {
            register(i, HOSPITAL | VALIDATOR, 100);
        }
        open(1, 15);
        draw(1);
        submitAll(1, 0, 4);
        ledger.closeRound(1);
        says(attestation(1, 2, 2, true, 9), 2, abi.encodeWithSelector(Committee.JudgesItself.selector, account(2)));
        rotate(2, 9);
        says(attestation(1, 9, 9, true, 9), 9, abi.encodeWithSelector(Committee.JudgesItself.selector, account(9)));
        equal(ledger.tallyOf(1, 1, 2).eligible, 3);
        for (uint256 seat = 0; seat < 4; ++seat) {
            for (uint256 judge_ = 0; judge_ < 4; ++judge_) {
                if (judge_ != seat) attest(1, judge_ == 2 ? 9 : judge_, seat == 2 ? 9 : seat, true, 10);
            }
        }
        ledger.validateRound(1);
        equal(standing(), 15);
    }

    /// forge-config: ci.fuzz.runs = 500
    function test_a_score_is_the_median_the_lower_of_two(int16[13] memory scores, uint8 given) public {
        given = given % 14;
        foundCommittee(13, 1);
        open(1, 1 << 13);
        draw(1);
        submit(1, 13);
        ledger.closeRound(1);
        for (uint256 i = 0; i < given; ++i) {
            attest(1, i, 13, i % 2 == 0, scores[i]);
        }
        Committee.Tally memory tally = ledger.tallyOf(1, 1, 13);
        equal(tally.approvals, (uint256(given) + 1) / 2);
        equal(tally.rejections, uint256(given) / 2);
        holds(tally.score == naiveMedian(scores, given));
    }

    function naiveMedian(int16[13] memory scores, uint256 given) private pure returns (int16) {
        for (uint256 i = 0; i < given; ++i) {
            uint256 below;
            uint256 same;
            for (uint256 j = 0; j < given; ++j) {
                if (scores[j] < scores[i]) ++below;
                if (scores[j] == scores[i]) ++same;
            }
            uint256 middle = (given - 1) / 2;
            if (below <= middle && middle < below + same) return scores[i];
        }
        return 0;
    }

    // -------------------------------------------------------------------------------------- CALLABLE

    function foundAs(Founding memory f) external {
        found(f);
    }

    function submitFor(uint64 round, uint256 member) external {
        submit(round, member);
    }

    function says(Attestation memory m, uint256 signer, bytes memory reason) private {
        vm.expectEmit(address(ledger));
        emit Committee.AttestationRejected(m.round, m.hospital, m.validator, reason);
        attest(m, signer);
    }
}

contract RewardsTest is Party {
    function setUp() public {
        foundWith(3);
    }

    function test_a_round_gives_its_whole_budget_by_weight() public {
        reverts(abi.encodeWithSelector(Rewards.NothingFinalized.selector));
        ledger.settle();
        whole(1, 3);
        uint256[] memory expected = new uint256[](3);
        uint256 total;
        for (uint256 i = 0; i < 3; ++i) {
            total += ledger.weightOf(uint64(100 + i));
        }
        uint256 running;
        uint256 given;
        for (uint256 i = 0; i < 3; ++i) {
            running += ledger.weightOf(uint64(100 + i));
            expected[i] = 1_000_003 * running / total - given;
            given += expected[i];
        }
        equal(given, 1_000_003);
        vm.expectEmit(address(ledger));
        emit Rewards.RewardsSettled(1, 7, expected);
        vm.prank(STRANGER);
        ledger.settle();
        uint256[] memory credits = ledger.creditsOfSeats(7);
        for (uint256 i = 0; i < 3; ++i) {
            equal(credits[i], expected[i]);
        }
        reverts(abi.encodeWithSelector(Rewards.AlreadySettled.selector, 1));
        ledger.settle();
        open(2, 7);
        equal(sum(ledger.creditsOfSeats(7)), 1_000_003);
        reverts(abi.encodeWithSelector(Rewards.NothingFinalized.selector));
        ledger.settle();
    }

    function test_what_was_earned_stays_when_more_is_earned() public {
        whole(1, 3);
        ledger.settle();
        uint256[] memory once = ledger.creditsOfSeats(7);
        whole(2, 3);
        ledger.settle();
        uint256[] memory twice = ledger.creditsOfSeats(7);
        for (uint256 i = 0; i < 3; ++i) {
            equal(twice[i], 2 * once[i]);
        }
    }

    function test_the_next_opening_settles_what_was_not() public {
        closed(1, 3);
        exclude(1, 1);
        open(2, 1);
        uint256[] memory credits = ledger.creditsOfSeats(7);
        holds(credits[0] > 0 && credits[1] == 0 && credits[2] > credits[0]);
        equal(sum(credits), 1_000_003);
        // Neither an abortion nor the opening after it settles once more.
        ledger.abortRound(2, "again");
        open(2, 1);
        equal(sum(ledger.creditsOfSeats(7)), 1_000_003);
    }

    function test_without_a_budget_there_is_nothing_to_settle() public {
        Founding memory f = founding();
        f.rewardBudget = 0;
        foundWith(f, 1);
        whole(1, 1);
        reverts(abi.encodeWithSelector(Rewards.AlreadySettled.selector, 1));
        ledger.settle();
        open(2, 1);
    }

    function test_without_a_budget_the_next_opening_settles_nothing() public {
        Founding memory f = founding();
        f.rewardBudget = 0;
        foundWith(f, 1);
        whole(1, 1);
        vm.recordLogs();
        open(2, 1);
        equal(vm.getRecordedLogs().length, 1); // of the opening
    }

    function test_an_aborted_round_earns_nothing() public {
        open(1, 7);
        submit(1, 0);
        ledger.abortRound(1, "again");
        open(1, 7);
        equal(sum(ledger.creditsOfSeats(7)), 0);
    }

    /// forge-config: ci.fuzz.runs = 500
    function test_where_a_committee_scored_credits_go_by_weight_and_gain(int16[3] memory scores, uint64 budget) public {
        Founding memory f = founding();
        f.committeeSize = 1;
        f.rewardBudget = budget == 0 ? 1 : budget;
        found(f);
        for (uint256 i = 0; i < 3; ++i) {
            register(i, HOSPITAL, uint64(100 + i));
        }
        register(3, VALIDATOR, 0);
        open(1, 7);
        draw(1);
        submitAll(1, 0, 3);
        ledger.closeRound(1);
        for (uint256 i = 0; i < 3; ++i) {
            attest(1, 3, i, true, scores[i]);
        }
        ledger.validateRound(1);
        finalize(1);
        ledger.settle();
        uint256[3] memory shares;
        uint256 total;
        for (uint256 i = 0; i < 3; ++i) {
            shares[i] = scores[i] > 0 ? ledger.weightOf(uint64(100 + i)) * uint256(int256(scores[i])) : 0;
            total += shares[i];
        }
        for (uint256 i = 0; total == 0 && i < 3; ++i) {
            shares[i] = ledger.weightOf(uint64(100 + i));
        }
        if (total == 0) total = shares[0] + shares[1] + shares[2];
        uint256[] memory credits = ledger.creditsOfSeats(7);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 exact = f.rewardBudget * shares[i] / total; // each within one credit of it
            holds(credits[i] <= exact + 1 && credits[i] + 1 >= exact);
        }
        equal(sum(credits), f.rewardBudget);
    }

    function sum(uint256[] memory values) private pure returns (uint256 total) {
        for (uint256 i = 0; i < values.length; ++i) {
            total += values[i];
        }
    }
}
