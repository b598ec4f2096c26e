// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Leaves of Merkle trees in the manner of RFC 6962 (SHA-256, 4,096 bytes), and their sum in the ring.
library MerkleSum {
    uint256 internal constant LEAF_SIZE = 4096;

    uint256 private constant LOW_BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant LOW_PAIRS = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant LOW_LANES = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;

    error BadLeaf(uint256 length, uint256 expected);

    /// @notice Leaves of a vector of so many bytes.
    function leaves(uint256 size) internal pure returns (uint256) {
        return (size + LEAF_SIZE - 1) / LEAF_SIZE;
    }

    /// @notice Bytes of a leaf of such a vector; the last may be short.
    function leafLength(uint256 size, uint256 index) internal pure returns (uint256) {
        return index + 1 < leaves(size) ? LEAF_SIZE : size - index * LEAF_SIZE;
    }

    /// @notice The root that follows from a leaf and its audit path (RFC 6962, section 2.1.1).
    /// @param leaf Its bytes.
    /// @param index Below `width`.
    /// @param width Leaves of the tree.
    /// @param path From the leaf's sibling up.
    /// @return root Zero for a path of another length.
    function rootOf(bytes memory leaf, uint256 index, uint256 width, bytes32[] memory path)
        internal
        pure
        returns (bytes32 root)
    {
        root = sha256(abi.encodePacked(bytes1(0x00), leaf));
        uint256 used;
        while (width > 1) {
            // slither-disable-next-line incorrect-exp (the sibling of an index is meant)
            if (index ^ 1 < width) {
                // A last odd node has no sibling and moves up unchanged.
                if (used == path.length) return bytes32(0);
                root = index & 1 == 1
                    ? sha256(abi.encodePacked(bytes1(0x01), path[used], root))
                    : sha256(abi.encodePacked(bytes1(0x01), root, path[used]));
                ++used;
            }
            index >>= 1;
            width = (width + 1) >> 1;
        }
        if (used != path.length) return bytes32(0);
    }

    /// @notice Add a leaf to a sum: little-endian 32-bit integers, modulo 2^32, in place.
    /// @param sum Has the length of the leaf.
    /// @param leaf A multiple of four bytes.
    function add(bytes memory sum, bytes memory leaf) internal pure {
        if (leaf.length != sum.length) revert BadLeaf(leaf.length, sum.length);
        uint256 length = sum.length;
        assembly ("memory-safe") {
            // Solidity pads an array's memory to whole words, so that the last word is the array's own; what
            // is added to the padding is zero.
            for { let at := 32 } lt(at, add(length, 32)) { at := add(at, 32) } {
                let a := mload(add(sum, at))
                let b := mload(add(leaf, at))
                // Lanes to big-endian: bytes within pairs, then pairs within lanes.
                a := or(shl(8, and(a, LOW_BYTES)), and(shr(8, a), LOW_BYTES))
                a := or(shl(16, and(a, LOW_PAIRS)), and(shr(16, a), LOW_PAIRS))
                b := or(shl(8, and(b, LOW_BYTES)), and(shr(8, b), LOW_BYTES))
                b := or(shl(16, and(b, LOW_PAIRS)), and(shr(16, b), LOW_PAIRS))
                // Every second lane at a time, so that a carry has room above it.
                let even := and(add(and(a, LOW_LANES), and(b, LOW_LANES)), LOW_LANES)
                let odd := and(
                    add(and(shr(32, a), LOW_LANES), and(shr(32, b), LOW_LANES)),
                    LOW_LANES
                )
                a := or(shl(32, odd), even)
                a := or(shl(16, and(a, LOW_PAIRS)), and(shr(16, a), LOW_PAIRS))
                a := or(shl(8, and(a, LOW_BYTES)), and(shr(8, a), LOW_BYTES))
                mstore(add(sum, at), a)
            }
        }
    }
}
