// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Committee} from "../src/Committee.sol";
import {Founding, Member, Phase, Result, Standing, Submission} from "../src/FederationTypes.sol";
import {Membership} from "../src/Membership.sol";
import {Rewards} from "../src/Rewards.sol";
import {Rounds} from "../src/Rounds.sol";
import {Party} from "./Party.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice Does anything to a federation of six hospitals and, where it has one, its committee of four, as the
///         coordinator or as a stranger, in any order; and keeps the books that the invariants are held against.
contract Handler is Party {
    uint256 private constant HOSPITALS = 6;

    bool private immutable _judged;
    uint256 private immutable _first; // seat of the first hospital

    uint256 public finalized;
    mapping(uint256 round => bytes32) public results; // as they were when they were new
    mapping(uint256 round => mapping(uint256 attempt => mapping(uint256 seat => uint256))) public accepted;
    string public broken; // what should never have happened

    uint256[256] private _key; // the member whose key a seat has now
    uint256 private _keys = 1000;

    constructor(bool judged) {
        _judged = judged;
        _first = judged ? 4 : 0;
        if (judged) foundCommittee(4, HOSPITALS);
        else foundWith(HOSPITALS);
        for (uint256 i = 0; i < 4 + HOSPITALS; ++i) {
            _key[i] = i;
        }
    }

    // --------------------------------------------------------------------------------------- ACTIONS

    function openRound(uint256 seats, uint8 off, bool stranger) external {
        uint64 number = ledger.lastFinalized() + 1 + (off % 16 == 0 ? 1 : 0);
        seats = (seats % 64) << _first;
        bytes32 base = off % 16 == 1 ? bytes32("other") : ledger.modelDigest();
        Phase before = phase();
        uint48 deadline = uint48(block.timestamp) + HOUR;
        stranger = stranger && off % 4 == 0;
        if (stranger) vm.prank(STRANGER);
        ledger.openRound(number, base, "round", seats, deadline);
        if (stranger) broken = "a stranger opened a round";
        if (before != Phase.None && before != Phase.Finalized && before != Phase.Aborted) broken = "opened twice";
        if (standing() != 0) broken = "opened with updates";
        weigh(seats);
    }

    function drawCommittee() external {
        if (_judged) draw(ledger.lastFinalized() + 1);
    }

    function submitUpdate(uint8 who, uint8 off) external {
        uint256 seat = _first + who % HOSPITALS;
        uint64 number = ledger.lastFinalized() + 1;
        Submission memory m = submission(number, _key[seat]);
        uint256 signer = _key[seat];
        if (off % 16 == 0) m.attempt += 1;
        if (off % 16 == 1) m.base = "other";
        if (off % 16 == 2) signer = 999;
        if (off % 16 == 3) m.samples = 1000;
        if (off % 16 == 4) m.round += 1;
        submit(m, signer);
        if (off % 16 < 5) broken = "a bad submission was accepted";
        if (++accepted[number][attempt()][seat] > 1) broken = "two updates of one hospital were accepted";
    }

    function submitBatch(uint8 who, uint8 count) external {
        uint64 number = ledger.lastFinalized() + 1;
        count = count % 6 + 1;
        Submission[] memory messages = new Submission[](count);
        bytes[] memory signatures = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 member = _key[_first + (who + i * i) % HOSPITALS]; // some twice
            messages[i] = submission(number, member);
            signatures[i] = signed(member, hashOf(messages[i]));
        }
        uint256 before = standing();
        vm.recordLogs();
        ledger.submitUpdates(messages, signatures);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != Rounds.UpdateAccepted.selector) continue;
            (uint256 seat,) = registry.seatOf(address(uint160(uint256(logs[i].topics[2]))));
            if (++accepted[number][attempt()][seat] > 1 || before & (1 << seat) != 0) {
                broken = "two updates of one hospital were accepted";
            }
        }
    }

    function closeRound(bool stranger) external {
        uint64 number = ledger.lastFinalized() + 1;
        if (stranger) vm.prank(STRANGER);
        ledger.closeRound(number);
    }

    function attestUpdate(uint8 judge, uint8 who, bool good, int16 score, bool forged) external {
        if (!_judged) return;
        uint64 number = ledger.lastFinalized() + 1;
        uint256 seat = _first + who % HOSPITALS;
        uint256 member = _key[judge % 4];
        uint256 before = ledger.tallyOf(number, attempt(), seat).approvals;
        attest(attestation(number, member, _key[seat], good, score), forged ? 999 : member);
        if (forged && ledger.tallyOf(number, attempt(), seat).approvals != before) broken = "a forged verdict";
    }

    function validateRound(uint8 wait) external {
        if (!_judged) return;
        if (wait % 4 == 0) vm.warp(block.timestamp + 2 * HOUR);
        uint64 number = ledger.lastFinalized() + 1;
        uint256 before = standing();
        ledger.validateRound(number);
        for (uint256 seat = 0; seat < 16; ++seat) {
            bool counts = standing() & (1 << seat) != 0;
            bool quorum = before & (1 << seat) != 0 && ledger.tallyOf(number, attempt(), seat).approvals >= 3;
            if (counts != quorum) broken = "counted without a quorum, or not with one";
        }
    }

    function finalizeRound(uint8 out, bool stranger) external {
        uint64 number = ledger.lastFinalized() + 1;
        bytes32 base = ledger.modelDigest();
        (, uint64 tried, Phase before,,,,) = ledger.latestRound();
        uint256 counted = standing();
        if (stranger) vm.prank(STRANGER);
        if (out % 3 == 0) exclude(number, _key[_first + out % HOSPITALS]);
        else finalize(number);
        if (stranger) broken = "a stranger finalized a round";
        if (before != Phase.Validated) broken = "finalized what was not validated";
        uint256 included = standing();
        if (included & ~counted != 0) broken = "included what did not count";
        for (uint256 seat = 0; seat < 16; ++seat) {
            if (included & (1 << seat) != 0 && accepted[number][tried][seat] != 1) {
                broken = "included what was not accepted";
            }
        }
        ++finalized;
        results[number] = keccak256(
            abi.encode(Result(number, tried, uint64(block.timestamp), base, "sum", model(number), 0, included))
        );
    }

    function abortRound(bool stranger) external {
        Phase before = phase();
        uint256 enough = standing();
        uint64 number = ledger.lastFinalized() + 1;
        if (stranger) vm.prank(STRANGER);
        ledger.abortRound(number, "");
        if (stranger && (enough != 0 || before == Phase.Closed)) broken = "a stranger aborted a round";
    }

    /// The next honest step, so that sequences get somewhere.
    function advance(uint8 who) external {
        uint64 number = ledger.lastFinalized() + 1;
        Phase now_ = phase();
        if (now_ == Phase.Open) {
            if (_judged && ledger.committee().length == 0) return this.drawCommittee();
            if (standing() == 0) return this.submitBatch(who, 5);
            return this.closeRound(false);
        }
        if (now_ == Phase.Closed) {
            uint256 judges = 0;
            for (uint256 seat = _first; seat < 4 + HOSPITALS; ++seat) {
                if (standing() & (1 << seat) == 0) continue;
                for (judges = 0; judges < 4; ++judges) {
                    if (ledger.tallyOf(number, attempt(), seat).approvals > judges) continue;
                    attest(attestation(number, _key[judges], _key[seat], true, int8(who)), _key[judges]);
                }
            }
            return this.validateRound(who);
        }
        if (now_ == Phase.Validated) return this.finalizeRound(who, false);
        this.openRound(63, 8, false);
    }

    function settle() external {
        vm.prank(STRANGER);
        ledger.settle();
    }

    function rotateKey(uint8 who) external {
        uint256 seat = who % (4 + HOSPITALS);
        rotate(_key[seat], _keys);
        _key[seat] = _keys++;
    }

    function suspend(uint8 who, bool back, bool stranger) external {
        address member = account(_key[_first + who % HOSPITALS]);
        if (stranger) vm.prank(STRANGER);
        if (back) registry.reinstate(member);
        else registry.suspend(member);
        if (stranger) broken = "a stranger changed a member's standing";
    }

    function handOver(bool stranger) external {
        if (!stranger) return;
        vm.prank(STRANGER);
        registry.handOver(STRANGER);
        broken = "a stranger took the coordinator's role";
    }

    function replay(uint8 which, uint8 who) external {
        // A submission of an earlier round or attempt, under whatever key its seat has now.
        uint64 number = ledger.lastFinalized() + 1;
        uint256 member = _key[_first + who % HOSPITALS];
        Submission memory m = submission(number, member);
        if (which % 2 == 0) m.round = number == 1 ? 7 : number - 1;
        else m.attempt = m.attempt == 1 ? 2 : m.attempt - 1;
        submit(m, member);
        broken = "a submission of another round or attempt was accepted";
    }

    function warp(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % (2 * HOUR));
        vm.roll(block.number + 1);
    }

    // ----------------------------------------------------------------------------------------- BOOKS

    function weigh(uint256 seats) private {
        uint256 sum;
        (Member[] memory list,) = registry.members();
        for (uint256 seat = 0; seat < list.length; ++seat) {
            if (seats & (1 << seat) != 0) sum += ledger.weightOf(list[seat].samples);
        }
        if (sum == 0 || sum > 4096) broken = "weights above 4,096";
    }

    /// Credits of all seats, and of how many rounds they are.
    function credits() external view returns (uint256 given, uint256 rounds) {
        uint256[] memory list = ledger.creditsOfSeats(type(uint256).max);
        for (uint256 i = 0; i < list.length; ++i) {
            given += list[i];
        }
        (,, Phase now_, bool done,,,) = ledger.latestRound();
        rounds = finalized - (now_ == Phase.Finalized && !done ? 1 : 0);
    }

    function checkResults() external view {
        equal(ledger.lastFinalized(), finalized);
        for (uint64 number = 1; number <= finalized; ++number) {
            equal(ledger.resultOf(number), results[number]);
        }
        equal(ledger.resultOf(uint64(finalized) + 1), 0);
        equal(ledger.modelDigest(), finalized == 0 ? GENESIS : model(uint64(finalized)));
        equal(ledger.coordinator(), address(this));
    }

    function checkSeats() external view {
        (Member[] memory list,) = registry.members();
        equal(list.length, _judged ? 4 + HOSPITALS : HOSPITALS);
        for (uint256 seat = 0; seat < list.length; ++seat) {
            equal(list[seat].account, account(_key[seat]));
            bool active = list[seat].standing == Standing.Active;
            bytes32 role = list[seat].roles == HOSPITAL ? keccak256("HOSPITAL") : keccak256("VALIDATOR");
            holds(registry.hasRole(role, list[seat].account) == active);
        }
    }
}

abstract contract InvariantTest {
    Handler internal handler;

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// Nothing happened that never should; results never change; each settled round gave its whole budget; a
    /// seat has one key. One function, for each has sequences of its own.
    function invariant_the_books_hold() external view {
        vm.assertTrue(bytes(handler.broken()).length == 0, handler.broken());
        handler.checkResults();
        (uint256 given, uint256 rounds) = handler.credits();
        vm.assertEq(given, 1_000_003 * rounds);
        handler.checkSeats();
    }
}

contract PlainInvariantTest is InvariantTest {
    function setUp() external {
        handler = new Handler(false);
    }
}

contract CommitteeInvariantTest is InvariantTest {
    function setUp() external {
        handler = new Handler(true);
    }
}
