// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DisputeCourt} from "./DisputeCourt.sol";
import {Bounds} from "./FederationTypes.sol";
import {Rounds} from "./Rounds.sol";

/// @title What a federation's configuration allows of a round: which numbers, until when, with which shares of
///        the weight, and under which bond.
/// @notice Made by a ledger with itself, in one transaction; the ledger asks it before it opens a round, and,
///         where shares are bound, before it finalizes one. It keeps nothing. It stands apart because the
///         ledger's code is as large as code may be (EIP-170).
contract RoundRules {
    uint256 private constant WHOLE = 10_000; // of which shares are parts

    DisputeCourt private immutable _court;
    bool private immutable _bonded;
    uint48 private immutable _rounds;
    uint32 private immutable _shortestDeadline;
    uint16 private immutable _largestShare;

    constructor(Bounds memory bounds, DisputeCourt court, bool bonded) {
        if (bounds.largestShare > WHOLE) revert Rounds.BadShare(bounds.largestShare);
        _court = court;
        _bonded = bonded;
        _rounds = bounds.rounds;
        _shortestDeadline = bounds.shortestDeadline;
        _largestShare = bounds.largestShare;
    }

    /// @notice Reverts where a round may not open.
    /// @param number Of the round.
    /// @param samples Of each participant; asked for only where shares are bound.
    /// @param deadline Chain time in seconds after which nothing is accepted.
    /// @return threshold The samples of a participant that count: so many, and no more, so that none has more
    ///         than the largest share of their sum.
    function requireOpening(uint64 number, uint256[] calldata samples, uint48 deadline)
        external
        view
        returns (uint64 threshold)
    {
        if (_rounds != 0 && number > _rounds) revert Rounds.NoSuchRound(_rounds, number);
        if (deadline <= block.timestamp) revert Rounds.DeadlineInPast(deadline);
        uint256 earliest = block.timestamp + _shortestDeadline;
        if (deadline < earliest) revert Rounds.DeadlineTooNear(earliest, deadline);
        if (_bonded) _court.requireBond();
        return _largestShare == 0 ? type(uint64).max : _threshold(samples);
    }

    /// @notice Reverts where an included hospital's weight is a unit or more above the largest share of the
    ///         included ones' sum. A unit is what rounding can add: the weights are whole numbers, of which each
    ///         is at least one.
    /// @param seats The included ones.
    /// @param weights Of each.
    function requireShares(uint256[] calldata seats, uint256[] calldata weights) external view {
        uint256 sum;
        uint256 largest;
        uint256 holder;
        for (uint256 i = 0; i < seats.length; ++i) {
            sum += weights[i];
            if (weights[i] > largest) (largest, holder) = (weights[i], seats[i]);
        }
        if (largest * WHOLE >= sum * _largestShare + WHOLE) {
            revert Rounds.ShareTooLarge(holder, largest, sum);
        }
    }

    /// The largest t with min(s, t) <= share * sum of all min(s, t), for every participant's samples s: where k
    /// have more than t, and the others R together, t = share * R / (1 - k * share). From k = 0 on, t falls and k
    /// grows until no further one has more. k * share stays below one, for the others have something: t does not
    /// fall below the fewest samples, with which all shares would be equal.
    function _threshold(uint256[] calldata samples) private view returns (uint64) {
        uint256 needed = (WHOLE + _largestShare - 1) / _largestShare;
        if (samples.length < needed) revert Rounds.TooFewForShare(samples.length, needed);
        uint256 threshold = type(uint64).max;
        (uint256 above, uint256 rest) = _split(samples, threshold);
        uint256 before;
        do {
            before = above;
            threshold = (rest * _largestShare) / (WHOLE - above * _largestShare);
            (above, rest) = _split(samples, threshold);
        } while (above != before);
        return threshold > type(uint64).max ? type(uint64).max : uint64(threshold);
    }

    /// How many have more than a threshold, and what the others have together.
    function _split(uint256[] calldata samples, uint256 threshold)
        private
        pure
        returns (uint256 above, uint256 rest)
    {
        for (uint256 i = 0; i < samples.length; ++i) {
            if (samples[i] > threshold) ++above;
            else rest += samples[i];
        }
    }
}
