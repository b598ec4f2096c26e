// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sets of seats, 0 to 255, as the bits of a word.
library Seats {
    uint256 private constant PAIRS = type(uint256).max / 3; // 0x5555…
    uint256 private constant FOURS = type(uint256).max / 5; // 0x3333…
    uint256 private constant BYTES = type(uint256).max / 17; // 0x0f0f…
    uint256 private constant SIXTEENS = type(uint256).max / 257; // 0x00ff00ff…
    uint256 private constant ONES = type(uint256).max / 65535; // 0x00010001…

    /// @notice How many seats are in the set.
    function count(uint256 set) internal pure returns (uint256) {
        // Counts of pairs of bits, of fours, of bytes and of sixteens, in place. No field is too small for its
        // count, and the product's highest field has the sum of all: nothing here can overflow into another.
        unchecked {
            set = (set & PAIRS) + ((set >> 1) & PAIRS);
            set = (set & FOURS) + ((set >> 2) & FOURS);
            set = (set & BYTES) + ((set >> 4) & BYTES);
            set = (set & SIXTEENS) + ((set >> 8) & SIXTEENS);
            return (set * ONES) >> 240;
        }
    }

    /// @notice Whether a seat is in the set.
    function has(uint256 set, uint256 seat) internal pure returns (bool) {
        return (set >> seat) & 1 == 1;
    }

    /// @notice The set with a seat.
    function with(uint256 set, uint256 seat) internal pure returns (uint256) {
        return set | (1 << seat);
    }

    /// @notice The set without a seat.
    function without(uint256 set, uint256 seat) internal pure returns (uint256) {
        return set & ~(1 << seat);
    }

    /// @notice The set as a list, ascending.
    function list(uint256 set) internal pure returns (uint256[] memory seats) {
        seats = new uint256[](count(set));
        for (uint256 i = 0; set != 0; ++i) {
            unchecked {
                seats[i] = count(~set & (set - 1)); // the zeros below the lowest seat; set is not empty
                set &= set - 1;
            }
        }
    }
}
