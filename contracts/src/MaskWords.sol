// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Single words of masks: AES-256-CTR (FIPS-197) under a seed, its counter from zero.
library MaskWords {
    /// The S-box of FIPS-197, section 5.1.1.
    bytes private constant S_BOX =
        hex"637c777bf26b6fc53001672bfed7ab76ca82c97dfa5947f0add4a2af9ca472c0"
        hex"b7fd9326363ff7cc34a5e5f171d8311504c723c31896059a071280e2eb27b275"
        hex"09832c1a1b6e5aa0523bd6b329e32f8453d100ed20fcb15b6acbbe394a4c58cf"
        hex"d0efaafb434d338545f9027f503c9fa851a3408f929d38f5bcb6da2110fff3d2"
        hex"cd0c13ec5f974417c4a77e3d645d197360814fdc222a908846eeb814de5e0bdb"
        hex"e0323a0a4906245cc2d3ac629195e479e7c8376d8dd54ea96c56f4ea657aae08"
        hex"ba78252e1ca6b4c6e8dd741f4bbd8b8a703eb5664803f60e613557b986c11d9e"
        hex"e1f8981169d98e949b1e87e9ce5528df8ca1890dbfe6426841992d0fb054bb16";

    /// @notice What the blocks of any number of seeds are made with; made once.
    /// @return table For each byte x with S(x) = s eight bytes: 2s, s, s, 3s, and these again, so that every
    ///         rotation of a column is one shift away.
    /// @return schedule Room for the 60 words of one key schedule.
    function tables() internal pure returns (bytes memory table, bytes memory schedule) {
        bytes memory box = S_BOX;
        // Room to read a whole word at the last entry.
        table = new bytes(2080);
        schedule = new bytes(1920);
        assembly ("memory-safe") {
            for { let x := 0 } lt(x, 256) { x := add(x, 1) } {
                let s := byte(0, mload(add(add(box, 32), x)))
                let twice := xor(shl(1, s), mul(shr(7, s), 0x11b))
                let column := or(or(shl(24, twice), shl(16, s)), or(shl(8, s), xor(twice, s)))
                mstore(add(add(table, 32), shl(3, x)), shl(192, or(shl(32, column), column)))
            }
        }
    }

    /// @notice One word of a mask.
    /// @param table, schedule As `tables` made them; the schedule is overwritten.
    /// @param seed The key.
    /// @param place Of the word: it is the little-endian word at byte 4 (place mod 4) of block place / 4.
    function word(bytes memory table, bytes memory schedule, bytes32 seed, uint256 place)
        internal
        pure
        returns (uint32)
    {
        _expand(table, schedule, seed);
        _rounds(table, schedule, place >> 2);
        return _last(table, schedule, place & 3);
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    /// The key schedule of FIPS-197, section 5.2, a word of four bytes in each word of memory.
    function _expand(bytes memory table, bytes memory schedule, bytes32 seed) private pure {
        assembly ("memory-safe") {
            function substituted(t, x) -> y {
                let high := shl(24, byte(1, mload(add(t, shl(3, shr(24, x))))))
                high := or(high, shl(16, byte(1, mload(add(t, shl(3, and(shr(16, x), 0xff)))))))
                y := or(shl(8, byte(1, mload(add(t, shl(3, and(shr(8, x), 0xff)))))), high)
                y := or(y, byte(1, mload(add(t, shl(3, and(x, 0xff))))))
            }
            let t := add(table, 32)
            let k := add(schedule, 32)
            for { let i := 0 } lt(i, 8) { i := add(i, 1) } {
                mstore(add(k, shl(5, i)), and(shr(sub(224, shl(5, i)), seed), 0xffffffff))
            }
            let rcon := 0x01000000
            for { let i := 8 } lt(i, 60) { i := add(i, 1) } {
                let at := add(k, shl(5, i))
                let w := mload(sub(at, 32))
                switch and(i, 7)
                case 0 {
                    w := xor(substituted(t, and(0xffffffff, or(shl(8, w), shr(24, w)))), rcon)
                    rcon := shl(1, rcon)
                }
                case 4 { w := substituted(t, w) }
                mstore(at, xor(w, mload(sub(at, 256))))
            }
        }
    }

    /// Encrypt a counter but for the last round. The four columns replace the first round's key.
    function _rounds(bytes memory table, bytes memory schedule, uint256 counter) private pure {
        assembly ("memory-safe") {
            function mixed(t, a, b, c, d, key) -> y {
                y := xor(mload(key), shr(192, mload(add(t, shl(3, shr(24, a))))))
                y := xor(y, shr(200, mload(add(t, shl(3, and(shr(16, b), 0xff))))))
                y := xor(y, shr(208, mload(add(t, shl(3, and(shr(8, c), 0xff))))))
                y := and(xor(y, shr(216, mload(add(t, shl(3, and(d, 0xff)))))), 0xffffffff)
            }
            let t := add(table, 32)
            let k := add(schedule, 32)
            let a := xor(mload(k), and(shr(96, counter), 0xffffffff))
            let b := xor(mload(add(k, 32)), and(shr(64, counter), 0xffffffff))
            let c := xor(mload(add(k, 64)), and(shr(32, counter), 0xffffffff))
            let d := xor(mload(add(k, 96)), and(counter, 0xffffffff))
            for { let key := add(k, 128) } lt(key, add(k, 1792)) { key := add(key, 128) } {
                let a_ := mixed(t, a, b, c, d, key)
                let b_ := mixed(t, b, c, d, a, add(key, 32))
                let c_ := mixed(t, c, d, a, b, add(key, 64))
                d := mixed(t, d, a, b, c, add(key, 96))
                a := a_
                b := b_
                c := c_
            }
            mstore(k, a)
            mstore(add(k, 32), b)
            mstore(add(k, 64), c)
            mstore(add(k, 96), d)
        }
    }

    /// One column of the last round, whose first byte is the word's lowest.
    function _last(bytes memory table, bytes memory schedule, uint256 column)
        private
        pure
        returns (uint32 result)
    {
        assembly ("memory-safe") {
            let t := add(table, 32)
            let k := add(schedule, 32)
            let key := mload(add(k, add(1792, shl(5, column))))
            for { let i := 0 } lt(i, 4) { i := add(i, 1) } {
                let w := mload(add(k, shl(5, and(add(column, i), 3))))
                let x := and(shr(sub(24, shl(3, i)), w), 0xff)
                let s := byte(1, mload(add(t, shl(3, x))))
                result := or(result, shl(shl(3, i), xor(s, byte(add(28, i), key))))
            }
        }
    }
}
