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
    using Seats for uint256[];

    /// How far the credits of a round are given whose sets have several words: one slot.
    struct Settling {
        uint64 round;
        uint8 word; // the next
        uint80 running; // shares of the words before
        uint80 total;
        bool byGain;
    }

    event RewardsSettled(uint64 indexed round, uint256 included, uint256[] credits);
    /// Of a round with seats beyond 256, one event for each of its words, with the included seats of that word.
    event RewardsSettled(uint64 indexed round, uint256[] included, uint256[] credits);

    error AlreadySettled(uint64 round);
    error NotSettled(uint64 round);
    error NothingFinalized();

    /// @notice Credits of each round.
    uint64 public immutable rewardBudget;

    mapping(uint256 seat => uint256) private _credits;
    Settling private _settling;

    constructor(uint64 rewardBudget_) {
        rewardBudget = rewardBudget_;
    }

    /// @notice Give the credits of the round that was finalized last. Anyone may; the next opening does it
    ///         otherwise, where the round's seats are the first 256. Where it has others, each call gives those of
    ///         one word of 256 seats, until all are given: together they are too many for a transaction.
    function settle() external {
        Head memory head = _latest();
        if (head.phase != Phase.Finalized) revert NothingFinalized();
        if (head.settled || rewardBudget == 0) revert AlreadySettled(head.lastFinalized);
        head.settled = _settle(head);
        _head = head;
    }

    /// @notice Credits of all seats of a set of the first 256, ascending.
    function creditsOfSeats(uint256 seats) external view returns (uint256[] memory credits) {
        return creditsOfWord(0, seats);
    }

    /// @notice As `creditsOfSeats`, of a set of the seats from 256 * word on.
    function creditsOfWord(uint256 word, uint256 seats) public view returns (uint256[] memory credits) {
        credits = Seats.only(seats).list();
        for (uint256 i = 0; i < credits.length; ++i) {
            credits[i] = _credits[256 * word + credits[i]];
        }
    }

    function _beforeOpening(Head memory head) internal virtual override {
        // The opening marks the round that it opens as unsettled.
        bool due = rewardBudget != 0 && head.phase == Phase.Finalized && !head.settled;
        if (due && head.words > 1) revert NotSettled(head.lastFinalized);
        if (due) _settle(head);
        super._beforeOpening(head);
    }

    /// Give the credits of the first word of which they are not given; whether it was the last.
    function _settle(Head memory head) private returns (bool last) {
        uint256[] memory included = _standing(head.words);
        (Settling memory at, uint256[] memory seats, uint256[] memory shares) = _due(head, included);
        uint256[] memory credits = new uint256[](Seats.count(included[at.word]));
        uint256 running = at.running;
        uint256 given = (uint256(rewardBudget) * running) / at.total;
        for (uint256 i = 0; i < credits.length; ++i) {
            running += shares[i];
            uint256 upTo = (uint256(rewardBudget) * running) / at.total;
            credits[i] = upTo - given;
            given = upTo;
            _credits[seats[i]] += credits[i];
        }
        if (head.words == 1) {
            emit RewardsSettled(head.lastFinalized, included[0], credits);
            return true;
        }
        emit RewardsSettled(head.lastFinalized, _only(included, at.word), credits);
        at.running = uint80(running); // at most `total`
        last = ++at.word == head.words;
        _settling = at;
    }

    /// How far the credits are given, and the seats and shares of the word that is next, at least. The first time
    /// they are those of all words, for the sum of all shares is taken then.
    function _due(Head memory head, uint256[] memory included)
        private
        view
        returns (Settling memory at, uint256[] memory seats, uint256[] memory shares)
    {
        if (head.words > 1) at = _settling;
        if (at.round == head.lastFinalized) {
            seats = _only(included, at.word).list();
            (shares,) = _shares(head, seats, at.byGain);
            return (at, seats, shares);
        }
        at = Settling(head.lastFinalized, 0, 0, 0, committeeSize != 0);
        seats = included.list();
        uint256 total;
        (shares, total) = _shares(head, seats, at.byGain);
        // slither-disable-next-line incorrect-equality (a sum of what is not negative)
        if (total == 0) {
            at.byGain = false; // nobody gained
            (shares, total) = _shares(head, seats, false);
        }
        at.total = uint80(total); // at most WEIGHT_SUM times the largest score
    }

    /// The seats of one word of a set.
    function _only(uint256[] memory set, uint256 word) private pure returns (uint256[] memory part) {
        part = new uint256[](set.length);
        part[word] = set[word];
    }

    function _shares(Head memory head, uint256[] memory seats, bool byGain)
        private
        view
        returns (uint256[] memory shares, uint256 total)
    {
        shares = new uint256[](seats.length);
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
