// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

uint256 constant SEAT_WORDS = 16; // of a set of all seats

/// @title Sets of seats: bit k of word w is seat 256 * w + k.
/// @notice In storage a set has room for every seat; in memory and in calls it has as many words as its round.
library Seats {
    /// @notice Seats of a federation: as many as a round's weights sum to at most, each of which is one or more.
    uint256 internal constant MOST = 4096;

    uint256 private constant PAIRS = type(uint256).max / 3; // 0x5555…
    uint256 private constant FOURS = type(uint256).max / 5; // 0x3333…
    uint256 private constant BYTES = type(uint256).max / 17; // 0x0f0f…
    uint256 private constant SIXTEENS = type(uint256).max / 257; // 0x00ff00ff…
    uint256 private constant ONES = type(uint256).max / 65535; // 0x00010001…

    // --------------------------------------------------------------------------------------- ONE WORD

    /// @notice How many seats are in a word.
    function count(uint256 word) internal pure returns (uint256) {
        // Counts of pairs of bits, of fours, of bytes and of sixteens, in place. No field is too small for its
        // count, and the product's highest field has the sum of all: nothing here can overflow into another.
        unchecked {
            word = (word & PAIRS) + ((word >> 1) & PAIRS);
            word = (word & FOURS) + ((word >> 2) & FOURS);
            word = (word & BYTES) + ((word >> 4) & BYTES);
            word = (word & SIXTEENS) + ((word >> 8) & SIXTEENS);
            return (word * ONES) >> 240;
        }
    }

    /// @notice The set that has one word.
    function only(uint256 word) internal pure returns (uint256[] memory set) {
        set = new uint256[](1);
        set[0] = word;
    }

    // -------------------------------------------------------------------------------------- IN MEMORY

    /// @notice How many seats are in the set.
    function count(uint256[] memory set) internal pure returns (uint256 seats) {
        for (uint256 w = 0; w < set.length; ++w) {
            seats += count(_at(set, w));
        }
    }

    /// @notice Whether a seat is in the set.
    function has(uint256[] memory set, uint256 seat) internal pure returns (bool) {
        return seat >> 8 < set.length && (_at(set, seat >> 8) >> (seat & 0xff)) & 1 == 1;
    }

    /// @notice Put a seat into the set, in place.
    function add(uint256[] memory set, uint256 seat) internal pure {
        set[seat >> 8] |= 1 << (seat & 0xff);
    }

    /// @notice Take a seat out of the set, in place.
    function remove(uint256[] memory set, uint256 seat) internal pure {
        set[seat >> 8] &= ~(1 << (seat & 0xff));
    }

    /// @notice The set as a list, ascending.
    function list(uint256[] memory set) internal pure returns (uint256[] memory seats) {
        seats = new uint256[](count(set));
        uint256 i;
        for (uint256 w = 0; w < set.length; ++w) {
            for (uint256 word = _at(set, w); word != 0; ++i) {
                unchecked {
                    // Zeros below the lowest seat; the word is not empty.
                    seats[i] = (w << 8) + count(~word & (word - 1));
                    word &= word - 1;
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------- IN STORAGE

    /// @notice The first words of a set, of which it has so many at least; each changed by a mask.
    function load(uint256[SEAT_WORDS] storage stored, uint256 words, uint256 mask)
        internal
        view
        returns (uint256[] memory set)
    {
        assembly ("memory-safe") {
            set := mload(0x40)
            mstore(set, words)
            let slot := stored.slot
            let end := add(set, mul(add(words, 1), 32))
            mstore(0x40, end)
            for { let at := add(set, 32) } lt(at, end) { at := add(at, 32) } {
                mstore(at, xor(sload(slot), mask))
                slot := add(slot, 1)
            }
        }
    }

    /// @notice The first words of a set.
    function load(uint256[SEAT_WORDS] storage stored, uint256 words) internal view returns (uint256[] memory) {
        return load(stored, words, 0);
    }

    /// @notice Whether a seat is in the set.
    function holds(uint256[SEAT_WORDS] storage stored, uint256 seat) internal view returns (bool) {
        return (stored[seat >> 8] >> (seat & 0xff)) & 1 == 1;
    }

    /// @notice Put a seat into the set.
    function put(uint256[SEAT_WORDS] storage stored, uint256 seat) internal {
        stored[seat >> 8] |= 1 << (seat & 0xff);
    }

    /// @notice Take a seat out of the set.
    function drop(uint256[SEAT_WORDS] storage stored, uint256 seat) internal {
        stored[seat >> 8] &= ~(1 << (seat & 0xff));
    }

    /// @notice Write the first words of a set, each changed by a mask.
    function store(uint256[SEAT_WORDS] storage stored, uint256[] memory set, uint256 mask) internal {
        for (uint256 w = 0; w < set.length; ++w) {
            uint256 word = _at(set, w) ^ mask;
            assembly ("memory-safe") {
                sstore(add(stored.slot, w), word)
            }
        }
    }

    /// @notice Write the first words of a set.
    function store(uint256[SEAT_WORDS] storage stored, uint256[] memory set) internal {
        store(stored, set, 0);
    }

    // ---------------------------------------------------------------------------------------- PRIVATE

    /// A word of a set that has so many.
    function _at(uint256[] memory set, uint256 w) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(set, 32), mul(w, 32)))
        }
    }
}
