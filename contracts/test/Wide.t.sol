// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bond} from "../src/Bond.sol";
import {Committee} from "../src/Committee.sol";
import {DisputeCourt} from "../src/DisputeCourt.sol";
import {
    Admission,
    Bounds,
    Founding,
    Member,
    Phase,
    Recording,
    Result,
    Submission
} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {Registry} from "../src/Registry.sol";
import {Rewards} from "../src/Rewards.sol";
import {Rounds} from "../src/Rounds.sol";
import {FederationLedger} from "../src/FederationLedger.sol";
import {Party} from "./Party.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice Rounds with seats beyond the first 256, whose sets have several words.
contract WideTest is Party {
    uint256 private constant ALL = type(uint256).max;
    uint256 private constant HOSPITALS = 260;
    uint128 private constant BOND = 1 ether;

    function founded(Recording recording) private {
        Founding memory f = founding();
        f.recording = recording;
        foundWith(f, HOSPITALS);
    }

    function hashOf(Result memory r) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(r))));
    }

    function resultWith(uint256[] memory included, bytes32 submissions) private view returns (Result memory) {
        uint256 set = uint256(keccak256(abi.encodePacked(included)));
        return Result(1, 1, uint64(block.timestamp), GENESIS, "sum", model(1), submissions, set);
    }

    // ------------------------------------------------------------------------------------------- ROUND

    function test_a_whole_round() public {
        founded(Recording.Each);
        uint256[] memory all = firstSeats(HOSPITALS);
        openWide(1, all);
        submitAll(1, 0, 100);
        submitAll(1, 100, 160);
        (uint256[] memory asked, uint256[] memory there) = ledger.latestSets();
        same(asked, all);
        same(there, all);
        vm.expectEmit(address(ledger));
        emit Rounds.RoundClosed(1, 1, all, 0);
        vm.expectEmit(address(ledger));
        emit Rounds.RoundValidated(1, 1, all);
        vm.prank(STRANGER); // all are in
        ledger.closeRound(1);
        // Two of the second word, and one of the first, are left out.
        uint256[] memory included = words(ALL ^ 8, 10);
        address[] memory excluded = new address[](3);
        (excluded[0], excluded[1], excluded[2]) = (account(3), account(256), account(258));
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateExcluded(1, account(3), "");
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateExcluded(1, account(256), "");
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateExcluded(1, account(258), "");
        vm.expectEmit(address(ledger));
        emit Rounds.RoundFinalized(1, 1, "sum", model(1), 0, included);
        ledger.finalizeRound(1, "sum", model(1), excluded, new string[](3));
        (, there) = ledger.latestSets();
        same(there, included);
        equal(ledger.resultOf(1), hashOf(resultWith(included, 0)));
        equal(ledger.lastFinalized(), 1);
    }

    function test_the_opening_is_told_with_all_seats() public {
        founded(Recording.Each);
        uint256[] memory set = words(1, 2);
        address[] memory asked = new address[](2);
        (asked[0], asked[1]) = (account(0), account(257));
        uint32[] memory weights = new uint32[](2);
        // 100 of 457 samples, and 357.
        (weights[0], weights[1]) = (1 + uint32(100 * 4094) / 457, 1 + uint32(357 * 4094) / 457);
        vm.expectEmit(address(ledger));
        emit Rounds.RoundOpened(
            1, 1, GENESIS, "round", uint64(block.timestamp) + HOUR, set, asked, weights
        );
        openWide(1, set);
        equal(standing(), 0);
    }

    function test_a_set_has_the_words_that_it_takes() public {
        founded(Recording.Each);
        badlyOpened(new uint256[](0));
        badlyOpened(firstSeats(256));
        badlyOpened(words(1, 0));
        badlyOpened(new uint256[](17));
    }

    function badlyOpened(uint256[] memory set) private {
        reverts(abi.encodeWithSelector(Rounds.WrongWords.selector, set.length));
        ledger.openWideRound(1, GENESIS, "round", set, uint48(block.timestamp) + HOUR);
    }

    function test_only_the_coordinator_opens_and_closes_with_a_root() public {
        founded(Recording.Root);
        uint256[] memory set = words(0, 1);
        vm.prank(STRANGER);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        ledger.openWideRound(1, GENESIS, "round", set, uint48(block.timestamp) + HOUR);
        openWide(1, set);
        vm.prank(STRANGER);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        ledger.closeWideWithRoot(1, "root", "list", set);
    }

    function test_seats_of_nobody_are_not_asked() public {
        founded(Recording.Each);
        leave(257);
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, 2));
        ledger.openWideRound(1, GENESIS, "round", words(1, 3), uint48(block.timestamp) + HOUR);
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, 1 << 4));
        ledger.openWideRound(1, GENESIS, "round", words(1, 1 << 4), uint48(block.timestamp) + HOUR);
    }

    /// Bits of one word are not those of the other: not among the participants, and not among the accepted.
    function test_a_seat_is_of_its_word() public {
        founded(Recording.Each);
        openWide(1, words(2, 5));
        refused(0, abi.encodeWithSelector(Rounds.NotParticipant.selector, account(0)));
        refused(257, abi.encodeWithSelector(Rounds.NotParticipant.selector, account(257)));
        submit(1, 256);
        submit(1, 1);
        refused(256, abi.encodeWithSelector(Rounds.AlreadySubmitted.selector, 1, account(256)));
        submit(1, 258);
        (, uint256[] memory there) = ledger.latestSets();
        same(there, words(2, 5));
        holds(ledger.commitmentOf(1, 1, 256) != ledger.commitmentOf(1, 1, 1));
        equal(ledger.commitmentOf(1, 1, 0), bytes32(0));
        equal(ledger.commitmentOf(1, 2, 0), bytes32(0)); // not the place of seat 256 of the first attempt
    }

    function refused(uint256 member, bytes memory reason) private {
        Submission memory m = submission(1, member);
        bytes memory signature = signed(member, hashOf(m));
        reverts(reason);
        ledger.submitUpdate(m, signature);
    }

    /// A narrow round after a wide one, and a wide one after it: no word of the earlier one is left.
    function test_rounds_of_both_kinds_follow_each_other() public {
        founded(Recording.Each);
        openWide(1, words(3, 3));
        submit(1, 0);
        submit(1, 256);
        ledger.closeRound(1);
        finalize(1);
        settleAll();
        open(2, 3);
        refused2(256);
        submit(2, 1);
        ledger.closeRound(2);
        finalize(2);
        equal(standing(), 2);
        openWide(3, words(0, 3));
        (, uint256[] memory there) = ledger.latestSets();
        same(there, words(0, 0));
        submit(3, 256);
        ledger.closeRound(3);
        finalize(3);
        (, there) = ledger.latestSets();
        same(there, words(0, 1));
    }

    function refused2(uint256 member) private {
        Submission memory m = submission(2, member);
        bytes memory signature = signed(member, hashOf(m));
        reverts(abi.encodeWithSelector(Rounds.NotParticipant.selector, account(member)));
        ledger.submitUpdate(m, signature);
    }

    function test_updates_of_all_words_count_towards_the_fewest() public {
        Founding memory f = founding();
        f.minUpdates = 2;
        foundWith(f, HOSPITALS);
        openWide(1, words(1, 3));
        submit(1, 256);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 1, 2));
        ledger.closeRound(1);
        vm.warp(block.timestamp + HOUR + 1);
        vm.prank(STRANGER);
        ledger.abortRound(1, "too few");
        openWide(1, words(1, 3));
        submit(1, 256);
        submit(1, 257);
        vm.warp(block.timestamp + HOUR + 1);
        vm.prank(STRANGER);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        ledger.abortRound(1, "late"); // two are enough
        ledger.closeRound(1);
        inPhase(Phase.Validated);
    }

    // ----------------------------------------------------------------------------------------- WEIGHTS

    /// Whatever their samples, hospitals weigh one at least and 4,096 at most together.
    /// forge-config: default.fuzz.runs = 4
    /// forge-config: ci.fuzz.runs = 32
    function test_weights_of_a_thousand(uint256 seed) public {
        found();
        for (uint256 i = 0; i < 1000; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            register(i, HOSPITAL, i == 7 ? type(uint64).max : uint64(1 + seed % 1000));
        }
        vm.recordLogs();
        openWide(1, firstSeats(1000));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (,,,,,, uint32[] memory weights) =
            abi.decode(logs[0].data, (uint64, bytes32, bytes32, uint64, uint256[], address[], uint32[]));
        equal(weights.length, 1000);
        uint256 sum;
        for (uint256 i = 0; i < 1000; ++i) {
            holds(weights[i] >= 1);
            sum += weights[i];
        }
        holds(sum <= 4096);
        holds(sum > 4096 - 1000);
    }

    function test_a_share_is_bound_among_many() public {
        found(founding(), Bounds(1000, 1, 100));
        for (uint256 i = 0; i < HOSPITALS; ++i) {
            register(i, HOSPITAL, i == 257 ? 1_000_000 : 100);
        }
        openWide(1, firstSeats(HOSPITALS));
        submitAll(1, 0, 130);
        submitAll(1, 130, 130);
        ledger.closeRound(1);
        finalize(1);
        settleAll();
        openWide(2, firstSeats(HOSPITALS));
        submitAll(2, 250, 10);
        ledger.closeRound(2);
        uint256 largest = ledger.weightOf(1_000_000);
        uint256 sum = largest + 9 * uint256(ledger.weightOf(100));
        reverts(abi.encodeWithSelector(Rounds.ShareTooLarge.selector, 257, largest, sum));
        finalize(2);
    }

    // -------------------------------------------------------------------------------------------- ROOT

    function test_a_root_is_for_the_words_of_its_round() public {
        founded(Recording.Root);
        openWide(1, words(6, 3));
        submit(1, 257); // by itself
        reverts(abi.encodeWithSelector(Rounds.WrongWords.selector, 1));
        ledger.closeWithRoot(1, "root", "list", 6);
        reverts(abi.encodeWithSelector(Rounds.WrongWords.selector, 3));
        ledger.closeWideWithRoot(1, "root", "list", new uint256[](3));
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, 1 << 2));
        ledger.closeWideWithRoot(1, "root", "list", words(6, 7));
        reverts(abi.encodeWithSelector(Rounds.SubmissionsMissing.selector, 2));
        ledger.closeWideWithRoot(1, "root", "list", words(6, 1));
        vm.expectEmit(address(ledger));
        emit Rounds.SubmissionsCommitted(1, 1, "root", "list", words(2, 3));
        ledger.closeWideWithRoot(1, "root", "list", words(2, 3));
        finalize(1);
        equal(ledger.resultOf(1), hashOf(resultWith(words(2, 3), "root")));
    }

    function test_a_narrow_round_is_closed_with_a_word() public {
        founded(Recording.Root);
        open(1, 3);
        reverts(abi.encodeWithSelector(Rounds.WrongWords.selector, 2));
        ledger.closeWideWithRoot(1, "root", "list", words(3, 0));
        ledger.closeWideWithRoot(1, "root", "list", firstSeats(2)); // the same set, in the same words
        finalize(1);
        bytes32 narrow = keccak256(
            abi.encode(Result(1, 1, uint64(block.timestamp), GENESIS, "sum", model(1), "root", 3))
        );
        equal(ledger.resultOf(1), narrow);
    }

    // ----------------------------------------------------------------------------------------- CREDITS

    function test_credits_are_given_word_by_word() public {
        founded(Recording.Each);
        uint256[] memory all = firstSeats(HOSPITALS);
        openWide(1, all);
        submitAll(1, 0, 130);
        submitAll(1, 130, 130);
        ledger.closeRound(1);
        finalize(1);
        reverts(abi.encodeWithSelector(Rewards.NotSettled.selector, 1));
        ledger.openWideRound(2, model(1), "round", all, uint48(block.timestamp) + HOUR);
        vm.recordLogs();
        ledger.settle();
        (,,, bool settled,,,) = ledger.latestRound();
        holds(!settled);
        reverts(abi.encodeWithSelector(Rewards.NotSettled.selector, 1));
        ledger.openRound(2, model(1), "round", 1, uint48(block.timestamp) + HOUR);
        vm.prank(STRANGER);
        ledger.settle();
        (,,, settled,,,) = ledger.latestRound();
        holds(settled);
        reverts(abi.encodeWithSelector(Rewards.AlreadySettled.selector, 1));
        ledger.settle();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        equal(logs.length, 2);
        uint256 given;
        uint256 weighed;
        uint256 shares = weightOfAll();
        for (uint256 w = 0; w < 2; ++w) {
            (uint256[] memory set, uint256[] memory credits) =
                abi.decode(logs[w].data, (uint256[], uint256[]));
            same(set, w == 0 ? words(ALL, 0) : words(0, all[1]));
            uint256[] memory owned = ledger.creditsOfWord(w, all[w]);
            same(owned, credits);
            for (uint256 i = 0; i < credits.length; ++i) {
                weighed += ledger.weightOf(uint64(100 + 256 * w + i));
                given += credits[i];
                equal(given, (1_000_003 * weighed) / shares);
            }
        }
        equal(given, 1_000_003);
        same(ledger.creditsOfSeats(3), ledger.creditsOfWord(0, 3));
        openWide(2, all);
    }

    function weightOfAll() private view returns (uint256 sum) {
        for (uint256 i = 0; i < HOSPITALS; ++i) {
            sum += ledger.weightOf(uint64(100 + i));
        }
    }

    // --------------------------------------------------------------------------------------- COMMITTEE

    function test_validators_beyond_256_judge() public {
        Founding memory f = founding();
        f.committeeSize = 4;
        foundWith(f, HOSPITALS);
        for (uint256 i = 0; i < 4; ++i) {
            register(HOSPITALS + i, VALIDATOR, 0);
        }
        openWide(1, words(1, 3));
        draw(1);
        address[] memory drawn = ledger.committee();
        for (uint256 i = 0; i < 4; ++i) {
            (uint256 seat,) = registry.seatOf(drawn[i]);
            holds(seat >= HOSPITALS && seat < HOSPITALS + 4);
        }
        submit(1, 0);
        submit(1, 256);
        submit(1, 257);
        ledger.closeRound(1);
        for (uint256 judge = HOSPITALS; judge < HOSPITALS + 4; ++judge) {
            attest(1, judge, 0, true, 5);
            attest(1, judge, 256, false, -5);
            attest(1, judge, 257, true, 7);
        }
        equal(ledger.tallyOf(1, 1, 256).rejections, 4);
        equal(ledger.tallyOf(1, 1, 0).approvals, 4);
        vm.expectEmit(address(ledger));
        emit Committee.UpdateValidated(1, account(0), true, ledger.tallyOf(1, 1, 0));
        vm.expectEmit(address(ledger));
        emit Committee.UpdateValidated(1, account(256), false, ledger.tallyOf(1, 1, 256));
        vm.expectEmit(address(ledger));
        emit Committee.UpdateValidated(1, account(257), true, ledger.tallyOf(1, 1, 257));
        vm.expectEmit(address(ledger));
        emit Rounds.RoundValidated(1, 1, words(1, 2));
        ledger.validateRound(1);
        finalize(1);
        settleAll();
        uint256[] memory owned = ledger.creditsOfWord(1, 3);
        equal(owned[0], 0);
        holds(owned[1] > 0); // by weight times gain
        equal(owned[1] + ledger.creditsOfSeats(1)[0], 1_000_003);
    }

    // ------------------------------------------------------------------------------------------- VOTES

    function test_votes_of_all_words_count() public {
        Founding memory f = founding();
        f.admission = Admission.Vote;
        foundWith(f, HOSPITALS);
        open(1, 1);
        ledger.abortRound(1, "founded");
        bytes32 action = registry.actionOf(Membership.Change.Suspend, account(5));
        for (uint256 i = 130; i < 260; ++i) {
            approve(i, action);
        }
        (uint256 approvals, uint256 voters) = registry.approvalsOf(action);
        equal(approvals, ALL << 130);
        equal(voters, ALL);
        (approvals, voters) = registry.approvalsOfWord(action, 1);
        equal(approvals, 15);
        equal(voters, 15);
        reverts(abi.encodeWithSelector(Membership.NotApproved.selector, action, 130, 260));
        registry.suspend(account(5));
        approve(129, action);
        vm.prank(STRANGER);
        registry.suspend(account(5));
    }

    function test_members_are_listed_by_word() public {
        founded(Recording.Each);
        (Member[] memory all, bytes32[] memory digests) = registry.members();
        equal(all.length, HOSPITALS);
        (Member[] memory some, bytes32[] memory theirs) = registry.membersOfWord(1);
        equal(some.length, HOSPITALS - 256);
        equal(theirs.length, some.length);
        equal(some[3].account, all[259].account);
        equal(theirs[3], digests[259]);
        (some,) = registry.membersOfWord(0);
        equal(some.length, 256);
        equal(some[255].account, all[255].account);
        (some,) = registry.membersOfWord(2);
        equal(some.length, 0);
    }

    // ------------------------------------------------------------------------------------------- COURT

    struct Tree {
        bytes32[4096] leaves;
        bytes32 root;
    }

    function grow(Tree memory t) private pure {
        bytes32[] memory level = new bytes32[](4096);
        for (uint256 i = 0; i < 4096; ++i) {
            level[i] = t.leaves[i];
        }
        for (uint256 width = 2048; width > 0; width /= 2) {
            for (uint256 i = 0; i < width; ++i) {
                level[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
        }
        t.root = level[0];
    }

    function place(Tree memory t, uint256 seat) private pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](12);
        bytes32[] memory level = new bytes32[](4096);
        for (uint256 i = 0; i < 4096; ++i) {
            level[i] = t.leaves[i];
        }
        for (uint256 depth = 0; depth < 12; ++depth) {
            siblings[depth] = level[seat ^ 1];
            for (uint256 i = 0; i < 2048 >> depth; ++i) {
                level[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
            seat >>= 1;
        }
    }

    function entry(Submission memory m, bytes memory signature) private pure returns (bytes32) {
        return keccak256(abi.encode("fedcxr/submission", hashOf(m), keccak256(signature)));
    }

    /// A round under one root with a good submission of seat 257, a forged one of seat 258, and none of 259.
    function disputed() private returns (Tree memory t, Result memory result, Submission memory forged) {
        Founding memory f = founding();
        f.recording = Recording.Root;
        f.minimumBond = BOND;
        foundWith(f, HOSPITALS);
        vm.deal(address(this), BOND);
        court.postBond{value: BOND}();
        openWide(1, words(1, 14));
        Submission memory good = submission(1, 257);
        forged = submission(1, 258);
        t.leaves[257] = entry(good, signed(257, hashOf(good)));
        t.leaves[258] = entry(forged, signed(257, hashOf(forged)));
        grow(t);
        ledger.closeWideWithRoot(1, t.root, "list", words(0, 14));
        finalize(1);
        result = resultWith(words(0, 14), t.root);
        holds(court.disputable(result));
        holds(court.provesInclusion(t.root, 257, good, signed(257, hashOf(good)), place(t, 257)));
        holds(court.provesOmission(t.root, 259, place(t, 259)));
        holds(!court.provesOmission(t.root, 257, place(t, 257)));
        holds(!court.provesOmission(t.root, 4096 + 259, place(t, 259)));
        reverts(abi.encodeWithSelector(DisputeCourt.SubmissionGood.selector, 1, 257));
        court.disputeSubmission(result, 257, good, signed(257, hashOf(good)), place(t, 257));
    }

    function test_a_forged_submission_costs_the_bond() public {
        (Tree memory t, Result memory result, Submission memory forged) = disputed();
        court.disputeSubmission(result, 258, forged, signed(257, hashOf(forged)), place(t, 258));
        holds(court.disputed(1));
        equal(court.bond(), 0);
        holds(!court.disputable(result));
    }

    function test_a_missing_submission_costs_the_bond() public {
        (Tree memory t, Result memory result,) = disputed();
        bytes32[] memory siblings = place(t, 259);
        reverts(abi.encodeWithSelector(Bond.SeatsBeyond256.selector, 1));
        court.disputeOmission(result, 259, siblings);
        reverts(abi.encodeWithSelector(DisputeCourt.NotTheSet.selector, 1));
        court.disputeWideOmission(result, words(0, 30), 259, siblings);
        siblings = place(t, 260); // of nobody
        reverts(abi.encodeWithSelector(DisputeCourt.NotOmitted.selector, 260));
        court.disputeWideOmission(result, words(0, 14), 260, siblings);
        siblings = place(t, 257);
        reverts(abi.encodeWithSelector(DisputeCourt.NotOmitted.selector, 257));
        court.disputeWideOmission(result, words(0, 14), 257, siblings);
        siblings = place(t, 259);
        court.disputeWideOmission(result, words(0, 14), 259, siblings);
        holds(court.disputed(1));
    }

    /// The hash that stands for a set is no set itself: nobody is accused by its bits.
    function test_the_hash_of_a_set_is_not_read_as_one() public {
        Founding memory f = founding();
        f.openUpdates = true;
        f.recording = Recording.Root;
        foundWith(f, HOSPITALS);
        openWide(1, words(0, 1));
        ledger.closeWideWithRoot(1, "root", "list", words(0, 1));
        finalize(1);
        Result memory result = resultWith(words(0, 1), "root");
        reverts(abi.encodeWithSelector(Bond.SeatsBeyond256.selector, 1));
        court.challenge(result, 0, new DisputeCourt.Opening[](0), "", new bytes32[](0));
        // Nor is the set of a narrow round taken for a hash.
        settleAll();
        open(2, 1);
        ledger.closeWithRoot(2, "root", "list", 1);
        finalize(2);
        Result memory narrow = Result(2, 1, uint64(block.timestamp), model(1), "sum", model(2), "root", 1);
        holds(court.disputable(narrow));
        reverts(abi.encodeWithSelector(DisputeCourt.NotTheSet.selector, 2));
        court.disputeWideOmission(narrow, firstSeats(1), 0, new bytes32[](8));
    }

    // ---------------------------------------------------------------------------------------- REGISTRY

    function test_a_ledger_is_made_with_the_registry_that_it_names() public {
        address code = address(registry);
        bytes32 given = code.codehash;
        reverts(abi.encodeWithSelector(FederationLedger.WrongRegistry.selector, bytes32("other"), given));
        this.deployed("other", Registry(code));
        reverts(abi.encodeWithSelector(FederationLedger.WrongRegistry.selector, bytes32("other"), bytes32(0)));
        this.deployed("other", Registry(address(0x1234)));
    }

    function deployed(bytes32 registryCode, Registry code) external {
        deploy(registryCode, code, founding(), bounds());
    }

    function same(uint256[] memory left, uint256[] memory right) private pure {
        equal(left.length, right.length);
        for (uint256 i = 0; i < left.length; ++i) {
            equal(left[i], right[i]);
        }
    }
}
