// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Committee} from "./Committee.sol";
import {Phase} from "./FederationTypes.sol";
import {Seats} from "./Seats.sol";

/// @title Contribution credits: a record of who contributed how much. They cannot be given away.
/// @notice Each finalized round gives its whole budget to the included hospitals, by weight; where a committee
///         scored them, by weight times gain, or by weight alone when nobody gained. The shares are differences
///         of rounded-down running totals in the order of seats: each is within one credit of the exact share,
///         and their sum is the budget.
abstract contract Rewards is Committee {
    using Seats for uint256;

    event RewardsSettled(uint64 indexed round, uint256 included, uint256[] credits);

    error AlreadySettled(uint64 round);
    error NothingFinalized();

    /// @notice Credits of each round.
    uint64 public immutable rewardBudget;

    mapping(uint256 seat => uint256) private _credits;

    constructor(uint64 rewardBudget_) {
        rewardBudget = rewardBudget_;
    }

    /// @notice Give the credits of the round that was finalized last. Anyone may; the next opening does it
    ///         otherwise.
    function settle() external {
        Head memory head = _latest();
        if (head.phase != Phase.Finalized) revert NothingFinalized();
        if (head.settled || rewardBudget == 0) revert AlreadySettled(head.lastFinalized);
        head.settled = true;
        _head = head;
        _settle(head);
    }

    /// @notice Credits of all seats of a set, ascending.
    function creditsOfSeats(uint256 seats) external view returns (uint256[] memory credits) {
        uint256[] memory listed = seats.list();
        credits = new uint256[](listed.length);
        for (uint256 i = 0; i < listed.length; ++i) {
            credits[i] = _credits[listed[i]];
        }
    }

    function _beforeOpening(Head memory head) internal virtual override {
        // The opening marks the round that it opens as unsettled.
        if (rewardBudget != 0 && head.phase == Phase.Finalized && !head.settled) _settle(head);
        super._beforeOpening(head);
    }

    function _settle(Head memory head) private {
        uint64 number = head.lastFinalized;
        uint256 included = _standing();
        uint256[] memory seats = included.list();
        uint256[] memory shares = new uint256[](seats.length);
        uint256 total = _shares(head, seats, shares, committeeSize != 0);
        // slither-disable-next-line incorrect-equality (a sum of what is not negative)
        if (total == 0) total = _shares(head, seats, shares, false); // nobody gained
        uint256[] memory credits = new uint256[](seats.length);
        uint256 running;
        uint256 given;
        for (uint256 i = 0; i < seats.length; ++i) {
            running += shares[i];
            uint256 upTo = (uint256(rewardBudget) * running) / total;
            credits[i] = upTo - given;
            given = upTo;
            _credits[seats[i]] += credits[i];
        }
        emit RewardsSettled(number, included, credits);
    }

    function _shares(Head memory head, uint256[] memory seats, uint256[] memory shares, bool byGain)
        private
        view
        returns (uint256 total)
    {
        for (uint256 i = 0; i < seats.length; ++i) {
            shares[i] = weightOf(_members[seats[i]].samples);
            if (byGain) {
                int16 score = _tally(head.lastFinalized, head.attempt, seats[i]).score;
                shares[i] *= score > 0 ? uint256(int256(score)) : 0;
            }
            total += shares[i];
        }
    }
}
