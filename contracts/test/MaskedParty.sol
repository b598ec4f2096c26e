// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MaskedCases} from "../src/MaskedCases.sol";
import {Founding, Result, Submission} from "../src/FederationTypes.sol";
import {MaskWords} from "../src/MaskWords.sol";
import {Party} from "./Party.sol";
import {vm} from "./Vm.sol";

/// @notice A federation that masks, one finalized round of it, and what its challenge takes.
/// @dev Contexts, headers, masks and trees are made here anew, from docs/secure-aggregation.md and RFC 6962; of a
///      vector there is one leaf, and all others are hashes of nothing.
abstract contract MaskedParty is Party {
    uint128 internal constant BOND = 1 ether;

    uint256 internal sealed_ = 81; // bytes of a share that is sealed with X25519

    /// A round, and what is shown of it.
    struct Masked {
        uint64 size; // of a vector, in bytes
        uint256 participants; // the first seats
        uint256 missing; // a set of them
        uint256 word;
        Result result;
        bytes context;
        MaskedCases.MaskedOpening[] openings;
        bytes leaf;
        bytes32[] path;
    }

    /// A leaf of a tree, of which no other is known but those with it.
    struct Known {
        uint256 index;
        bytes32 hash;
    }

    function founded(uint64 size, uint256 hospitals) internal {
        Founding memory f = founding();
        f.minimumBond = BOND;
        f.rewardBudget = 0;
        f.updateSize = size;
        foundWith(f, hospitals);
        vm.deal(address(this), 10 ether);
        court.postBond{value: BOND}();
    }

    /// A finalized round, whose sum has `error` added to the word.
    function played(uint64 size, uint256 participants, uint256 missing, uint256 word, uint32 error)
        internal
        returns (Masked memory m)
    {
        founded(size, participants);
        open(1, (1 << participants) - 1);
        (m.size, m.participants, m.missing, m.word) = (size, participants, missing, word);
        m.context = contextOf(participants, 1);
        uint256 included = ((1 << participants) - 1) & ~missing;
        m.openings = new MaskedCases.MaskedOpening[](counted(included));
        uint32 sum = error;
        uint256 i;
        for (uint256 seat = 0; seat < participants; ++seat) {
            if ((included >> seat) & 1 == 0) continue;
            uint32 value = uint32(uint256(keccak256(abi.encode("value", seat))));
            m.openings[i] = openingOf(m, seat, value);
            submit(m.openings[i++].submission, seat);
            unchecked {
                sum += value;
            }
        }
        vm.warp(block.timestamp + HOUR + 1);
        ledger.closeRound(1);
        m.leaf = leafOf("sum", size, word);
        put(m.leaf, 4 * (word % 1024), sum);
        finish(m, included);
    }

    function finish(Masked memory m, uint256 included) internal {
        Known[] memory known = new Known[](1);
        known[0] = Known(m.word / 1024, leafHash(m.leaf));
        uint256 width = (m.size + 4095) / 4096;
        bytes32 root = top(known, 0, width);
        m.path = pathTo(known, m.word / 1024, width);
        ledger.finalizeRound(1, root, model(1), new address[](0), new string[](0));
        m.result = Result(1, 1, uint64(block.timestamp), GENESIS, root, model(1), 0, included);
    }

    function contextOf(uint256 participants, uint64 round) internal view returns (bytes memory context) {
        uint16 n = uint16(participants);
        context = abi.encodePacked(bytes32("fedcxr/masked/context/1"), FEDERATION, uint64(block.chainid));
        context = abi.encodePacked(context, address(ledger), round, uint64(1), GENESIS, "config  ", "config  ");
        context = abi.encodePacked(context, "config  config  ", bytes32("layout"), uint64(SIZE / 4));
        context = abi.encodePacked(context, n, uint16(1), uint16(2), uint16(3), uint16(n - 1), bytes32(0));
        for (uint16 seat = 0; seat < n; ++seat) {
            context = abi.encodePacked(context, seat, account(seat), uint32(100), keccak256("key"));
        }
    }

    function ownSeed(uint256 seat) internal pure returns (bytes32) {
        return keccak256(abi.encode("own", seat));
    }

    function pairSeed(uint256 one, uint256 other) internal pure returns (bytes32) {
        return one < other ? keccak256(abi.encode(one, other)) : keccak256(abi.encode(other, one));
    }

    /// The opening of an update whose word is `value` before it is masked.
    function openingOf(Masked memory m, uint256 seat, uint32 value)
        internal
        view
        returns (MaskedCases.MaskedOpening memory o)
    {
        bytes memory header = headerOf(m, seat);
        bytes memory leaf = leafOf(keccak256(abi.encode(seat)), m.size, m.word);
        put(leaf, 4 * (m.word % 1024), masked(m, seat, value));
        bool second = secondLeaf(m);
        uint256 shown = second ? 3 : 2;
        o.leaves = new bytes[](shown);
        o.paths = new bytes32[][](shown);
        Known[] memory known = new Known[](shown);
        for (uint256 i = 0; i + 1 < shown; ++i) {
            o.leaves[i] = cut(header, 4096 * i, 4096);
            known[i] = Known(i, leafHash(o.leaves[i]));
        }
        o.leaves[shown - 1] = leaf;
        known[shown - 1] = Known(headerLeaves(m) + m.word / 1024, leafHash(leaf));
        uint256 width = headerLeaves(m) + (m.size + 4095) / 4096;
        for (uint256 i = 0; i < shown; ++i) {
            o.paths[i] = pathTo(known, known[i].index, width);
        }
        o.seeds = new bytes32[](1 + counted(m.missing));
        o.seeds[0] = ownSeed(seat);
        uint256 used;
        for (uint256 other = 0; other < m.participants; ++other) {
            if ((m.missing >> other) & 1 == 1) o.seeds[++used] = pairSeed(seat, other);
        }
        o.submission = submission(1, seat);
        o.submission.root = top(known, 0, width);
        o.submission.size = uint64(4096 * headerLeaves(m)) + m.size;
    }

    /// Whether a commitment to a missing participant's seed lies in the header's second leaf, of anybody.
    function secondLeaf(Masked memory m) internal pure returns (bool) {
        return m.missing >> 35 != 0;
    }

    function headerLeaves(Masked memory m) internal view returns (uint256) {
        return (1856 + (m.participants - 1) * (64 + sealed_) + 4095) / 4096;
    }

    /// The first leaves of a header.
    function headerOf(Masked memory m, uint256 seat) internal view returns (bytes memory header) {
        uint256 k = m.participants - 1;
        bytes32 digest = sha256(m.context);
        header = abi.encodePacked("fedcxr/masked/1\n", digest, uint16(seat), uint16(k), uint16(sealed_), uint16(0));
        bytes32 own =
            sha256(abi.encodePacked(bytes32("fedcxr/masked/self/commit/1"), digest, uint16(seat), ownSeed(seat)));
        header = abi.encodePacked(header, m.size / 4, own, bytes32(0), new bytes(1728));
        for (uint256 other = 0; other < m.participants; ++other) {
            if (other == seat) continue;
            (uint256 low, uint256 high) = seat < other ? (seat, other) : (other, seat);
            bytes memory pair = abi.encodePacked(bytes32("fedcxr/masked/pair/commit/1"), digest);
            pair = abi.encodePacked(pair, uint16(low), uint16(high), pairSeed(low, high));
            header = abi.encodePacked(header, sha256(pair), keccak256("share"));
        }
        // No more than the two leaves that may be shown.
        uint256 length = k * sealed_ < 8192 - header.length ? k * sealed_ : 8192 - header.length;
        bytes memory shares = new bytes(length);
        fill(shares, "shares");
        header = abi.encodePacked(header, shares, new bytes((8192 - header.length - length) % 4096));
    }

    /// A word with the masks of a seat on it.
    function masked(Masked memory m, uint256 seat, uint32 value) internal pure returns (uint32 result) {
        (bytes memory table, bytes memory schedule) = MaskWords.tables();
        unchecked {
            result = value + MaskWords.word(table, schedule, ownSeed(seat), m.word);
            for (uint256 other = 0; other < m.participants; ++other) {
                if (other == seat) continue;
                uint32 mask = MaskWords.word(table, schedule, pairSeed(seat, other), m.word);
                // Of two that are both in the sum one has it added and one taken off.
                result = other > seat ? result + mask : result - mask;
            }
        }
    }

    // ------------------------------------------------------------------------------------------- LEAVES

    /// The leaf of a vector that has a word, of pseudo-random bytes.
    function leafOf(bytes32 seed, uint64 size, uint256 word) internal pure returns (bytes memory leaf) {
        uint256 left = size - 4096 * (word / 1024);
        leaf = new bytes(left < 4096 ? left : 4096);
        fill(leaf, seed);
    }

    function fill(bytes memory data, bytes32 seed) internal pure {
        for (uint256 at = 0; at + 32 <= data.length; at += 32) {
            bytes32 part = keccak256(abi.encode(seed, at));
            assembly {
                mstore(add(add(data, 32), at), part)
            }
        }
    }

    function put(bytes memory leaf, uint256 at, uint32 value) internal pure {
        for (uint256 i = 0; i < 4; ++i) {
            leaf[at + i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function cut(bytes memory data, uint256 at, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; i += 32) {
            assembly {
                mstore(add(add(part, 32), i), mload(add(add(data, 32), add(at, i))))
            }
        }
    }

    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", leaf));
    }

    function counted(uint256 set) internal pure returns (uint256 seats) {
        for (; set != 0; set &= set - 1) {
            ++seats;
        }
    }

    /// RFC 6962, section 2.1; what has no known leaf below it is a hash of its place.
    function top(Known[] memory known, uint256 first, uint256 width) internal pure returns (bytes32) {
        bool any;
        for (uint256 i = 0; i < known.length; ++i) {
            if (width == 1 && known[i].index == first) return known[i].hash;
            any = any || (known[i].index >= first && known[i].index < first + width);
        }
        if (!any) return keccak256(abi.encode(first, width));
        uint256 left = split(width);
        return sha256(
            abi.encodePacked(hex"01", top(known, first, left), top(known, first + left, width - left))
        );
    }

    function pathTo(Known[] memory known, uint256 index, uint256 width)
        internal
        pure
        returns (bytes32[] memory path)
    {
        bytes32[] memory down = new bytes32[](64);
        uint256 first;
        uint256 depth;
        while (width > 1) {
            uint256 left = split(width);
            if (index < first + left) {
                down[depth++] = top(known, first + left, width - left);
                width = left;
            } else {
                down[depth++] = top(known, first, left);
                (first, width) = (first + left, width - left);
            }
        }
        path = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            path[i] = down[depth - 1 - i];
        }
    }

    function split(uint256 width) private pure returns (uint256 left) {
        left = 1;
        while (2 * left < width) {
            left *= 2;
        }
    }
}
