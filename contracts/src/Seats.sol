// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Sets of seats, 0 to 255, as the bits of a word.
library Seats {
    /// @notice How many seats are in the set.
    function count(uint256 set) internal pure returns (uint256 size) {
        // Each step takes the lowest seat away: as many steps as there are seats.
        while (set != 0) {
            unchecked {
                set &= set - 1; // set is not zero
                ++size; // at most 256
            }
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
                seats[i] = Math.log2(set & (~set + 1)); // the lowest bit alone; set is not zero
                set &= set - 1;
            }
        }
    }
}
