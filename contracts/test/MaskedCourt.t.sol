// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bond} from "../src/Bond.sol";
import {DisputeCourt} from "../src/DisputeCourt.sol";
import {Founding} from "../src/FederationTypes.sol";
import {MaskedCases} from "../src/MaskedCases.sol";
import {MerkleSum} from "../src/MerkleSum.sol";
import {MaskedParty} from "./MaskedParty.sol";
import {vm} from "./Vm.sol";

contract MaskedCourtTest is MaskedParty {
    uint256 private constant WORD = 1030; // in the second leaf

    function right() private returns (Masked memory) {
        return played(SIZE, 5, 1 << 1, WORD, 0);
    }

    function wrong() private returns (Masked memory) {
        return played(SIZE, 5, 1 << 1, WORD, 1);
    }

    function challenge(Masked memory m) private {
        court.challengeMasked(m.result, m.word, m.openings, m.context, m.leaf, m.path);
    }

    /// Some of the openings of a round.
    function some(Masked memory m, uint256 first, uint256 count)
        private
        pure
        returns (MaskedCases.MaskedOpening[] memory part)
    {
        part = new MaskedCases.MaskedOpening[](count);
        for (uint256 i = 0; i < count; ++i) {
            part[i] = m.openings[first + i];
        }
    }

    function opensWith(Masked memory m, uint256 count) private {
        court.challengeMasked(m.result, m.word, some(m, 0, count), m.context, m.leaf, m.path);
    }

    function add(Masked memory m, uint256 first, uint256 count) private {
        court.addOpenings(m.result, m.word, some(m, first, count), m.context);
    }

    function caseOf(address sender, Masked memory m) private pure returns (bytes32) {
        return keccak256(abi.encode(sender, m.result, m.word, sha256(m.context)));
    }

    function mismatch(uint256 left, uint256 expected) private {
        reverts(abi.encodeWithSelector(Bond.LengthMismatch.selector, left, expected));
    }

    // ------------------------------------------------------------------------------------------- THE SUM

    function test_a_right_sum_stands() public {
        Masked memory m = right();
        reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, 1));
        challenge(m);
        holds(court.disputable(m.result) && !court.disputed(1));
        equal(court.bond(), BOND);
    }

    function test_a_wrong_sum_costs_the_bond() public {
        Masked memory m = wrong();
        opensWith(m, 1);
        vm.expectEmit(address(court));
        emit Bond.AggregateDisputed(1, 1, STRANGER);
        vm.expectEmit(address(court));
        emit Bond.BondSlashed(1, STRANGER, 0, BOND);
        vm.prank(STRANGER);
        challenge(m);
        holds(court.disputed(1));
        equal(court.bond(), 0);
        reverts(abi.encodeWithSelector(Bond.AlreadyDisputed.selector, 1));
        challenge(m);
        reverts(abi.encodeWithSelector(Bond.AlreadyDisputed.selector, 1));
        add(m, 1, 1);
    }

    /// forge-config: ci.fuzz.runs = 100
    function test_any_set_any_word_and_any_error(uint256 missing, uint256 word, uint32 error) public {
        word = word % (SIZE / 4);
        missing = missing % 32;
        vm.assume(missing != 31);
        Masked memory m = played(SIZE, 5, missing, word, error);
        if (error == 0) reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, word / 1024));
        challenge(m);
        holds(court.disputed(1) == (error != 0));
    }

    function test_commitments_in_the_second_leaf_of_a_header() public {
        Masked memory m = played(SIZE, 40, (1 << 2) + (1 << 36) + (1 << 39), WORD, 0);
        reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, 1));
        challenge(m);
        m.openings[5].seeds[3] = "another";
        reverts(abi.encodeWithSelector(MaskedCases.WrongSeed.selector, 6, 39));
        challenge(m);
        m = played(SIZE, 40, (1 << 2) + (1 << 36) + (1 << 39), WORD, 7);
        challenge(m);
        holds(court.disputed(1));
    }

    function test_an_aggregate_that_is_no_vector_is_wrong() public {
        founded(SIZE, 3);
        open(1, 7);
        Masked memory m;
        (m.size, m.participants, m.word, m.context) = (SIZE, 3, WORD, contextOf(3, 1));
        m.openings = new MaskedCases.MaskedOpening[](3);
        uint32 sum;
        for (uint256 seat = 0; seat < 3; ++seat) {
            m.openings[seat] = openingOf(m, seat, uint32(seat));
            submit(m.openings[seat].submission, seat);
            sum += uint32(seat);
        }
        ledger.closeRound(1);
        m.leaf = leafOf("sum", SIZE - 4, WORD); // one word is missing
        put(m.leaf, 4 * (WORD % 1024), sum);
        finish(m, 7);
        challenge(m);
        holds(court.disputed(1));
    }

    // ------------------------------------------------------------------------------------------- THE CASE

    function test_a_case_is_fed_in_several_transactions() public {
        Masked memory m = wrong();
        opensWith(m, 0);
        add(m, 0, 1);
        add(m, 1, 2);
        holds(!court.disputed(1)); // an opening is missing
        equal(court.bond(), BOND);
        add(m, 3, 1);
        holds(court.disputed(1));
    }

    function test_a_case_that_was_fed_wrongly_is_begun_again() public {
        Masked memory m = right();
        opensWith(m, 2);
        opensWith(m, 1);
        add(m, 1, 2);
        reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, 1));
        add(m, 3, 1);
    }

    function test_openings_come_in_the_order_of_seats_with_none_missing_or_twice() public {
        Masked memory m = wrong();
        (m.openings[0], m.openings[1]) = (m.openings[1], m.openings[0]);
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 0));
        challenge(m);
        (m.openings[0], m.openings[1]) = (m.openings[1], m.openings[0]);
        opensWith(m, 1);
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 2)); // seat 1 is not in the sum
        add(m, 0, 1);
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 2));
        add(m, 2, 2);
        MaskedCases.MaskedOpening[] memory five = new MaskedCases.MaskedOpening[](5);
        for (uint256 i = 0; i < 5; ++i) {
            five[i] = m.openings[i % 4];
        }
        m.openings = five;
        mismatch(5, 4);
        challenge(m);
        holds(!court.disputed(1));
    }

    function test_anothers_case_is_not_ones_own() public {
        Masked memory m = wrong();
        opensWith(m, 3);
        reverts(abi.encodeWithSelector(MaskedCases.NoSuchCase.selector, caseOf(STRANGER, m)));
        vm.prank(STRANGER);
        add(m, 3, 1);
        ++m.word;
        reverts(abi.encodeWithSelector(MaskedCases.NoSuchCase.selector, caseOf(address(this), m)));
        add(m, 3, 1);
        --m.word;
        add(m, 3, 1);
        holds(court.disputed(1));
    }

    function test_a_case_has_its_time() public {
        Masked memory m = wrong();
        opensWith(m, 3);
        uint256 until = block.timestamp + HOUR;
        vm.warp(until + 1);
        bytes memory over = abi.encodeWithSelector(Bond.DisputeWindowOver.selector, 1, until);
        reverts(over);
        challenge(m);
        reverts(over);
        add(m, 3, 1);
        vm.warp(until);
        add(m, 3, 1);
        holds(court.disputed(1));
    }

    function test_a_case_is_of_a_result() public {
        Masked memory m = wrong();
        m.result.included = 7;
        reverts(abi.encodeWithSelector(Bond.NotAResult.selector, 1));
        challenge(m);
    }

    function test_a_case_is_of_masked_updates() public {
        Masked memory m = wrong();
        Founding memory f = founding();
        f.openUpdates = true;
        foundWith(f, 1);
        reverts(abi.encodeWithSelector(MaskedCases.UpdatesAreOpen.selector));
        challenge(m);
    }

    function test_the_word_is_one_of_the_aggregate() public {
        Masked memory m = wrong();
        m.word = SIZE / 4;
        reverts(abi.encodeWithSelector(MaskedCases.NoSuchWord.selector, SIZE / 4, SIZE / 4));
        challenge(m);
        m.word = 3;
        reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, address(0)));
        challenge(m);
    }

    // --------------------------------------------------------------------------------------- AN OPENING

    function test_a_seed_is_the_one_that_was_committed_to() public {
        Masked memory m = wrong();
        m.openings[2].seeds[0] = "another";
        reverts(abi.encodeWithSelector(MaskedCases.WrongSeed.selector, 3, 3));
        challenge(m);
        m.openings[2].seeds[0] = ownSeed(3);
        m.openings[2].seeds[1] = pairSeed(3, 4);
        reverts(abi.encodeWithSelector(MaskedCases.WrongSeed.selector, 3, 1));
        challenge(m);
    }

    function test_seeds_are_those_of_everyone_who_is_missing() public {
        Masked memory m = wrong();
        m.openings[0].seeds = new bytes32[](1);
        mismatch(1, 2);
        challenge(m);
        m.openings[0].seeds = new bytes32[](3);
        mismatch(3, 2);
        challenge(m);
    }

    function test_the_context_is_the_one_that_was_masked_under() public {
        Masked memory m = wrong();
        bytes memory context = m.context;
        m.context = contextOf(5, 2); // of another round
        reverts(abi.encodeWithSelector(MaskedCases.WrongHeader.selector, 0));
        challenge(m);
        m.context = cut(context, 0, 254 + 4 * 58); // somebody is hidden
        mismatch(2, 1);
        challenge(m);
        m.context = cut(context, 0, 254 + 4 * 58 - 1);
        reverts(abi.encodeWithSelector(MaskedCases.WrongContext.selector, 254 + 4 * 58 - 1));
        challenge(m);
        m.context = "";
        reverts(abi.encodeWithSelector(MaskedCases.WrongContext.selector, 0));
        challenge(m);
    }

    /// A hospital that writes a header into its vector gets nothing for it.
    function test_a_header_in_a_vector_is_none() public {
        Masked memory m = wrong();
        (bytes[] memory leaf, bytes32[][] memory path) = (new bytes[](1), new bytes32[][](1));
        (leaf[0], path[0]) = (m.openings[0].leaves[1], m.openings[0].paths[1]);
        m.openings[0].leaves = leaf;
        m.openings[0].paths = path;
        mismatch(1, 2);
        challenge(m);
        m = played(SIZE, 40, 1 << 39, WORD, 1);
        MaskedCases.MaskedOpening memory o = m.openings[0];
        (leaf, path) = (new bytes[](2), new bytes32[][](2));
        (leaf[0], leaf[1], path[0], path[1]) = (o.leaves[0], o.leaves[2], o.paths[0], o.paths[2]);
        (o.leaves, o.paths) = (leaf, path);
        mismatch(2, 3);
        challenge(m);
    }

    function test_a_header_is_of_its_hospital_and_its_update() public {
        Masked memory m = wrong();
        for (uint256 at = 0; at < 54; ++at) {
            if (at == 52) continue; // bytes of a sealed share: too many make the header longer than the update
            bytes1 before = m.openings[0].leaves[0][at];
            m.openings[0].leaves[0][at] = ~before;
            bytes memory error = at == 53
                ? abi.encodeWithSelector(Bond.PathDoesNotLead.selector, account(0))
                : abi.encodeWithSelector(MaskedCases.WrongHeader.selector, 0);
            reverts(error);
            challenge(m);
            m.openings[0].leaves[0][at] = before;
        }
        m.openings[0].leaves[0][52] = 0xff;
        reverts(abi.encodeWithSelector(MaskedCases.WrongHeader.selector, 0));
        challenge(m);
    }

    function test_leaves_are_those_of_the_update() public {
        Masked memory m = wrong();
        for (uint256 i = 0; i < 2; ++i) {
            uint256 last = m.openings[1].leaves[i].length - 1;
            bytes1 before = m.openings[1].leaves[i][last];
            m.openings[1].leaves[i][last] = ~before;
            reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, account(2)));
            challenge(m);
            m.openings[1].leaves[i][last] = before;
        }
        m.openings[1].leaves[1] = new bytes(4096);
        reverts(abi.encodeWithSelector(MerkleSum.BadLeaf.selector, 4096, 400));
        challenge(m);
    }

    // -------------------------------------------------------------------------------------- SEEDS PUBLISHED

    function test_seeds_are_published_of_the_latest_round_by_its_coordinator() public {
        founded(SIZE, 3);
        open(1, 7);
        vm.expectEmit(address(court));
        emit MaskedCases.SeedsPublished(1, 1, "root");
        court.publishSeeds(1, "root");
        ledger.abortRound(1, "again");
        open(1, 7);
        vm.expectEmit(address(court));
        emit MaskedCases.SeedsPublished(1, 2, "another");
        court.publishSeeds(1, "another");
        reverts(abi.encodeWithSelector(MaskedCases.NotLatest.selector, 2));
        court.publishSeeds(2, "root");
        reverts(abi.encodeWithSelector(Bond.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        court.publishSeeds(1, "root");
    }
}
