// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title One root for all submissions of a round: a leaf for each of 256 seats, or of 4,096 where the round has
///        seats beyond 256; keccak256 of two children.
/// @notice A hospital proves its inclusion with its leaf, and its omission with a leaf of zero. Under a root that
///         was made so, no path leads from another depth: a node is the hash of 64 bytes, a leaf is zero or the
///         hash of more, and so neither can be passed off as the other.
library SubmissionTree {
    uint256 internal constant DEPTH = 8;
    uint256 internal constant WIDE_DEPTH = 12;

    /// @notice The leaf of a submission: the EIP-712 struct hash of what was signed, and the signature's hash.
    function leaf(bytes32 structHash, bytes32 signatureHash) internal pure returns (bytes32) {
        return keccak256(abi.encode("fedcxr/submission", structHash, signatureHash));
    }

    /// @notice Whether a seat has this leaf under a root.
    /// @param path Siblings, from the leaf's up: as many as one of the two trees is deep.
    function proves(bytes32 root, uint256 seat, bytes32 leaf_, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        uint256 depth = path.length;
        if ((depth != DEPTH && depth != WIDE_DEPTH) || seat >> depth != 0) return false;
        bytes32 node = leaf_;
        for (uint256 i = 0; i < depth; ++i) {
            node = (seat >> i) & 1 == 1
                ? keccak256(abi.encode(path[i], node))
                : keccak256(abi.encode(node, path[i]));
        }
        return node == root;
    }
}
