// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DisputeCourt} from "../src/DisputeCourt.sol";
import {Attestation, Bounds, Founding, Recording, Registration, Result, Submission} from "../src/FederationTypes.sol";
import {MaskedCases} from "../src/MaskedCases.sol";
import {MaskedParty} from "./MaskedParty.sol";
import {Party} from "./Party.sol";
import {vm} from "./Vm.sol";

/// @notice The gas of calls that a federation pays for, as `contracts/check` holds it against gas-snapshot.json.
/// @dev Whole transactions, without the floor of EIP-7623 (`--isolate`); `fedcxr bench gas` counts them with it,
///      on the embedded chain.
contract GasTest is Party {
    function costs(string memory name) private {
        vm.snapshotGasLastCall("gas", name);
    }

    function test_gas_of_a_round_of_ten() public {
        foundWith(9);
        Registration memory m = registration(9, HOSPITAL, 109);
        bytes memory signature = signed(9, hashOf(m));
        registry.register(m, KEY, signature);
        costs("register");
        for (uint64 number = 1; number < 3; ++number) {
            bytes32 base = ledger.modelDigest();
            ledger.openRound(number, base, keccak256("round"), 1023, uint48(block.timestamp) + HOUR);
            costs(number == 1 ? "open, first" : "open, later");
            (Submission[] memory messages, bytes[] memory signatures) = batch(number, 0, 10);
            ledger.submitUpdates(messages, signatures);
            costs("submit a batch of ten");
            ledger.closeRound(number);
            costs("close");
            ledger.finalizeRound(number, keccak256("sum"), model(number), new address[](0), new string[](0));
            costs("finalize");
            ledger.settle();
            costs(number == 1 ? "settle, first" : "settle, later");
        }
    }

    function test_gas_of_a_share_that_is_bound() public {
        found(founding(), Bounds(1000, 1, 2000));
        for (uint256 i = 0; i < 10; ++i) {
            register(i, HOSPITAL, i == 9 ? 100_000 : uint64(100 + i));
        }
        for (uint64 number = 1; number < 3; ++number) {
            bytes32 base = ledger.modelDigest();
            ledger.openRound(number, base, keccak256("round"), 1023, uint48(block.timestamp) + HOUR);
            if (number == 2) costs("open, later, with a largest share");
            submitAll(number, 0, 10);
            ledger.closeRound(number);
            ledger.finalizeRound(number, keccak256("sum"), model(number), new address[](0), new string[](0));
            costs("finalize with a largest share");
        }
    }

    function test_gas_of_an_update_that_a_hospital_brings() public {
        foundWith(2);
        open(1, 3);
        Submission memory m = submission(1, 0);
        bytes memory signature = signed(0, hashOf(m));
        ledger.submitUpdate(m, signature);
        costs("submit directly");
    }

    function test_gas_of_a_committee() public {
        foundCommittee(4, 4);
        open(1, 15 << 4);
        vm.roll(block.number + 1);
        vm.setBlockhash(block.number - 1, keccak256("block"));
        ledger.drawCommittee(1);
        costs("draw a committee of four");
        submitAll(1, 4, 4);
        ledger.closeRound(1);
        costs("close for validation");
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 judge = 0; judge < 4; ++judge) {
                Attestation[] memory messages = new Attestation[](1);
                bytes[] memory signatures = new bytes[](1);
                messages[0] = attestation(1, judge, 4 + i, true, int16(int256(judge)));
                signatures[0] = signed(judge, hashOf(messages[0]));
                ledger.attest(messages, signatures);
                if (judge == 0) costs("attest, first");
                if (judge == 2) costs("attest, reaching the quorum");
            }
        }
        ledger.validateRound(1);
        costs("validate four updates");
        finalize(1);
        ledger.settle();
        costs("settle four updates by gain");
    }

    function test_gas_of_one_root() public {
        rooted(8, "close with a root of 8");
        rooted(64, "close with a root of 64");
    }

    function rooted(uint256 hospitals, string memory name) private {
        Founding memory f = founding();
        f.recording = Recording.Root;
        foundWith(f, hospitals);
        uint256 seats = (1 << hospitals) - 1;
        for (uint64 number = 1; number < 3; ++number) {
            open(number, seats);
            ledger.closeWithRoot(number, keccak256(abi.encode(number)), keccak256("list"), seats);
            costs(name);
            finalize(number);
        }
    }

    function test_gas_of_a_round_of_256() public {
        many(256, "256");
    }

    function test_gas_of_a_round_of_300() public {
        many(300, "300");
    }

    function test_gas_of_a_round_of_1000() public {
        many(1000, "1,000");
    }

    function test_gas_of_a_round_of_4096() public {
        many(4096, "4,096");
    }

    /// The first round of so many hospitals, and the second, under one root.
    function many(uint256 hospitals, string memory name) private {
        Founding memory f = founding();
        f.recording = Recording.Root;
        foundWith(f, hospitals);
        uint256[] memory seats = firstSeats(hospitals);
        for (uint64 number = 1; number < 3; ++number) {
            bytes32 base = ledger.modelDigest();
            uint48 deadline = uint48(block.timestamp) + HOUR;
            if (seats.length == 1) {
                ledger.openRound(number, base, keccak256("round"), seats[0], deadline);
            } else {
                ledger.openWideRound(number, base, keccak256("round"), seats, deadline);
            }
            costs(string.concat("open for ", name));
            ledger.closeWideWithRoot(number, keccak256(abi.encode(number)), keccak256("list"), seats);
            costs(string.concat("close for ", name));
            finalize(number);
            costs(string.concat("finalize for ", name));
            string memory when = number == 1 ? ", first, of " : ", later, of ";
            for (uint256 w = 0; w < seats.length; ++w) {
                ledger.settle();
                if (w == 0) costs(string.concat("settle the first word", when, name));
                if (w == 1) costs(string.concat("settle a word", when, name));
            }
        }
    }

    function test_gas_of_a_challenge() public {
        challenged(4, "challenge a chunk of four");
        challenged(10, "challenge a chunk of ten");
    }

    function challenged(uint256 hospitals, string memory name) private {
        Founding memory f = founding();
        f.openUpdates = true;
        foundWith(f, hospitals);
        bytes memory leaf = new bytes(4096);
        for (uint256 i = 0; i < 4096; ++i) {
            leaf[i] = bytes1(uint8(i | 1));
        }
        bytes32[] memory path = new bytes32[](1);
        path[0] = keccak256("second leaf");
        bytes32 root = sha256(abi.encodePacked(hex"01", sha256(abi.encodePacked(hex"00", leaf)), path[0]));
        open(1, (1 << hospitals) - 1);
        DisputeCourt.Opening[] memory openings = new DisputeCourt.Opening[](hospitals);
        for (uint256 i = 0; i < hospitals; ++i) {
            Submission memory m = submission(1, i);
            m.root = root;
            submit(m, i);
            openings[i] = DisputeCourt.Opening(m, leaf, path, "", new bytes32[](0));
        }
        ledger.closeRound(1);
        ledger.finalizeRound(1, root, model(1), new address[](0), new string[](0));
        Result memory result =
            Result(1, 1, uint64(block.timestamp), GENESIS, root, model(1), 0, (1 << hospitals) - 1);
        court.challenge(result, 0, openings, leaf, path);
        costs(name);
    }
}

/// @notice The gas of a challenge of a masked round, of an update of 83.2 MB with the default's hybrid keys.
/// @dev With the floor of EIP-7623: few openings are more bytes than work.
contract MaskedGasTest is MaskedParty {
    uint64 private constant VECTOR = 83_200_000;

    function test_gas_of_three() public {
        challenged(3, 0, 3, "three");
    }

    function test_gas_of_ten() public {
        challenged(10, 2, 8, "ten, two of them missing");
    }

    function test_gas_of_twenty() public {
        challenged(20, 6, 14, "twenty, six of them missing");
    }

    function test_gas_of_fifty() public {
        challenged(50, 16, 12, "fifty, sixteen of them missing");
    }

    /// The last so many are missing, and each transaction has openings of so many.
    function challenged(uint256 hospitals, uint256 missing, uint256 each, string memory name) private {
        sealed_ = 1169;
        Masked memory m = played(VECTOR, hospitals, ((1 << missing) - 1) << (hospitals - missing), VECTOR / 8, 1);
        uint256 total;
        uint256 most;
        for (uint256 first = 0; first < m.openings.length; first += each) {
            uint256 left = m.openings.length - first;
            MaskedCases.MaskedOpening[] memory part = new MaskedCases.MaskedOpening[](left < each ? left : each);
            for (uint256 i = 0; i < part.length; ++i) {
                part[i] = m.openings[first + i];
            }
            bytes memory data = first == 0
                ? abi.encodeCall(court.challengeMasked, (m.result, m.word, part, m.context, m.leaf, m.path))
                : abi.encodeCall(court.addOpenings, (m.result, m.word, part, m.context));
            (bool done,) = address(court).call(data);
            holds(done);
            uint256 gas = vm.snapshotGasLastCall("masked", name);
            uint256 floor = 21_000 + 10 * tokens(data);
            if (gas < floor) gas = floor;
            total += gas;
            if (gas > most) most = gas;
        }
        holds(court.disputed(1));
        vm.snapshotValue("gas", string.concat("challenge a masked word of ", name), total);
        vm.snapshotValue("gas", string.concat("the largest transaction of ", name), most);
    }

    function tokens(bytes memory data) private pure returns (uint256 count) {
        for (uint256 i = 0; i < data.length; ++i) {
            count += data[i] == 0 ? 1 : 4;
        }
    }
}
