// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title One root for all submissions of a round: a leaf for each of 256 seats, keccak256 of two children.
/// @notice A hospital proves its inclusion with its leaf, and its omission with a leaf of zero. The depth is
///         fixed, so that no node can be passed off as a leaf.
library SubmissionTree {
    uint256 internal constant DEPTH = 8;

    /// @notice The leaf of a submission: the EIP-712 struct hash of what was signed, and the signature's hash.
    function leaf(bytes32 structHash, bytes32 signatureHash) internal pure returns (bytes32) {
        return keccak256(abi.encode("fedcxr/submission", structHash, signatureHash));
    }

    /// @notice Whether a seat has this leaf under a root.
    /// @param path Siblings, from the leaf's up.
    function proves(bytes32 root, uint256 seat, bytes32 leaf_, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (path.length != DEPTH || seat >> DEPTH != 0) return false;
        bytes32 node = leaf_;
        for (uint256 i = 0; i < DEPTH; ++i) {
            node = (seat >> i) & 1 == 1
                ? keccak256(abi.encode(path[i], node))
                : keccak256(abi.encode(node, path[i]));
        }
        return node == root;
    }
}
