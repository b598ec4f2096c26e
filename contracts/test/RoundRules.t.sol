// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FederationLedger} from "../src/FederationLedger.sol";
import {Bounds, Founding, Phase, Submission, Weighting} from "../src/FederationTypes.sol";
import {Rounds} from "../src/Rounds.sol";
import {Party} from "./Party.sol";
import {Vm, vm} from "./Vm.sol";

contract RoundRulesTest is Party {
    uint16 private constant THIRD = 3400; // a little more than a third

    /// Hospitals of so many samples on the first seats.
    function foundOf(Founding memory f, uint16 share, uint64[] memory samples) private {
        found(f, Bounds(0, 0, share));
        for (uint256 i = 0; i < samples.length; ++i) {
            register(i, HOSPITAL, samples[i]);
        }
    }

    function list(uint64 a, uint64 b, uint64 c) private pure returns (uint64[] memory samples) {
        samples = new uint64[](3);
        (samples[0], samples[1], samples[2]) = (a, b, c);
    }

    function openNext(uint64 number, uint256 seats, uint48 deadline) external {
        ledger.openRound(number, ledger.modelDigest(), "round", seats, deadline);
    }

    function finalizeNext(uint64 number) external {
        finalize(number);
    }

    function excludeNext(uint64 number, uint256 member) external {
        exclude(number, member);
    }

    // ---------------------------------------------------------------------------------------- ROUNDS

    function test_the_founding_says_what_it_binds() public {
        vm.recordLogs();
        found(founding(), Bounds(7, HOUR, THIRD));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        equal(last.topics[0], FederationLedger.BoundsFixed.selector);
        equal(last.emitter, address(ledger));
        vm.assertEq(last.data, abi.encode(Bounds(7, HOUR, THIRD)));
    }

    function test_no_round_beyond_the_last() public {
        found(founding(), Bounds(2, 0, 0));
        register(0, HOSPITAL, 100);
        whole(1, 1);
        closed(2, 1);
        ledger.abortRound(2, "its next attempt has its number");
        whole(2, 1);
        reverts(abi.encodeWithSelector(Rounds.NoSuchRound.selector, 2, 3));
        this.openNext(3, 1, uint48(block.timestamp) + HOUR);
        inPhase(Phase.Finalized);
    }

    function test_no_deadline_nearer_than_the_shortest() public {
        found(founding(), Bounds(0, HOUR, 0));
        register(0, HOSPITAL, 100);
        uint48 earliest = uint48(block.timestamp) + HOUR;
        reverts(abi.encodeWithSelector(Rounds.DeadlineTooNear.selector, earliest, earliest - 1));
        this.openNext(1, 1, earliest - 1);
        reverts(abi.encodeWithSelector(Rounds.DeadlineInPast.selector, block.timestamp));
        this.openNext(1, 1, uint48(block.timestamp));
        this.openNext(1, 1, earliest);
    }

    function test_what_is_not_bound_is_free() public {
        found(founding(), Bounds(0, 0, 0));
        register(0, HOSPITAL, 100);
        register(1, HOSPITAL, 1_000_000);
        for (uint64 number = 1; number < 5; ++number) {
            this.openNext(number, 3, uint48(block.timestamp) + 1);
            submitAll(number, 0, 1);
            ledger.closeRound(number);
            finalize(number);
        }
    }

    // ---------------------------------------------------------------------------------------- SHARES

    function test_a_share_is_at_most_the_whole() public {
        reverts(abi.encodeWithSelector(Rounds.BadShare.selector, 10_001));
        this.foundShared(10_001);
        this.foundShared(10_000);
    }

    function foundShared(uint16 share) external {
        deploy(founding(), Bounds(0, 0, share));
    }

    function test_a_giant_has_no_more_than_its_share() public {
        foundOf(founding(), THIRD, list(1_000_000, 110, 100));
        open(1, 7);
        // One above: t = 0.34 * 210 / 0.66 = 108; then two: t = 0.34 * 100 / 0.32 = 106.
        equal(ledger.weightOf(1_000_000), 1 + (106 * uint256(4093)) / 312);
        equal(ledger.weightOf(110), ledger.weightOf(1_000_000));
        equal(ledger.weightOf(100), 1 + (100 * uint256(4093)) / 312);
    }

    function test_the_next_round_is_weighed_anew() public {
        foundOf(founding(), THIRD, list(1_000_000, 110, 100));
        register(3, HOSPITAL, 1_000_000);
        whole(1, 3);
        ledger.settle();
        open(2, 15);
        // 0.34 * 2,000,210 is below a million; then two are above, and t = 0.34 * 210 / 0.32 = 223.
        equal(ledger.weightOf(1_000_000), 1 + (223 * uint256(4092)) / 656);
        equal(ledger.weightOf(110), 1 + (110 * uint256(4092)) / 656);
    }

    function test_too_few_cannot_all_stay_below_the_share() public {
        foundOf(founding(), THIRD, list(100, 100, 100));
        reverts(abi.encodeWithSelector(Rounds.TooFewForShare.selector, 2, 3));
        this.openNext(1, 3, uint48(block.timestamp) + HOUR);
        this.openNext(1, 7, uint48(block.timestamp) + HOUR);
    }

    function test_a_uniform_weighting_needs_as_many() public {
        Founding memory f = founding();
        f.weighting = Weighting.Uniform;
        foundOf(f, THIRD, list(100, 1000, 1_000_000));
        reverts(abi.encodeWithSelector(Rounds.TooFewForShare.selector, 2, 3));
        this.openNext(1, 3, uint48(block.timestamp) + HOUR);
        closed(1, 3);
        reverts(abi.encodeWithSelector(Rounds.ShareTooLarge.selector, 0, 1365, 2730));
        this.excludeNext(1, 1);
        finalize(1);
    }

    function test_the_share_holds_among_the_included() public {
        foundOf(founding(), 5000, list(1_000_000, 110, 100));
        closed(1, 3);
        uint256 giant = ledger.weightOf(1_000_000);
        uint256 sum = giant + ledger.weightOf(110);
        reverts(abi.encodeWithSelector(Rounds.ShareTooLarge.selector, 0, giant, sum));
        this.excludeNext(1, 2);
        finalize(1);
    }

    function test_the_share_holds_among_those_that_came() public {
        foundOf(founding(), 5000, list(1_000_000, 110, 100));
        open(1, 7);
        submitAll(1, 0, 2);
        ledger.closeRound(1);
        uint256 giant = ledger.weightOf(1_000_000);
        uint256 sum = giant + ledger.weightOf(110);
        reverts(abi.encodeWithSelector(Rounds.ShareTooLarge.selector, 0, giant, sum));
        this.finalizeNext(1);
        ledger.abortRound(1, "one has too large a share");
    }

    function test_rewards_follow_the_capped_weights() public {
        foundOf(founding(), THIRD, list(1_000_000, 1_000_000, 100));
        whole(1, 3);
        ledger.settle();
        uint256[] memory credits = ledger.creditsOfSeats(7);
        uint256 sum = credits[0] + credits[1] + credits[2];
        equal(sum, 1_000_003);
        holds(credits[0] * 100 <= sum * 34 && credits[1] * 100 <= sum * 34);
    }

    /// Whoever takes part with however many samples: no weight is a unit or more above its share of the sum, the
    /// order of samples stays, no sum is above 4,096, and the round can be finalized.
    /// forge-config: ci.fuzz.runs = 1000
    function test_no_weight_is_above_its_share(uint64[6] memory given, uint16 share) public {
        share = 1667 + share % (10_000 - 1667 + 1);
        uint64[] memory samples = new uint64[](6);
        for (uint256 i = 0; i < 6; ++i) {
            uint64 size = uint64(1) << (10 * (given[i] % 6) + 4);
            samples[i] = given[i] % size + 1;
        }
        foundOf(founding(), share, samples);
        closed(1, 6, samples);
        uint256 sum;
        for (uint256 i = 0; i < 6; ++i) {
            sum += ledger.weightOf(samples[i]);
        }
        for (uint256 i = 0; i < 6; ++i) {
            holds(uint256(ledger.weightOf(samples[i])) * 10_000 < sum * share + 10_000);
            for (uint256 j = 0; j < 6; ++j) {
                holds(samples[i] > samples[j] || ledger.weightOf(samples[i]) <= ledger.weightOf(samples[j]));
            }
        }
        holds(sum <= 4096);
        finalize(1);
    }

    function closed(uint64 round, uint256 count, uint64[] memory samples) private {
        open(round, (1 << count) - 1);
        for (uint256 i = 0; i < count; ++i) {
            Submission memory m = submission(round, i);
            m.samples = samples[i];
            submit(m, i);
        }
        ledger.closeRound(round);
    }
}
