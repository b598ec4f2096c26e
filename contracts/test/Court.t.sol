// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bond} from "../src/Bond.sol";
import {DisputeCourt} from "../src/DisputeCourt.sol";
import {FederationLedger} from "../src/FederationLedger.sol";
import {Founding, Recording, Result, Submission} from "../src/FederationTypes.sol";
import {Party} from "./Party.sol";
import {vm} from "./Vm.sol";

/// @notice A coordinator that is a contract, and does not take ether back.
contract Purse {
    DisputeCourt private immutable _court;

    constructor(DisputeCourt court) {
        _court = court;
    }

    function announce() external {
        _court.announceRelease();
    }

    function release() external {
        _court.releaseBond();
    }
}

contract CourtTest is Party {
    uint128 private constant BOND = 1 ether;
    uint256 private constant LAST = SIZE - 4096; // bytes of the second leaf

    receive() external payable {}

    function setUp() public {
        foundOpen(3);
    }

    function rules() private pure returns (Founding memory f) {
        f = founding();
        f.openUpdates = true;
        f.minimumBond = BOND;
        f.rewardBudget = 0;
    }

    function foundOpen(uint256 hospitals) private {
        foundWith(rules(), hospitals);
        vm.deal(address(this), 10 ether);
        court.postBond{value: BOND}();
    }

    // --------------------------------------------------------------------------------------- VECTORS

    /// A leaf of pseudo-random lanes.
    function leafOf(uint256 seed, uint256 length) private pure returns (bytes memory leaf) {
        leaf = new bytes(length);
        for (uint256 at = 0; at < length; at += 32) {
            bytes32 word = keccak256(abi.encode(seed, at));
            for (uint256 i = at; i < length && i < at + 32; ++i) {
                leaf[i] = word[i - at];
            }
        }
    }

    function leafHash(bytes memory leaf) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", leaf));
    }

    function root(bytes memory first, bytes memory second) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"01", leafHash(first), leafHash(second)));
    }

    /// Lane by lane, byte by byte.
    function naiveSum(bytes memory a, bytes memory b) private pure returns (bytes memory sum) {
        sum = new bytes(a.length);
        for (uint256 lane = 0; lane < a.length; lane += 4) {
            uint256 carry;
            for (uint256 i = lane; i < lane + 4; ++i) {
                carry += uint8(a[i]) + uint256(uint8(b[i]));
                sum[i] = bytes1(uint8(carry));
                carry >>= 8;
            }
        }
    }

    struct Case {
        Result result;
        DisputeCourt.Opening[] openings;
        bytes sum; // of the second leaves
        bytes32[] path;
    }

    function path(bytes32 sibling) private pure returns (bytes32[] memory p) {
        p = new bytes32[](1);
        p[0] = sibling;
    }

    /// A finalized round of the hospitals on the first seats, whose aggregate has `error` added to its sum.
    function played(uint256 hospitals, bytes memory error) private returns (Case memory c) {
        open(1, (1 << hospitals) - 1);
        bytes memory first = leafOf(99, 4096);
        bytes memory firstSum = new bytes(4096);
        c.sum = new bytes(LAST);
        c.openings = new DisputeCourt.Opening[](hospitals);
        for (uint256 i = 0; i < hospitals; ++i) {
            bytes memory second = leafOf(i, LAST);
            Submission memory m = submission(1, i);
            m.root = root(first, second);
            submit(m, i);
            c.openings[i] = DisputeCourt.Opening(m, second, path(leafHash(first)), "", new bytes32[](0));
            c.sum = naiveSum(c.sum, second);
            firstSum = naiveSum(firstSum, first);
        }
        ledger.closeRound(1);
        if (error.length != 0) c.sum = naiveSum(c.sum, error);
        c.path = path(leafHash(firstSum));
        bytes32 aggregate = root(firstSum, c.sum);
        ledger.finalizeRound(1, aggregate, model(1), new address[](0), new string[](0));
        c.result = Result(
            1, 1, uint64(block.timestamp), GENESIS, aggregate, model(1), 0, (1 << hospitals) - 1
        );
    }

    function one() private pure returns (bytes memory error) {
        error = new bytes(LAST);
        error[LAST - 1] = hex"01";
    }

    function challenge(Case memory c) private {
        court.challenge(c.result, 1, c.openings, c.sum, c.path);
    }

    // ------------------------------------------------------------------------------------ CHALLENGES

    function test_a_right_sum_stands() public {
        Case memory c = played(3, "");
        reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, 1));
        challenge(c);
        holds(court.disputable(c.result) && !court.disputed(1));
    }

    function test_a_wrong_sum_costs_the_bond() public {
        Case memory c = played(3, one());
        vm.expectEmit(address(court));
        emit Bond.AggregateDisputed(1, 1, STRANGER);
        vm.expectEmit(address(court));
        emit Bond.BondSlashed(1, STRANGER, 0, BOND);
        vm.prank(STRANGER);
        challenge(c);
        holds(court.disputed(1) && !court.disputable(c.result));
        equal(court.bond(), 0);
        reverts(abi.encodeWithSelector(Bond.AlreadyDisputed.selector, 1));
        challenge(c);
        reverts(abi.encodeWithSelector(Bond.BondTooSmall.selector, 0, BOND));
        this.openNext(2, 7);
        equal(STRANGER.balance, 0);
        equal(address(court).balance, BOND); // for ever
        court.postBond{value: BOND}();
        open(2, 7);
    }

    /// forge-config: ci.fuzz.runs = 100
    function test_any_wrong_value_is_a_wrong_sum(uint256 lane, uint32 by) public {
        vm.assume(by != 0);
        bytes memory error = new bytes(LAST);
        lane = (lane % (LAST / 4)) * 4;
        for (uint256 i = 0; i < 4; ++i) {
            error[lane + i] = bytes1(uint8(by >> (8 * i)));
        }
        Case memory c = played(2, error);
        challenge(c);
        holds(court.disputed(1));
    }

    function test_a_challenge_shows_everything() public {
        Case memory c = played(3, one());
        reverts(abi.encodeWithSelector(DisputeCourt.NoSuchLeaf.selector, 2, 2));
        court.challenge(c.result, 2, c.openings, c.sum, c.path);
        reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, address(0)));
        court.challenge(c.result, 0, c.openings, c.sum, c.path);
        reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, address(0)));
        court.challenge(c.result, 1, c.openings, c.sum, new bytes32[](0));
        reverts(abi.encodeWithSelector(Bond.LengthMismatch.selector, 0, 3));
        court.challenge(c.result, 1, new DisputeCourt.Opening[](0), c.sum, c.path);
        c.openings[1].leaf[0] = ~c.openings[1].leaf[0];
        reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, account(1)));
        challenge(c);
        c.openings[1] = c.openings[0];
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 1));
        challenge(c);
        c.result.included = 1;
        reverts(abi.encodeWithSelector(Bond.NotAResult.selector, 1));
        challenge(c);
        c.result.round = 2;
        reverts(abi.encodeWithSelector(Bond.NotAResult.selector, 2));
        challenge(c);
    }

    function test_an_update_that_is_no_vector_should_not_have_been_included() public {
        open(1, 1);
        bytes memory first = leafOf(99, 4096);
        bytes memory short = leafOf(0, LAST - 4);
        Submission memory m = submission(1, 0);
        m.root = root(first, short);
        submit(m, 0);
        ledger.closeRound(1);
        ledger.finalizeRound(1, m.root, model(1), new address[](0), new string[](0));
        Result memory result = Result(1, 1, uint64(block.timestamp), GENESIS, m.root, model(1), 0, 1);
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](1);
        openings[0] = DisputeCourt.Opening(m, short, path(leafHash(first)), "", new bytes32[](0));
        court.challenge(result, 1, openings, short, path(leafHash(first)));
        holds(court.disputed(1));
    }

    function test_a_sum_that_is_right_without_what_is_no_vector_is_wrong() public {
        open(1, 3);
        bytes memory first = leafOf(99, 4096);
        bytes memory firstSum = naiveSum(first, first);
        bytes memory second = leafOf(0, LAST);
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](2);
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory leaf = i == 0 ? second : leafOf(1, LAST - 4);
            Submission memory m = submission(1, i);
            m.root = root(first, leaf);
            submit(m, i);
            openings[i] = DisputeCourt.Opening(m, leaf, path(leafHash(first)), "", new bytes32[](0));
        }
        ledger.closeRound(1);
        bytes32 sum = root(firstSum, second);
        ledger.finalizeRound(1, sum, model(1), new address[](0), new string[](0));
        Result memory result = Result(1, 1, uint64(block.timestamp), GENESIS, sum, model(1), 0, 3);
        court.challenge(result, 1, openings, second, path(leafHash(firstSum)));
        holds(court.disputed(1));
    }

    function test_what_is_disputable_is_a_result_until_its_last_second() public {
        Case memory c = played(1, "");
        vm.warp(block.timestamp + HOUR);
        holds(court.disputable(c.result));
        c.result.aggregateRoot = "another";
        holds(!court.disputable(c.result));
    }

    function test_a_challenge_has_its_time() public {
        Case memory c = played(1, one());
        uint256 until = block.timestamp + HOUR;
        vm.warp(until + 1);
        holds(!court.disputable(c.result));
        reverts(abi.encodeWithSelector(Bond.DisputeWindowOver.selector, 1, until));
        challenge(c);
        vm.warp(until);
        challenge(c);
    }

    function test_sealed_updates_cannot_be_added() public {
        foundWith(1);
        Case memory c;
        reverts(abi.encodeWithSelector(DisputeCourt.UpdatesAreSealed.selector));
        challenge(c);
    }

    // ------------------------------------------------------------------------------------------ BOND

    function test_no_round_opens_without_the_bond() public {
        foundWith(rules(), 1);
        reverts(abi.encodeWithSelector(Bond.BondTooSmall.selector, 0, BOND));
        this.openNext(1, 1);
        vm.deal(address(this), BOND);
        vm.expectEmit(address(court));
        emit Bond.BondPosted(address(this), BOND, BOND);
        court.postBond{value: BOND}();
        open(1, 1);
    }

    function test_the_bond_is_released_after_the_last_dispute_could_have_been() public {
        open(1, 1);
        reverts(abi.encodeWithSelector(Bond.RoundInProgress.selector));
        court.announceRelease();
        ledger.abortRound(1, "enough");
        reverts(abi.encodeWithSelector(Bond.BondLocked.selector, 0));
        court.releaseBond();
        uint256 at = block.timestamp + HOUR + 1;
        vm.expectEmit(address(court));
        emit Bond.ReleaseAnnounced(at);
        court.announceRelease();
        reverts(abi.encodeWithSelector(Bond.BondTooSmall.selector, 0, BOND));
        this.openNext(1, 1);
        reverts(abi.encodeWithSelector(Bond.BondLocked.selector, at));
        court.releaseBond();
        // A stranger's ether does not pledge the bond again; the coordinator's does.
        vm.deal(STRANGER, 1);
        vm.prank(STRANGER);
        court.postBond{value: 1}();
        equal(court.releaseAt(), at);
        vm.warp(at);
        uint256 before = address(this).balance;
        vm.expectEmit(address(court));
        emit Bond.BondReleased(address(this), uint256(BOND) + 1);
        court.releaseBond();
        equal(address(this).balance, before + BOND + 1);
        court.postBond{value: BOND}();
        equal(court.releaseAt(), 0);
        open(1, 1);
    }

    function test_a_bond_is_released_once() public {
        challenge(played(3, one())); // locked for ever
        court.postBond{value: BOND}();
        court.announceRelease();
        vm.warp(block.timestamp + HOUR + 1);
        court.releaseBond();
        equal(court.bond(), 0);
        court.releaseBond();
        equal(address(court).balance, BOND);
    }

    function test_a_coordinator_that_challenges_itself_first_gets_nothing_back() public {
        uint256 before = address(this).balance;
        challenge(played(3, one()));
        court.announceRelease();
        vm.warp(block.timestamp + HOUR + 1);
        court.releaseBond();
        equal(address(this).balance, before);
        equal(address(court).balance, BOND);
    }

    function test_one_bond_covers_all_rounds_of_its_window() public {
        Case memory c = played(3, one());
        whole(2, 3); // as wrong as the first
        challenge(c);
        equal(court.bond(), 0);
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](0);
        Result memory second = Result(2, 1, uint64(block.timestamp), model(1), "sum", model(2), 0, 7);
        holds(court.disputable(second)); // but there is nothing left to lose
        reverts(abi.encodeWithSelector(Bond.PathDoesNotLead.selector, address(0)));
        court.challenge(second, 1, openings, c.sum, c.path);
        reverts(abi.encodeWithSelector(Bond.BondTooSmall.selector, 0, BOND));
        this.openNext(3, 7);
    }

    function test_the_bond_is_the_coordinators() public {
        bytes memory error = abi.encodeWithSelector(Bond.NotCoordinator.selector, STRANGER);
        reverts(error);
        vm.prank(STRANGER);
        court.announceRelease();
        court.announceRelease();
        vm.warp(block.timestamp + HOUR + 1);
        reverts(error);
        vm.prank(STRANGER);
        court.releaseBond();
        Purse purse = new Purse(court);
        registry.handOver(address(purse));
        reverts(abi.encodeWithSelector(Bond.TransferFailed.selector, address(purse)));
        purse.release();
        purse.announce();
        equal(court.bond(), BOND);
    }

    // ------------------------------------------------------------------------------------------ ROOT

    struct Tree {
        bytes32[256] leaves;
        Result result;
    }

    function treeRoot(bytes32[256] memory leaves) private pure returns (bytes32) {
        bytes32[] memory level = new bytes32[](256);
        for (uint256 i = 0; i < 256; ++i) {
            level[i] = leaves[i];
        }
        while (level.length > 1) {
            bytes32[] memory above = new bytes32[](level.length / 2);
            for (uint256 i = 0; i < above.length; ++i) {
                above[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
            level = above;
        }
        return level[0];
    }

    function treePath(bytes32[256] memory leaves, uint256 seat) private pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](8);
        bytes32[] memory level = new bytes32[](256);
        for (uint256 i = 0; i < 256; ++i) {
            level[i] = leaves[i];
        }
        for (uint256 depth = 0; depth < 8; ++depth) {
            siblings[depth] = level[seat ^ 1];
            for (uint256 i = 0; i < level.length / 2; ++i) {
                level[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
            seat >>= 1;
        }
    }

    function entry(Submission memory m, bytes memory signature) private pure returns (bytes32) {
        return keccak256(abi.encode("fedcxr/submission", hashOf(m), keccak256(signature)));
    }

    function rooted() private {
        Founding memory f = rules();
        f.recording = Recording.Root;
        f.openUpdates = false;
        foundWith(f, 3);
        court.postBond{value: BOND}();
        open(1, 7);
    }

    /// Close and finalize with these leaves.
    function finish(Tree memory t, uint256 included) private {
        finish(t, included, "sum");
    }

    function finish(Tree memory t, uint256 included, bytes32 sum) private {
        bytes32 submissions = treeRoot(t.leaves);
        ledger.closeWithRoot(1, submissions, "list", included);
        ledger.finalizeRound(1, sum, model(1), new address[](0), new string[](0));
        t.result = Result(1, 1, uint64(block.timestamp), GENESIS, sum, model(1), submissions, included);
    }

    function test_a_good_submission_under_a_root_is_proved_and_stands() public {
        rooted();
        Tree memory t;
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(0, hashOf(m));
        t.leaves[0] = entry(m, signature);
        finish(t, 1);
        rotate(0, 9); // what it signed before stands
        bytes32[] memory place = treePath(t.leaves, 0);
        holds(court.provesInclusion(t.result.submissionsRoot, 0, m, signature, place));
        holds(!court.provesInclusion(t.result.submissionsRoot, 1, m, signature, place));
        holds(!court.provesInclusion(t.result.submissionsRoot, 256, m, signature, place));
        holds(!court.provesInclusion(t.result.submissionsRoot, 0, m, signature, new bytes32[](7)));
        holds(!court.provesOmission(t.result.submissionsRoot, 0, place));
        holds(court.provesOmission(t.result.submissionsRoot, 2, treePath(t.leaves, 2)));
        holds(court.provesOmission(t.result.submissionsRoot, 255, treePath(t.leaves, 255)));
        reverts(abi.encodeWithSelector(DisputeCourt.SubmissionGood.selector, 1, 0));
        court.disputeSubmission(t.result, 0, m, signature, place);
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 1));
        court.disputeSubmission(t.result, 1, m, signature, place);
    }

    /// forge-config: ci.fuzz.runs = 100
    function test_a_submission_that_the_ledger_would_not_take_costs_the_bond(uint8 field) public {
        rooted();
        field = field % 10;
        Tree memory t;
        Submission memory m = submission(1, 0);
        uint256 signer = 0;
        if (field == 0) m.federation = "another";
        if (field == 1) m.round = 2;
        if (field == 2) m.attempt = 2;
        if (field == 3) m.base = "other";
        if (field == 4) m.samples = 0;
        if (field == 5) m.samples = 101;
        if (field == 6) m.size = 0;
        if (field == 7) m.root = 0;
        if (field == 8) signer = 1;
        if (field == 9) {
            signer = 9; // a stranger's submission in a hospital's seat
            m.hospital = account(9);
        }
        bytes memory signature = signed(signer, hashOf(m));
        t.leaves[0] = entry(m, signature);
        finish(t, 1);
        bytes32[] memory place = treePath(t.leaves, 0);
        vm.expectEmit(address(court));
        emit DisputeCourt.SubmissionDisputed(1, 0, address(this));
        court.disputeSubmission(t.result, 0, m, signature, place);
        holds(court.disputed(1));
    }

    /// A submission of such a size is disputed; where updates are sealed, in vain.
    function dispute(bool open_, uint64 size) private {
        Tree memory t;
        Founding memory f = rules();
        f.recording = Recording.Root;
        f.openUpdates = open_;
        foundWith(f, 1);
        court.postBond{value: BOND}();
        open(1, 1);
        Submission memory m = submission(1, 0);
        m.size = size;
        bytes memory signature = signed(0, hashOf(m));
        t.leaves[0] = entry(m, signature);
        finish(t, 1);
        bytes32[] memory place = treePath(t.leaves, 0);
        if (!open_) reverts(abi.encodeWithSelector(DisputeCourt.SubmissionGood.selector, 1, 0));
        court.disputeSubmission(t.result, 0, m, signature, place);
    }

    function test_an_open_update_of_another_size_costs_the_bond() public {
        dispute(true, SIZE + 4);
        holds(court.disputed(1));
    }

    function test_a_sealed_update_is_good_in_any_size() public {
        dispute(false, SIZE + 4);
        holds(!court.disputed(1));
    }

    function test_under_a_root_a_chunk_is_of_a_submission_that_is_there() public {
        Founding memory f = rules();
        f.recording = Recording.Root;
        foundWith(f, 1);
        court.postBond{value: BOND}();
        open(1, 1);
        bytes memory first = leafOf(99, 4096);
        bytes memory second = leafOf(0, LAST);
        Submission memory m = submission(1, 0);
        m.root = root(first, second);
        Tree memory t;
        t.leaves[0] = entry(m, signed(0, hashOf(m)));
        finish(t, 1, m.root);
        // Another vector, as well signed.
        bytes memory other = leafOf(1, LAST);
        m.root = root(first, other);
        bytes32[] memory siblings = path(leafHash(first));
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](1);
        openings[0] = DisputeCourt.Opening(m, other, siblings, signed(0, hashOf(m)), treePath(t.leaves, 0));
        reverts(abi.encodeWithSelector(Bond.NotCommitted.selector, 0));
        court.challenge(t.result, 1, openings, second, siblings);
    }

    function test_a_submission_is_disputed_in_its_time() public {
        rooted();
        Tree memory t;
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(1, hashOf(m));
        t.leaves[0] = entry(m, signature);
        finish(t, 1);
        bytes32[] memory place = treePath(t.leaves, 0);
        uint256 until = block.timestamp + HOUR;
        vm.warp(until + 1);
        reverts(abi.encodeWithSelector(Bond.DisputeWindowOver.selector, 1, until));
        court.disputeSubmission(t.result, 0, m, signature, place);
    }

    function test_an_omission_is_disputed_in_its_time() public {
        rooted();
        Tree memory t;
        finish(t, 1);
        bytes32[] memory place = treePath(t.leaves, 0);
        uint256 until = block.timestamp + HOUR;
        vm.warp(until + 1);
        reverts(abi.encodeWithSelector(Bond.DisputeWindowOver.selector, 1, until));
        court.disputeOmission(t.result, 0, place);
    }

    function test_anothers_seat_is_not_ones_own() public {
        rooted();
        Tree memory t;
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(0, hashOf(m));
        t.leaves[1] = entry(m, signature);
        finish(t, 2);
        court.disputeSubmission(t.result, 1, m, signature, treePath(t.leaves, 1));
        holds(court.disputed(1));
    }

    function test_an_included_hospital_without_a_submission_costs_the_bond() public {
        rooted();
        Tree memory t;
        Submission memory m = submission(1, 0);
        t.leaves[0] = entry(m, signed(0, hashOf(m)));
        finish(t, 3);
        bytes32[] memory place = treePath(t.leaves, 0);
        reverts(abi.encodeWithSelector(DisputeCourt.NotOmitted.selector, 0));
        court.disputeOmission(t.result, 0, place);
        place = treePath(t.leaves, 2);
        reverts(abi.encodeWithSelector(DisputeCourt.NotOmitted.selector, 2));
        court.disputeOmission(t.result, 2, place); // empty, and not included
        place = treePath(t.leaves, 1);
        court.disputeOmission(t.result, 1, place);
        holds(court.disputed(1));
    }

    /// forge-config: ci.fuzz.runs = 16
    function test_a_chunk_is_challenged_under_a_root_too(bool wrong) public {
        Founding memory f = rules();
        f.recording = Recording.Root;
        foundWith(f, 1);
        court.postBond{value: BOND}();
        open(1, 1);
        bytes memory first = leafOf(99, 4096);
        bytes memory second = leafOf(0, LAST);
        Submission memory m = submission(1, 0);
        m.root = root(first, second);
        bytes memory signature = signed(0, hashOf(m));
        Tree memory t;
        t.leaves[0] = entry(m, signature);
        bytes32 submissions = treeRoot(t.leaves);
        ledger.closeWithRoot(1, submissions, "list", 1);
        bytes memory aggregate = wrong ? naiveSum(second, one()) : second;
        bytes32 sum = root(first, aggregate);
        ledger.finalizeRound(1, sum, model(1), new address[](0), new string[](0));
        Result memory result = Result(1, 1, uint64(block.timestamp), GENESIS, sum, model(1), submissions, 1);
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](1);
        openings[0] =
            DisputeCourt.Opening(m, second, path(leafHash(first)), signature, treePath(t.leaves, 0));
        bytes32[] memory siblings = path(leafHash(first));
        if (!wrong) reverts(abi.encodeWithSelector(Bond.AggregateCorrect.selector, 1, 1));
        court.challenge(result, 1, openings, aggregate, siblings);
        holds(court.disputed(1) == wrong);
    }

    function openNext(uint64 number, uint256 seats) external {
        open(number, seats);
    }
}
