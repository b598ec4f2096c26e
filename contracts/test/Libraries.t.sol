// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleSum} from "../src/MerkleSum.sol";
import {SEAT_WORDS, Seats} from "../src/Seats.sol";
import {vm} from "./Vm.sol";

contract SeatsTest {
    using Seats for uint256[];

    /// forge-config: ci.fuzz.runs = 1000
    function test_a_set_is_counted_and_listed(uint256[2] memory words) public pure {
        uint256[] memory set = new uint256[](2);
        (set[0], set[1]) = (words[0], words[1]);
        uint256 size;
        uint256[] memory seats = set.list();
        for (uint256 seat = 0; seat < 600; ++seat) {
            bool there = seat < 512 && words[seat / 256] & (1 << (seat % 256)) != 0;
            vm.assertTrue(set.has(seat) == there);
            if (!there) continue;
            vm.assertEq(seats[size++], seat);
            set.remove(seat);
            vm.assertTrue(!set.has(seat));
            set.add(seat);
            vm.assertTrue(set.has(seat));
            vm.assertEq(set[seat / 256], words[seat / 256]);
        }
        vm.assertEq(Seats.count(words[0]) + Seats.count(words[1]), size);
        vm.assertEq(set.count(), size);
        vm.assertEq(seats.length, size);
    }

    function test_a_set_is_counted_and_listed() public pure {
        uint256 all = type(uint256).max;
        test_a_set_is_counted_and_listed([uint256(0), 0]);
        test_a_set_is_counted_and_listed([uint256(1), 1 << 255]);
        test_a_set_is_counted_and_listed([1 << 255, 1]);
        test_a_set_is_counted_and_listed([all, 0]);
        test_a_set_is_counted_and_listed([all, all]);
    }

    uint256[SEAT_WORDS] private stored;

    function test_a_set_in_storage_is_that_in_memory(uint16 seat, uint256 other) public {
        seat %= 4096;
        other %= 4096;
        Seats.put(stored, seat);
        vm.assertTrue(Seats.holds(stored, seat));
        vm.assertTrue(Seats.holds(stored, other) == (other == seat));
        uint256[] memory set = Seats.load(stored, SEAT_WORDS);
        vm.assertEq(set.count(), 1);
        vm.assertTrue(set.has(seat));
        set.add(other);
        Seats.store(stored, set);
        vm.assertTrue(Seats.holds(stored, other));
        Seats.drop(stored, other);
        vm.assertTrue(!Seats.holds(stored, other));
        vm.assertTrue(Seats.holds(stored, seat) == (other != seat));
    }
}

contract MerkleSumTest {
    using MerkleSum for bytes;

    /// Lanes as numbers, added as numbers.
    /// forge-config: ci.fuzz.runs = 1000
    function test_leaves_are_added_lane_by_lane(uint32[] memory a, uint32[] memory b) public pure {
        uint256 lanes = a.length < b.length ? a.length : b.length;
        bytes memory sum = new bytes(4 * lanes);
        bytes memory leaf = new bytes(4 * lanes);
        bytes memory behind = hex"aa55aa55";
        for (uint256 i = 0; i < lanes; ++i) {
            put(sum, i, a[i]);
            put(leaf, i, b[i]);
        }
        sum.add(leaf);
        for (uint256 i = 0; i < lanes; ++i) {
            unchecked {
                vm.assertEq(get(sum, i), a[i] + b[i]);
            }
            vm.assertEq(get(leaf, i), b[i]);
        }
        vm.assertEq(behind, hex"aa55aa55");
    }

    function test_leaves_are_added_lane_by_lane() public pure {
        for (uint256 lanes = 0; lanes < 20; ++lanes) {
            uint32[] memory a = new uint32[](lanes);
            uint32[] memory b = new uint32[](lanes);
            for (uint256 i = 0; i < lanes; ++i) {
                a[i] = type(uint32).max;
                b[i] = uint32(i);
            }
            test_leaves_are_added_lane_by_lane(a, b);
        }
    }

    function test_leaves_of_different_lengths_are_not_added() public {
        vm.expectRevert(abi.encodeWithSelector(MerkleSum.BadLeaf.selector, 8, 4));
        this.add(new bytes(4), new bytes(8));
    }

    /// The recursion of RFC 6962, section 2.1, over whole lists.
    /// forge-config: ci.fuzz.runs = 1000
    function test_a_path_leads_to_the_root_of_all_leaves(uint8 width, uint8 index, bytes32 seed) public pure {
        width = width % 40 + 1;
        index = index % width;
        bytes32[] memory hashes = new bytes32[](width);
        for (uint256 i = 0; i < width; ++i) {
            hashes[i] = sha256(abi.encodePacked(hex"00", leafOf(seed, i)));
        }
        bytes32[] memory path = naivePath(index, hashes, 0, width);
        bytes memory leaf = leafOf(seed, index);
        vm.assertEq(MerkleSum.rootOf(leaf, index, width, path), naiveRoot(hashes, 0, width));
        bytes32[] memory longer = new bytes32[](path.length + 1);
        vm.assertEq(MerkleSum.rootOf(leaf, index, width, longer), bytes32(0));
        if (path.length != 0) {
            vm.assertEq(MerkleSum.rootOf(leaf, index, width, new bytes32[](path.length - 1)), bytes32(0));
        }
    }

    function test_the_last_leaf_may_be_short(uint64 size) public pure {
        vm.assume(size != 0);
        uint256 width = MerkleSum.leaves(size);
        vm.assertEq(width, uint256(size) / 4096 + (size % 4096 == 0 ? 0 : 1));
        uint256 last = MerkleSum.leafLength(size, width - 1);
        vm.assertEq((width - 1) * 4096 + last, size);
        if (width > 1) vm.assertEq(MerkleSum.leafLength(size, 0), 4096);
    }

    function add(bytes memory sum, bytes memory leaf) external pure {
        sum.add(leaf);
    }

    function leafOf(bytes32 seed, uint256 index) private pure returns (bytes memory) {
        return abi.encode(seed, index);
    }

    function split(uint256 count) private pure returns (uint256 half) {
        half = 1;
        while (2 * half < count) half *= 2;
    }

    function naiveRoot(bytes32[] memory hashes, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return hashes[from];
        uint256 half = from + split(to - from);
        return sha256(abi.encodePacked(hex"01", naiveRoot(hashes, from, half), naiveRoot(hashes, half, to)));
    }

    function naivePath(uint256 index, bytes32[] memory hashes, uint256 from, uint256 to)
        private
        pure
        returns (bytes32[] memory path)
    {
        if (to - from == 1) return path;
        uint256 half = from + split(to - from);
        bool left = index < half;
        bytes32[] memory below = left ? naivePath(index, hashes, from, half) : naivePath(index, hashes, half, to);
        path = new bytes32[](below.length + 1);
        for (uint256 i = 0; i < below.length; ++i) {
            path[i] = below[i];
        }
        path[below.length] = left ? naiveRoot(hashes, half, to) : naiveRoot(hashes, from, half);
    }

    function put(bytes memory data, uint256 lane, uint32 value) private pure {
        for (uint256 i = 0; i < 4; ++i) {
            data[4 * lane + i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function get(bytes memory data, uint256 lane) private pure returns (uint32 value) {
        for (uint256 i = 0; i < 4; ++i) {
            value |= uint32(uint8(data[4 * lane + i])) << uint32(8 * i);
        }
    }
}
