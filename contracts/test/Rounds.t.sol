// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FederationLedger} from "../src/FederationLedger.sol";
import {Founding, Phase, Recording, Refusal, Result, Submission, Weighting} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {Rounds} from "../src/Rounds.sol";
import {SignedMessages} from "../src/SignedMessages.sol";
import {Party} from "./Party.sol";
import {Vm, vm} from "./Vm.sol";

contract RoundsTest is Party {
    function setUp() public {
        foundWith(3);
    }

    // --------------------------------------------------------------------------------------- A ROUND

    function test_a_round_from_its_opening_to_its_result() public {
        address[] memory participants = accounts(0, 3);
        uint32[] memory weights = new uint32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            weights[i] = uint32(1 + ((100 + i) * (4096 - 3)) / 303);
        }
        vm.expectEmit(address(ledger));
        emit Rounds.RoundOpened(
            1, 1, GENESIS, "round", uint64(block.timestamp) + HOUR, 7, participants, weights
        );
        open(1, 7);
        inPhase(Phase.Open);
        equal(ledger.roundConfigDigest(), "round");
        equal(ledger.weightOf(101), weights[1]);
        holds(ledger.inProgress());

        Submission memory m = submission(1, 1);
        bytes memory signature = signed(1, hashOf(m));
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateAccepted(1, account(1), m.root, m.samples, m.size, m.metrics, signature);
        ledger.submitUpdate(m, signature);
        equal(ledger.commitmentOf(1, 1, 1), hashOf(m));
        equal(ledger.structHash(m), hashOf(m));
        equal(ledger.signerOf(m, signature), account(1));
        equal(standing(), 2);

        vm.expectEmit(address(ledger));
        emit Rounds.RoundClosed(1, 1, 2, 0);
        vm.expectEmit(address(ledger));
        emit Rounds.RoundValidated(1, 1, 2);
        ledger.closeRound(1);
        inPhase(Phase.Validated);

        vm.expectEmit(address(ledger));
        emit Rounds.RoundFinalized(1, 1, "sum", model(1), 0, 2);
        finalize(1);
        inPhase(Phase.Finalized);
        holds(!ledger.inProgress());
        equal(ledger.lastFinalized(), 1);
        equal(ledger.modelDigest(), model(1));
        Result memory result = Result(1, 1, uint64(block.timestamp), GENESIS, "sum", model(1), 0, 2);
        equal(ledger.resultOf(1), keccak256(abi.encode(result)));
        equal(ledger.resultOf(1), ledger.resultHash(result));
    }

    function test_before_the_first_round_there_is_none() public view {
        (uint64 number, uint64 tried, Phase now_,,, uint256 participants, uint256 seats) = ledger.latestRound();
        holds(number == 0 && tried == 0 && now_ == Phase.None && participants == 0 && seats == 0);
        equal(ledger.lastFinalized(), 0);
    }

    function test_the_next_round_starts_from_the_model_of_the_last() public {
        whole(1, 3);
        whole(2, 2);
        (uint64 number,,,,, uint256 participants, uint256 seats) = ledger.latestRound();
        holds(number == 2 && participants == 3 && seats == 3);
        equal(ledger.modelDigest(), model(2));
    }

    function test_an_auditor_is_one_with_a_key() public {
        equal(ledger.auditorKeyDigest(), 0);
        Founding memory f = founding();
        f.auditorKey = "auditor's key";
        found(f);
        equal(ledger.auditorKeyDigest(), sha256("auditor's key"));
    }

    // --------------------------------------------------------------------------------------- OPENING

    function test_the_coordinator_alone_opens() public {
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.openRound(1, GENESIS, "round", 7, uint48(block.timestamp) + 1);
    }

    function test_a_round_opens_with_everything_in_order() public {
        uint48 later = uint48(block.timestamp) + 1;
        reverts(abi.encodeWithSelector(Rounds.WrongRound.selector, 1, 2));
        ledger.openRound(2, GENESIS, "round", 7, later);
        reverts(abi.encodeWithSelector(Rounds.WrongBase.selector, GENESIS, bytes32("other")));
        ledger.openRound(1, "other", "round", 7, later);
        reverts(abi.encodeWithSelector(Rounds.DeadlineInPast.selector, later - 1));
        ledger.openRound(1, GENESIS, "round", 7, later - 1);
        reverts(abi.encodeWithSelector(Rounds.NoParticipants.selector));
        ledger.openRound(1, GENESIS, "round", 0, later);
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, uint256(8)));
        ledger.openRound(1, GENESIS, "round", 15, later);
        ledger.openRound(1, GENESIS, "round", 7, later);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Open));
        ledger.openRound(1, GENESIS, "round", 7, later);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Open));
        ledger.openRound(2, GENESIS, "round", 7, later);
    }

    function test_a_round_needs_as_many_participants_as_updates() public {
        Founding memory f = founding();
        f.minUpdates = 2;
        foundWith(f, 3);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 1, 2));
        ledger.openRound(1, GENESIS, "round", 4, uint48(block.timestamp) + 1);
    }

    function test_a_round_needs_an_update_where_none_is_asked_for() public {
        Founding memory f = founding();
        f.minUpdates = 0;
        foundWith(f, 1);
        open(1, 1);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 0, 1));
        ledger.closeRound(1);
    }

    function test_no_number_of_samples_is_too_large_for_a_round() public {
        for (uint256 i = 3; i < 6; ++i) {
            register(i, HOSPITAL, type(uint64).max);
        }
        open(1, 63);
        equal(ledger.weightOf(type(uint64).max), 1364); // 1 + (4096 - 6) / 3, and a little less
        equal(ledger.weightOf(100), 1);
        submitAll(1, 0, 3);
        ledger.closeRound(1);
        finalize(1);
        ledger.settle();
    }

    /// forge-config: ci.fuzz.runs = 1000
    function test_weights_sum_to_at_most_4096(uint64[8] memory samples, bool uniform) public {
        Founding memory f = founding();
        f.weighting = uniform ? Weighting.Uniform : Weighting.Samples;
        found(f);
        for (uint256 i = 0; i < 8; ++i) {
            register(i, HOSPITAL, samples[i] % 2 ** 60 + 1);
        }
        open(1, 255);
        uint256 sum;
        for (uint256 i = 0; i < 8; ++i) {
            uint32 weight = ledger.weightOf(samples[i] % 2 ** 60 + 1);
            holds(weight >= 1);
            sum += weight;
        }
        holds(sum <= 4096 && sum > 4096 - 8 - 1);
    }

    // ------------------------------------------------------------------------------------ SUBMITTING

    function test_a_bad_submission_is_rejected_with_its_reason() public {
        open(1, 3);
        Submission memory m = submission(1, 0);
        m.federation = "another";
        rejects(m, abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        m = submission(1, 0);
        m.round = 2;
        rejects(m, abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Open));
        m.round = 0;
        rejects(m, abi.encodeWithSelector(Rounds.WrongPhase.selector, 0, Phase.Open));
        m = submission(1, 0);
        m.attempt = 2;
        rejects(m, abi.encodeWithSelector(Rounds.WrongAttempt.selector, 1, 2));
        m = submission(1, 9);
        rejects(m, abi.encodeWithSelector(Membership.NotActive.selector, account(9)));
        m = submission(1, 2);
        rejects(m, abi.encodeWithSelector(Rounds.NotParticipant.selector, account(2)));
        m = submission(1, 0);
        m.base = "other";
        rejects(m, abi.encodeWithSelector(Rounds.WrongBase.selector, GENESIS, m.base));
        m = submission(1, 0);
        m.samples = 0;
        rejects(m, abi.encodeWithSelector(Membership.NoSamples.selector, account(0)));
        m.samples = 101;
        rejects(m, abi.encodeWithSelector(Rounds.TooManySamples.selector, 100, 101));
        m = submission(1, 0);
        m.size = 0;
        rejects(m, abi.encodeWithSelector(Rounds.EmptyUpdate.selector, account(0)));
        m = submission(1, 0);
        m.root = 0;
        rejects(m, abi.encodeWithSelector(Rounds.EmptyUpdate.selector, account(0)));
        m = submission(1, 0);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(1)));
        this.submitSigned(m, 1);
        equal(standing(), 0);
    }

    function test_an_open_update_has_the_size_of_the_vector() public {
        Founding memory f = founding();
        f.openUpdates = true;
        foundWith(f, 1);
        open(1, 1);
        Submission memory m = submission(1, 0);
        m.size = SIZE + 4;
        rejects(m, abi.encodeWithSelector(Rounds.WrongSize.selector, SIZE, SIZE + 4));
        submit(1, 0);
    }

    function test_a_sealed_update_has_whatever_size_its_envelope_has() public {
        open(1, 1);
        Submission memory m = submission(1, 0);
        m.size = SIZE + 4;
        submit(m, 0);
        equal(standing(), 1);
    }

    function test_late_is_after_the_deadline() public {
        open(1, 7);
        uint256 deadline = block.timestamp + HOUR;
        vm.warp(deadline);
        submit(1, 0);
        vm.warp(deadline + 1);
        rejects(submission(1, 1), abi.encodeWithSelector(Rounds.DeadlinePassed.selector, deadline));
    }

    function test_one_update_a_hospital_and_round() public {
        open(1, 7);
        submit(1, 0);
        Submission memory m = submission(1, 0);
        bytes memory twice = abi.encodeWithSelector(Rounds.AlreadySubmitted.selector, 1, account(0));
        rejects(m, twice);
        m.root = "another update";
        rejects(m, twice);
        // Another key of the same seat is no other hospital.
        rotate(0, 9);
        reverts(abi.encodeWithSelector(Rounds.AlreadySubmitted.selector, 1, account(9)));
        this.submitFor(1, 9);
    }

    function test_in_a_batch_none_blocks_another() public {
        open(1, 7);
        (Submission[] memory messages, bytes[] memory signatures) = batch(1, 0, 3);
        messages[1] = messages[0];
        signatures[1] = signatures[0];
        signatures[2] = hex"00";
        vm.recordLogs();
        ledger.submitUpdates(messages, signatures);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        equal(logs.length, 3);
        equal(logs[0].topics[0], Rounds.UpdateAccepted.selector);
        equal(logs[1].topics[0], Rounds.UpdateRejected.selector);
        (, bytes memory reason) = abi.decode(logs[1].data, (bytes32, bytes));
        holds(keccak256(reason) == keccak256(abi.encodeWithSelector(Rounds.AlreadySubmitted.selector, 1, account(0))));
        (, reason) = abi.decode(logs[2].data, (bytes32, bytes));
        holds(
            keccak256(reason)
                == keccak256(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(2), address(0)))
        );
        equal(standing(), 1);
        reverts(abi.encodeWithSelector(Rounds.LengthMismatch.selector, 3, 0));
        ledger.submitUpdates(messages, new bytes[](0));
    }

    function test_a_submission_belongs_to_its_attempt_its_round_and_its_contract() public {
        open(1, 7);
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(0, hashOf(m));
        ledger.abortRound(1, "again");
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Aborted));
        ledger.submitUpdate(m, signature);
        open(1, 7);
        reverts(abi.encodeWithSelector(Rounds.WrongAttempt.selector, 2, 1));
        ledger.submitUpdate(m, signature);
        submit(1, 1);
        ledger.closeRound(1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Validated));
        ledger.submitUpdate(m, signature);
        finalize(1);
        open(2, 7);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Open));
        ledger.submitUpdate(m, signature);
        foundWith(1);
        open(1, 1);
        vm.expectRevert();
        ledger.submitUpdate(m, signature);
    }

    function test_a_submission_that_was_changed_is_no_longer_signed(
        uint256 field,
        uint64 number,
        bytes32 word
    ) public {
        open(1, 7);
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(0, hashOf(m));
        Submission memory changed = submission(1, 0);
        field = field % 9;
        if (field == 0) changed.federation = word;
        if (field == 1) changed.round = number;
        if (field == 2) changed.attempt = number;
        if (field == 3) changed.hospital = address(uint160(uint256(word)));
        if (field == 4) changed.base = word;
        if (field == 5) changed.root = word;
        if (field == 6) changed.samples = number;
        if (field == 7) changed.size = number;
        if (field == 8) changed.metrics = word;
        vm.assume(hashOf(changed) != hashOf(m));
        vm.expectRevert();
        ledger.submitUpdate(changed, signature);
    }

    function test_a_signature_has_one_form(uint8 v, bytes32 r, bytes32 s, uint8 length) public {
        open(1, 7);
        Submission memory m = submission(1, 0);
        bytes memory forged = abi.encodePacked(r, s, v, r);
        assembly ("memory-safe") {
            mstore(forged, mod(length, 98))
        }
        vm.expectRevert();
        ledger.submitUpdate(m, forged);
        // The other s of the same signature.
        bytes memory good = signed(0, hashOf(m));
        (bytes32 r_, bytes32 s_) = abi.decode(good, (bytes32, bytes32));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes memory other = abi.encodePacked(r_, bytes32(order - uint256(s_)), uint8(good[64]) ^ 7);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), address(0)));
        ledger.submitUpdate(m, other);
    }

    function test_no_update_slips_in_as_one_of_round_zero_while_none_is_open() public {
        open(1, 7);
        submitAll(1, 0, 2);
        ledger.closeRound(1);
        Submission memory m = submission(1, 2);
        m.round = 0;
        bytes memory signature = signed(2, hashOf(m));
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 0, Phase.Validated));
        ledger.submitUpdate(m, signature);
        equal(standing(), 3);
    }

    // --------------------------------------------------------------------------------------- CLOSING

    function test_who_closes_when() public {
        open(1, 3);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 0, 1));
        ledger.closeRound(1);
        submit(1, 0);
        uint256 deadline = block.timestamp + HOUR;
        reverts(abi.encodeWithSelector(Rounds.StillOpen.selector, 1, deadline));
        vm.prank(STRANGER);
        ledger.closeRound(1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Open));
        ledger.closeRound(2);
        vm.warp(deadline + 1);
        vm.prank(STRANGER);
        ledger.closeRound(1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Validated));
        ledger.closeRound(1);
    }

    function test_at_the_deadline_itself_a_stranger_does_not_close() public {
        open(1, 3);
        submit(1, 0);
        uint256 deadline = block.timestamp + HOUR;
        vm.warp(deadline);
        reverts(abi.encodeWithSelector(Rounds.StillOpen.selector, 1, deadline));
        vm.prank(STRANGER);
        ledger.closeRound(1);
    }

    function test_anyone_closes_when_all_are_in() public {
        open(1, 3);
        submitAll(1, 0, 2);
        vm.prank(STRANGER);
        ledger.closeRound(1);
    }

    function test_each_way_of_recording_closes_in_its_way() public {
        open(1, 3);
        submit(1, 0);
        reverts(abi.encodeWithSelector(Rounds.WrongRecording.selector, Recording.Each));
        ledger.closeWithRoot(1, "root", "list", 1);
        rooted(3);
        open(1, 3);
        reverts(abi.encodeWithSelector(Rounds.WrongRecording.selector, Recording.Root));
        ledger.closeRound(1);
    }

    // ------------------------------------------------------------------------------------------ ROOT

    function rooted(uint256 hospitals) private {
        Founding memory f = founding();
        f.recording = Recording.Root;
        foundWith(f, hospitals);
    }

    function test_one_root_records_all() public {
        rooted(3);
        open(1, 7);
        submit(1, 2);
        vm.expectEmit(address(ledger));
        emit Rounds.SubmissionsCommitted(1, 1, "root", "list", 5);
        ledger.closeWithRoot(1, "root", "list", 5);
        finalize(1);
        Result memory result = Result(1, 1, uint64(block.timestamp), GENESIS, "sum", model(1), "root", 5);
        equal(ledger.resultOf(1), keccak256(abi.encode(result)));
    }

    function test_a_root_is_of_participants_that_are_active() public {
        rooted(3);
        open(1, 3);
        submit(1, 0);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.closeWithRoot(1, "root", "list", 1);
        reverts(abi.encodeWithSelector(Rounds.SubmissionsMissing.selector, uint256(1)));
        ledger.closeWithRoot(1, "root", "list", 2);
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, uint256(4)));
        ledger.closeWithRoot(1, "root", "list", 7);
        registry.suspend(account(0));
        registry.suspend(account(1));
        reverts(abi.encodeWithSelector(Rounds.UnknownSeats.selector, uint256(2)));
        ledger.closeWithRoot(1, "root", "list", 3);
        ledger.closeWithRoot(1, "root", "list", 1); // submitted before
    }

    function test_a_stranger_does_not_abort_a_round_whose_root_is_on_its_way() public {
        rooted(3);
        open(1, 3);
        vm.warp(block.timestamp + HOUR + 1);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.abortRound(1, "mine");
        ledger.closeWithRoot(1, "root", "list", 3);
    }

    // ------------------------------------------------------------------------------------ FINALIZING

    function test_what_is_excluded_has_its_reason_and_is_not_in_the_result() public {
        closed(1, 3);
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateExcluded(1, account(1), "it does not open");
        exclude(1, 1);
        equal(standing(), 5);
    }

    function test_a_result_is_the_coordinators_and_of_what_was_accepted() public {
        open(1, 7);
        submit(1, 0);
        submit(1, 1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Open));
        finalize(1);
        ledger.closeRound(1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Validated));
        finalize(2);
        address[] memory nobody = new address[](0);
        string[] memory none = new string[](0);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.finalizeRound(1, "sum", "model", nobody, none);
        reverts(abi.encodeWithSelector(Rounds.NoModel.selector, 1));
        ledger.finalizeRound(1, "sum", 0, nobody, none);
        reverts(abi.encodeWithSelector(Rounds.LengthMismatch.selector, 0, 1));
        ledger.finalizeRound(1, "sum", "model", nobody, new string[](1));
        reverts(abi.encodeWithSelector(Rounds.LengthMismatch.selector, 1, 0));
        ledger.finalizeRound(1, "sum", "model", accounts(0, 1), none);
        reverts(abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, account(2)));
        exclude(1, 2);
        reverts(abi.encodeWithSelector(Membership.NotRegistered.selector, account(9)));
        exclude(1, 9);
        reverts(abi.encodeWithSelector(Rounds.QuorumMissing.selector, 0, 1));
        ledger.finalizeRound(1, "sum", "model", accounts(0, 2), new string[](2));
        finalize(1);
    }

    function test_a_hospital_is_not_excluded_twice_under_two_keys() public {
        closed(1, 3);
        rotate(0, 9);
        address[] memory keys = new address[](2);
        keys[0] = account(0);
        keys[1] = account(9);
        reverts(abi.encodeWithSelector(Rounds.NotAccepted.selector, 1, account(9)));
        ledger.finalizeRound(1, "sum", "model", keys, new string[](2));
    }

    function test_a_finalized_round_is_finalized_once(bytes32 other) public {
        whole(1, 2);
        bytes32 result = ledger.resultOf(1);
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Finalized));
        ledger.finalizeRound(1, other, other | bytes32(uint256(1)), new address[](0), new string[](0));
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Finalized));
        ledger.finalizeRound(2, other, other | bytes32(uint256(1)), new address[](0), new string[](0));
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Finalized));
        ledger.abortRound(1, "again");
        equal(ledger.resultOf(1), result);
    }

    // -------------------------------------------------------------------------------------- ABORTING

    function test_from_an_aborted_round_nothing_leads_to_a_result() public {
        open(1, 7);
        submit(1, 0);
        vm.expectEmit(address(ledger));
        emit Rounds.RoundAborted(1, 1, address(this), "again");
        ledger.abortRound(1, "again");
        bytes memory aborted = abi.encodeWithSelector(Rounds.WrongPhase.selector, 1, Phase.Aborted);
        reverts(aborted);
        ledger.closeRound(1);
        reverts(aborted);
        finalize(1);
        reverts(aborted);
        ledger.validateRound(1);
        reverts(aborted);
        ledger.abortRound(1, "again");
        (uint64 number,, Phase now_,,,,) = ledger.latestRound();
        holds(number == 1 && now_ == Phase.Aborted);

        open(1, 7);
        holds(attempt() == 2 && standing() == 0);
        equal(ledger.commitmentOf(1, 2, 0), 0);
        submit(1, 1);
        ledger.closeRound(1);
        ledger.abortRound(1, "once more");
        reverts(aborted);
        finalize(1);
        whole(1, 2);
        (, uint64 tried,,,,,) = ledger.latestRound();
        equal(tried, 3);
        open(2, 7);
        equal(attempt(), 1);
    }

    function test_a_stranger_aborts_what_cannot_be_finished_any_more() public {
        Founding memory f = founding();
        f.minUpdates = 2;
        foundWith(f, 3);
        open(1, 7);
        submit(1, 0);
        bytes memory error = abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER);
        reverts(error);
        vm.prank(STRANGER);
        ledger.abortRound(1, "late");
        vm.warp(block.timestamp + HOUR + 1);
        vm.prank(STRANGER);
        ledger.abortRound(1, "late");
        closed(1, 2);
        vm.warp(block.timestamp + HOUR + 1);
        reverts(error);
        vm.prank(STRANGER);
        ledger.abortRound(1, "late");
        ledger.abortRound(1, "by the coordinator");
        reverts(abi.encodeWithSelector(Rounds.WrongPhase.selector, 2, Phase.Aborted));
        ledger.abortRound(2, "no such round");
    }

    function test_at_the_deadline_itself_a_stranger_does_not_abort() public {
        open(1, 7);
        vm.warp(block.timestamp + HOUR);
        reverts(abi.encodeWithSelector(Membership.NotCoordinator.selector, STRANGER));
        vm.prank(STRANGER);
        ledger.abortRound(1, "late");
    }

    // -------------------------------------------------------------------------------------- REFUSING

    function test_a_hospital_puts_on_record_what_it_was_handed() public {
        open(1, 7);
        Refusal memory m = Refusal(FEDERATION, 1, account(0), "crafted");
        bytes memory signature = signed(0, hashOf(m));
        vm.expectEmit(address(ledger));
        emit Rounds.BaseRefused(1, account(0), "crafted", signature);
        ledger.refuseBase(m, signature);
        reverts(abi.encodeWithSelector(SignedMessages.BadSignature.selector, account(0), account(1)));
        this.refuse(m, 1);
        m.federation = "another";
        reverts(abi.encodeWithSelector(SignedMessages.WrongFederation.selector, FEDERATION, m.federation));
        this.refuse(m, 0);
        register(8, VALIDATOR, 0);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(8)));
        this.refuse(Refusal(FEDERATION, 1, account(8), "crafted"), 8);
        reverts(abi.encodeWithSelector(Membership.NotActive.selector, account(9)));
        this.refuse(Refusal(FEDERATION, 1, account(9), "crafted"), 9);
    }

    // ------------------------------------------------------------------------------- THE STATE MACHINE

    /// From every state, every transition with every number: only the ones on the map are taken.
    function test_only_the_transitions_on_the_map_are_taken(uint8 state, uint8 call, uint64 number) public {
        state = state % 5;
        call = call % 4;
        number = number % 4;
        if (state != 0) open(1, 7);
        if (state != 0) submit(1, 0);
        if (state == 2 || state == 3) ledger.closeRound(1);
        if (state == 3) finalize(1);
        if (state == 4) ledger.abortRound(1, "");
        Phase before = phase();
        bool opens = call == 0 && (state == 0 || state == 4) && number == 1;
        opens = opens || (call == 0 && state == 3 && number == 2);
        bool closes = call == 1 && state == 1 && number == 1;
        bool finalizes = call == 2 && state == 2 && number == 1;
        bool aborts = call == 3 && (state == 1 || state == 2) && number == 1;
        try this.step(call, number) {
            holds(opens || closes || finalizes || aborts);
            inPhase(opens ? Phase.Open : closes ? Phase.Validated : finalizes ? Phase.Finalized : Phase.Aborted);
        } catch {
            holds(!(opens || closes || finalizes || aborts));
            inPhase(before);
        }
    }

    function step(uint8 call, uint64 number) external {
        bytes32 base = ledger.modelDigest();
        if (call == 0) ledger.openRound(number, base, "round", 7, uint48(block.timestamp) + HOUR);
        if (call == 1) ledger.closeRound(number);
        if (call == 2) finalize(number);
        if (call == 3) ledger.abortRound(number, "");
    }

    // -------------------------------------------------------------------------------------- CALLABLE

    function submitFor(uint64 round, uint256 member) external {
        submit(round, member);
    }

    function submitSigned(Submission memory m, uint256 signer) external {
        submit(m, signer);
    }

    function refuse(Refusal memory m, uint256 signer) external {
        ledger.refuseBase(m, signed(signer, hashOf(m)));
    }

    function rejects(Submission memory m, bytes memory reason) private {
        uint256 signer = m.hospital == account(9) ? 9 : m.hospital == account(2) ? 2 : m.hospital == account(1) ? 1 : 0;
        bytes memory signature = signed(signer, hashOf(m));
        reverts(reason);
        ledger.submitUpdate(m, signature);
        Submission[] memory messages = new Submission[](1);
        bytes[] memory signatures = new bytes[](1);
        messages[0] = m;
        signatures[0] = signature;
        vm.expectEmit(address(ledger));
        emit Rounds.UpdateRejected(m.round, m.hospital, m.root, reason);
        ledger.submitUpdates(messages, signatures);
    }
}
