// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MaskWords} from "../src/MaskWords.sol";
import {vm} from "./Vm.sol";

contract MaskWordsTest {
    function is_(bytes32 seed, uint256 place, uint32 expected) private pure {
        (bytes memory table, bytes memory schedule) = MaskWords.tables();
        vm.assertEq(MaskWords.word(table, schedule, seed, place), expected);
    }

    /// The known answer of FIPS-197, appendix C.3: 8ea2b7ca516745bfeafc49904b496089.
    function test_a_block_is_that_of_the_standard() public pure {
        bytes32 key = hex"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        uint256 place = 0x00112233445566778899aabbccddeeff << 2;
        is_(key, place, 0xcab7a28e);
        is_(key, place + 1, 0xbf456751);
        is_(key, place + 2, 0x9049fcea);
        is_(key, place + 3, 0x8960494b);
    }

    /// Made by `fedcxr.privacy.secagg.mask.word`.
    function test_words_are_those_of_python() public pure {
        is_(hex"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", 0, 0xde01e6b6);
        is_(hex"4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a", 1, 0x40c53d8c);
        is_(hex"dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986", 2, 0x9ae190ce);
        is_(hex"084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5", 3, 0x14544bf2);
        is_(hex"e52d9c508c502347344d8c07ad91cbd6068afc75ff6292f062a09ca381c89e71", 4, 0x81645bb6);
        is_(hex"e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db", 5, 0x4cc411c3);
        is_(hex"67586e98fad27da0b9968bc039a1ef34c939b9b8e523a8bef89d478608c5ecf6", 1022, 0xfd72deb7);
        is_(hex"ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879", 1023, 0xc1c283fc);
        is_(hex"beead77994cf573341ec17b58bbf7eb34d2711c993c1d976b128b3188dc1829a", 1024, 0x4758267c);
        is_(hex"2b4c342f5433ebe591a1da77e013d1b72475562d48578dca8b84bac6651c3cb9", 262145, 0x98409fe6);
        is_(hex"01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b", 7037504, 0x9e018996);
        is_(hex"e7cf46a078fed4fafd0b5e3aff144802b853f8ae459a4f0c14add3314b7cc3a6", 17179869187, 0xc692cf5d);
    }

    /// The bounds are of code that is not optimized; as the artifact is compiled, 48,273 and 25,155.
    function test_one_schedule_serves_any_number_of_seeds() public view {
        uint256 before = gasleft();
        (bytes memory table, bytes memory schedule) = MaskWords.tables();
        vm.assertTrue(before - gasleft() < 60_000);
        uint32 first = MaskWords.word(table, schedule, "a", 7);
        before = gasleft();
        MaskWords.word(table, schedule, "b", 7);
        vm.assertTrue(before - gasleft() < 35_000);
        vm.assertEq(MaskWords.word(table, schedule, "a", 7), first);
    }
}
