// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DisputeCourt} from "../src/DisputeCourt.sol";
import {FederationLedger} from "../src/FederationLedger.sol";
import {
    Admission,
    Approval,
    Attestation,
    Bounds,
    Departure,
    Founding,
    Phase,
    Recording,
    Refusal,
    Registration,
    Result,
    Rotation,
    Submission,
    Weighting
} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {Registry} from "../src/Registry.sol";
import {Rounds} from "../src/Rounds.sol";
import {vm} from "./Vm.sol";

/// @notice A federation, its keys, and what its members sign. This contract is the coordinator.
/// @dev The typed data is hashed here anew, from the text of EIP-712.
abstract contract Party {
    bytes32 internal constant FEDERATION = "federation";
    bytes32 internal constant GENESIS = "genesis";
    bytes internal constant KEY = "envelope key";
    uint32 internal constant HOUR = 3600;
    uint64 internal constant SIZE = 4096 + 400; // two leaves, the second of them short
    uint8 internal constant HOSPITAL = 1;
    uint8 internal constant VALIDATOR = 2;
    uint8 private constant COVERAGE = 2; // forge's context
    address internal constant STRANGER = address(0xbad);

    FederationLedger internal ledger;
    Registry internal registry; // the ledger, as what it is about members
    DisputeCourt internal court;

    // ------------------------------------------------------------------------------------- FOUNDING

    function founding() internal pure returns (Founding memory f) {
        f.federation = FEDERATION;
        f.genesisDigest = GENESIS;
        f.layoutDigest = "layout";
        f.configDigest = "config";
        f.minUpdates = 1;
        f.validationWindow = HOUR;
        f.disputeWindow = HOUR;
        f.updateSize = SIZE;
        f.rewardBudget = 1_000_003;
        f.coordinatorKey = "coordinator's key";
    }

    /// Bounds that no test runs into; RoundRules.t.sol has those that are run into.
    function bounds() internal pure returns (Bounds memory) {
        return Bounds(1000, 1, 0);
    }

    function found(Founding memory f, Bounds memory b) internal {
        vm.roll(100);
        vm.warp(1_000_000);
        deploy(f, b);
        court = ledger.court();
    }

    function found(Founding memory f) internal {
        found(f, bounds());
    }

    /// Deploy the shipped artifact; or, to see which lines of the sources run, what forge has made of them.
    function deploy(Founding memory f, Bounds memory b) internal {
        address code = create(shipped("Registry.sol:Registry", ".registry_bytecode"));
        deploy(code.codehash, Registry(code), f, b);
    }

    function deploy(bytes32 registryCode, Registry code, Founding memory f, Bounds memory b) internal {
        bytes memory creation = shipped("FederationLedger.sol:FederationLedger", ".bytecode");
        ledger = FederationLedger(create(bytes.concat(creation, abi.encode(registryCode, code, f, b))));
        registry = Registry(address(ledger));
    }

    function shipped(string memory made, string memory key) private view returns (bytes memory) {
        if (vm.isContext(COVERAGE)) return vm.getCode(made);
        return vm.parseJsonBytes(vm.readFile("../fedcxr/ledger/artifacts/FederationLedger.json"), key);
    }

    function create(bytes memory code) private returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
            if iszero(made) {
                let buffer := mload(0x40)
                returndatacopy(buffer, 0, returndatasize())
                revert(buffer, returndatasize())
            }
        }
    }

    function found() internal {
        found(founding());
    }

    /// Found with hospitals of 100, 101, … samples on the first seats.
    function foundWith(Founding memory f, uint256 hospitals) internal {
        found(f);
        for (uint256 i = 0; i < hospitals; ++i) {
            register(i, HOSPITAL, uint64(100 + i));
        }
    }

    function foundWith(uint256 hospitals) internal {
        foundWith(founding(), hospitals);
    }

    /// Found with a committee of so many, and as many hospitals on the seats behind them.
    function foundCommittee(uint8 size, uint256 hospitals) internal {
        Founding memory f = founding();
        f.committeeSize = size;
        found(f);
        for (uint256 i = 0; i < size; ++i) {
            register(i, VALIDATOR, 0);
        }
        for (uint256 i = 0; i < hospitals; ++i) {
            register(size + i, HOSPITAL, uint64(100 + i));
        }
    }

    // ----------------------------------------------------------------------------------------- KEYS

    function secret(uint256 member) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("member", member))) >> 8;
    }

    function account(uint256 member) internal pure returns (address) {
        return vm.addr(secret(member));
    }

    function accounts(uint256 first, uint256 count) internal pure returns (address[] memory list) {
        list = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = account(first + i);
        }
    }

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("FederationLedger"),
                keccak256("1"),
                block.chainid,
                address(ledger)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function signed(uint256 member, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret(member), digestOf(structHash));
        return abi.encodePacked(r, s, v);
    }

    // ------------------------------------------------------------------------------------- MESSAGES

    function hashOf(Registration memory m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Registration(bytes32 federation,address member,uint8 roles,uint64 samples,bytes32 envelopeKeyDigest)"
                ),
                m.federation,
                m.member,
                m.roles,
                m.samples,
                m.envelopeKeyDigest
            )
        );
    }

    function hashOf(Rotation memory m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Rotation(bytes32 federation,address member,address successor,bytes32 envelopeKeyDigest)"
                ),
                m.federation,
                m.member,
                m.successor,
                m.envelopeKeyDigest
            )
        );
    }

    function hashOf(Departure memory m) internal pure returns (bytes32) {
        bytes32 kind = keccak256("Departure(bytes32 federation,address member)");
        return keccak256(abi.encode(kind, m.federation, m.member));
    }

    function hashOf(Approval memory m) internal pure returns (bytes32) {
        bytes32 kind = keccak256("Approval(bytes32 federation,bytes32 action,address member)");
        return keccak256(abi.encode(kind, m.federation, m.action, m.member));
    }

    function hashOf(Submission memory m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Submission(bytes32 federation,uint64 round,uint64 attempt,address hospital,bytes32 base,bytes32 root,uint64 samples,uint64 size,bytes32 metrics)"
                ),
                m.federation,
                m.round,
                m.attempt,
                m.hospital,
                m.base,
                m.root,
                m.samples,
                m.size,
                m.metrics
            )
        );
    }

    function hashOf(Refusal memory m) internal pure returns (bytes32) {
        bytes32 kind = keccak256("Refusal(bytes32 federation,uint64 round,address hospital,bytes32 seen)");
        return keccak256(abi.encode(kind, m.federation, m.round, m.hospital, m.seen));
    }

    function hashOf(Attestation memory m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Attestation(bytes32 federation,uint64 round,uint64 attempt,address validator,address hospital,bytes32 commitment,bool accepted,int16 score)"
                ),
                m.federation,
                m.round,
                m.attempt,
                m.validator,
                m.hospital,
                m.commitment,
                m.accepted,
                m.score
            )
        );
    }

    // ----------------------------------------------------------------------------------- MEMBERSHIP

    function registration(uint256 member, uint8 roles, uint64 samples)
        internal
        pure
        returns (Registration memory)
    {
        return Registration(FEDERATION, account(member), roles, samples, sha256(KEY));
    }

    function register(uint256 member, uint8 roles, uint64 samples) internal {
        Registration memory m = registration(member, roles, samples);
        registry.register(m, KEY, signed(member, hashOf(m)));
    }

    function rotate(uint256 member, uint256 successor) internal {
        Rotation memory m = Rotation(FEDERATION, account(member), account(successor), sha256(KEY));
        registry.rotateKey(m, KEY, signed(member, hashOf(m)), signed(successor, hashOf(m)));
    }

    function leave(uint256 member) internal {
        Departure memory m = Departure(FEDERATION, account(member));
        registry.leave(m, signed(member, hashOf(m)));
    }

    function approve(uint256 member, bytes32 action) internal {
        Approval memory m = Approval(FEDERATION, action, account(member));
        registry.approve(m, signed(member, hashOf(m)));
    }

    // --------------------------------------------------------------------------------------- ROUNDS

    function open(uint64 number, uint256 seats) internal {
        ledger.openRound(number, ledger.modelDigest(), "round", seats, uint48(block.timestamp) + HOUR);
    }

    function attempt() internal view returns (uint64 number) {
        (, number,,,,,) = ledger.latestRound();
    }

    function phase() internal view returns (Phase now_) {
        (,, now_,,,,) = ledger.latestRound();
    }

    function standing() internal view returns (uint256 seats) {
        (,,,,,, seats) = ledger.latestRound();
    }

    /// A good submission for the latest round.
    function submission(uint64 round, uint256 member) internal view returns (Submission memory) {
        return Submission({
            federation: FEDERATION,
            round: round,
            attempt: attempt(),
            hospital: account(member),
            base: ledger.modelDigest(),
            root: keccak256(abi.encode("update", round, member)),
            samples: 100,
            size: SIZE,
            metrics: "metrics"
        });
    }

    function submit(Submission memory m, uint256 signer) internal {
        ledger.submitUpdate(m, signed(signer, hashOf(m)));
    }

    function submit(uint64 round, uint256 member) internal {
        submit(submission(round, member), member);
    }

    function batch(uint64 round, uint256 first, uint256 count)
        internal
        view
        returns (Submission[] memory messages, bytes[] memory signatures)
    {
        messages = new Submission[](count);
        signatures = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            messages[i] = submission(round, first + i);
            signatures[i] = signed(first + i, hashOf(messages[i]));
        }
    }

    function submitAll(uint64 round, uint256 first, uint256 count) internal {
        (Submission[] memory messages, bytes[] memory signatures) = batch(round, first, count);
        ledger.submitUpdates(messages, signatures);
    }

    function attestation(uint64 round, uint256 validator, uint256 member, bool accepted, int16 score)
        internal
        view
        returns (Attestation memory)
    {
        (uint256 seat,) = registry.seatOf(account(member));
        return Attestation({
            federation: FEDERATION,
            round: round,
            attempt: attempt(),
            validator: account(validator),
            hospital: account(member),
            commitment: ledger.commitmentOf(round, attempt(), seat),
            accepted: accepted,
            score: score
        });
    }

    function attest(Attestation memory m, uint256 signer) internal {
        Attestation[] memory messages = new Attestation[](1);
        bytes[] memory signatures = new bytes[](1);
        messages[0] = m;
        signatures[0] = signed(signer, hashOf(m));
        ledger.attest(messages, signatures);
    }

    function attest(uint64 round, uint256 validator, uint256 member, bool accepted, int16 score) internal {
        attest(attestation(round, validator, member, accepted, score), validator);
    }

    function draw(uint64 round) internal {
        vm.roll(block.number + 1);
        vm.setBlockhash(block.number - 1, keccak256(abi.encode("block", block.number)));
        ledger.drawCommittee(round);
    }

    function finalize(uint64 round) internal {
        ledger.finalizeRound(round, "sum", model(round), new address[](0), new string[](0));
    }

    function exclude(uint64 round, uint256 member) internal {
        address[] memory excluded = new address[](1);
        string[] memory reasons = new string[](1);
        excluded[0] = account(member);
        reasons[0] = "it does not open";
        ledger.finalizeRound(round, "sum", model(round), excluded, reasons);
    }

    function model(uint64 round) internal pure returns (bytes32) {
        return keccak256(abi.encode("model", round));
    }

    /// Open a round for the first seats, submit for each, close it.
    function closed(uint64 round, uint256 count) internal {
        open(round, (1 << count) - 1);
        submitAll(round, 0, count);
        ledger.closeRound(round);
    }

    /// A whole round of the hospitals on the first seats.
    function whole(uint64 round, uint256 count) internal {
        closed(round, count);
        finalize(round);
    }

    /// Settle the latest round, word by word.
    function settleAll() internal {
        for (bool settled = false; !settled;) {
            ledger.settle();
            (,,, settled,,,) = ledger.latestRound();
        }
    }

    // ----------------------------------------------------------------------- ROUNDS WITH SEATS BEYOND 256

    function words(uint256 first, uint256 second) internal pure returns (uint256[] memory set) {
        set = new uint256[](2);
        (set[0], set[1]) = (first, second);
    }

    /// The set of the first seats, of so many words as it takes.
    function firstSeats(uint256 count) internal pure returns (uint256[] memory set) {
        set = new uint256[]((count + 255) / 256);
        for (uint256 w = 0; w < set.length; ++w) {
            uint256 there = count - 256 * w;
            set[w] = there >= 256 ? type(uint256).max : (1 << there) - 1;
        }
    }

    function openWide(uint64 number, uint256[] memory seats) internal {
        ledger.openWideRound(number, ledger.modelDigest(), "round", seats, uint48(block.timestamp) + HOUR);
    }

    // -------------------------------------------------------------------------------------- VERDICTS

    function equal(uint256 left, uint256 right) internal pure {
        vm.assertEq(left, right);
    }

    function equal(bytes32 left, bytes32 right) internal pure {
        vm.assertEq(left, right);
    }

    function equal(address left, address right) internal pure {
        vm.assertEq(left, right);
    }

    function holds(bool condition) internal pure {
        vm.assertTrue(condition);
    }

    function inPhase(Phase expected) internal view {
        vm.assertEq(uint256(phase()), uint256(expected));
    }

    function reverts(bytes memory error) internal {
        vm.expectRevert(error);
    }
}
