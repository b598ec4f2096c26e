// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Attestation, Phase} from "./FederationTypes.sol";
import {Rounds} from "./Rounds.sol";
import {SEAT_WORDS, Seats} from "./Seats.sol";

/// @title Which accepted updates count: a committee, drawn for each round, judges them.
/// @notice Of n = 3f+1 validators, 2f+1 must approve of an update; with up to f of them false or silent the
///         verdict is that of the others. Nobody judges an update of its own: a member's is judged by the 3f
///         others, of whom 2f+1 must approve, so that f silent ones keep it out. Drawn are the validators of the
///         moment of opening, by the hash of the block that opened the round, which nobody knew then; the draw
///         is on record before the first update.
abstract contract Committee is Rounds {
    using Seats for uint256[];
    using Seats for uint256[SEAT_WORDS];

    /// Tally of one update.
    /// @param approvals Validators that approve.
    /// @param rejections Validators that do not.
    /// @param eligible Validators that may judge it.
    /// @param score Median of the scores, the lower one of two; zero without any.
    struct Tally {
        uint8 approvals;
        uint8 rejections;
        uint8 eligible;
        int16 score;
    }

    event CommitteeDrawn(uint64 indexed round, uint64 attempt, bytes32 seed, address[] validators);
    event UpdateAttested(
        uint64 indexed round,
        address indexed hospital,
        address indexed validator,
        bool accepted,
        int16 score,
        bytes signature
    );
    event AttestationRejected(
        uint64 indexed round, address indexed hospital, address indexed validator, bytes reason
    );
    event UpdateValidated(uint64 indexed round, address indexed hospital, bool counted, Tally tally);

    error BadCommittee(uint8 size);
    error TooFewValidators(uint256 pool, uint256 needed);
    error NoCommittee();
    error CommitteeNotDrawn(uint64 round);
    error CommitteeDrawnAlready(uint64 round);
    error DrawTooEarly(uint64 openedAt);
    error DrawTooLate(uint64 openedAt);
    error NotOnCommittee(address validator);
    error JudgesItself(address validator);
    error AlreadyAttested(address validator, address hospital);
    error WrongCommitment(bytes32 expected, bytes32 given);
    error ValidationOver(uint64 deadline);
    error Undecided(uint64 round, address hospital);

    uint256 private constant MAX_COMMITTEE = 13; // a vote of 18 bits each fits a slot
    uint256 private constant VOTE_BITS = 18; // two of the verdict, sixteen of the score
    uint256 private constant SEAT_BITS = 12;
    uint256 private constant DRAWN_BITS = 156; // the validators' seats
    uint256 private constant REJECTS = 1;
    uint256 private constant APPROVES = 2;

    /// @notice Validators drawn for each round, 3f+1; zero: an accepted update counts.
    uint8 public immutable committeeSize;
    /// @notice Seconds from closing in which validators may attest.
    uint32 public immutable validationWindow;

    uint256[SEAT_WORDS] private _pool; // seats of the validators when the latest round was opened
    uint256 private _drawn; // round and attempt, as _drawing has them, and the validators' seats
    mapping(uint256 place => uint256) private _votes; // see _place; VOTE_BITS for each validator, in order

    constructor(uint8 committeeSize_, uint32 validationWindow_) {
        bool fits = committeeSize_ <= MAX_COMMITTEE && committeeSize_ % 3 == 1 && validationWindow_ != 0;
        if (committeeSize_ != 0 && !fits) revert BadCommittee(committeeSize_);
        committeeSize = committeeSize_;
        validationWindow = validationWindow_;
    }

    // ------------------------------------------------------------------------------------------- LOGIC

    /// @notice Draw the committee of the open round, after the block that opened it and within 256 blocks.
    /// @param number The open round.
    function drawCommittee(uint64 number) external {
        Head memory head = _require(number, Phase.Open);
        if (committeeSize == 0) revert NoCommittee();
        if (_isDrawn(number, head.attempt)) revert CommitteeDrawnAlready(number);
        uint64 openedAt = _course.openedAt;
        if (block.number <= openedAt) revert DrawTooEarly(openedAt);
        bytes32 hash = blockhash(openedAt);
        if (hash == bytes32(0)) revert DrawTooLate(openedAt);
        bytes32 seed = keccak256(abi.encode(hash, _federation(), number, head.attempt));
        uint256[] memory pool = _pool.load(_words()).list();
        address[] memory chosen = new address[](committeeSize);
        uint256 drawn = _drawing(number, head.attempt) << DRAWN_BITS;
        for (uint256 i = 0; i < chosen.length; ++i) {
            // The first steps of Fisher and Yates; the bias of the remainder is below 2^-248. What the seed is
            // worth is said above.
            // slither-disable-next-line weak-prng
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (pool.length - i);
            (pool[i], pool[j]) = (pool[j], pool[i]);
            drawn |= pool[i] << (SEAT_BITS * i);
            chosen[i] = _members[pool[i]].account;
        }
        _drawn = drawn;
        emit CommitteeDrawn(number, head.attempt, seed, chosen);
    }

    /// @notice Put validators' verdicts on record; each is taken or rejected, and none blocks another.
    /// @param attestations What the validators signed.
    /// @param signatures One for each.
    function attest(Attestation[] calldata attestations, bytes[] calldata signatures) external {
        if (attestations.length != signatures.length) {
            revert LengthMismatch(attestations.length, signatures.length);
        }
        for (uint256 i = 0; i < attestations.length; ++i) {
            Attestation calldata a = attestations[i];
            bytes memory reason = _judge(a, signatures[i]);
            if (reason.length == 0) {
                emit UpdateAttested(a.round, a.hospital, a.validator, a.accepted, a.score, signatures[i]);
            } else {
                emit AttestationRejected(a.round, a.hospital, a.validator, reason);
            }
        }
    }

    /// @notice Count the verdicts of the closed round: when every update is decided, or the time to judge is
    ///         over; then an update without a quorum does not count.
    /// @param number The closed round.
    function validateRound(uint64 number) external {
        Head memory head = _require(number, Phase.Closed);
        bool over = block.timestamp > _course.validationDeadline;
        uint256 quorum = (2 * uint256(committeeSize) + 1) / 3;
        uint256[] memory counted = _standing(head.words);
        uint256[] memory seats = counted.list();
        for (uint256 i = 0; i < seats.length; ++i) {
            address hospital = _members[seats[i]].account;
            Tally memory tally = _tally(number, head.attempt, seats[i]);
            bool counts = tally.approvals >= quorum;
            bool open = !counts && tally.eligible - tally.rejections >= quorum;
            if (open && !over) revert Undecided(number, hospital);
            if (!counts) counted.remove(seats[i]);
            emit UpdateValidated(number, hospital, counts, tally);
        }
        _setStanding(counted);
        _head.phase = Phase.Validated;
        _tellValidated(number, head.attempt, counted);
    }

    // ------------------------------------------------------------------------------------------- VIEWS

    /// @notice Accounts of the latest round's validators; none before they are drawn.
    function committee() external view returns (address[] memory accounts) {
        Head memory head = _latest();
        uint64 number = head.phase == Phase.Finalized ? head.lastFinalized : head.lastFinalized + 1;
        if (!_isDrawn(number, head.attempt)) return accounts;
        accounts = new address[](committeeSize);
        for (uint256 i = 0; i < accounts.length; ++i) {
            accounts[i] = _members[_judgeAt(i)].account;
        }
    }

    /// @notice The tally of an update of the latest round.
    function tallyOf(uint64 round, uint64 attempt, uint256 seat) external view returns (Tally memory) {
        return _tally(round, attempt, seat);
    }

    // ---------------------------------------------------------------------------------------- INTERNAL

    /// Who is drawn from is fixed before the hash that draws is known: nobody comes or goes to turn the draw.
    function _beforeOpening(Head memory) internal virtual override {
        if (committeeSize == 0) return;
        uint256[] memory pool = _validators.load(_words());
        uint256 size = pool.count();
        if (size < committeeSize) revert TooFewValidators(size, committeeSize);
        _pool.store(pool);
    }

    function _notReady(Gate memory gate) internal view override returns (bytes memory) {
        if (committeeSize == 0 || _isDrawn(gate.round, gate.attempt)) return "";
        return abi.encodeWithSelector(CommitteeNotDrawn.selector, gate.round);
    }

    function _validationSeconds() internal view override returns (uint48) {
        return committeeSize == 0 ? 0 : validationWindow;
    }

    function _tally(uint64 round, uint64 attempt, uint256 seat) internal view returns (Tally memory tally) {
        uint256 votes = _votes[_place(round, attempt, seat)];
        int16[] memory scores = new int16[](committeeSize);
        uint256 given;
        for (uint256 i = 0; i < committeeSize; ++i) {
            if (_judgeAt(i) != seat) ++tally.eligible;
            uint256 vote = votes >> (VOTE_BITS * i);
            if (vote & 3 == 0) continue;
            if (vote & 3 == APPROVES) ++tally.approvals;
            else ++tally.rejections;
            // Insertion sort of at most thirteen. The score's sixteen bits are taken alone.
            int16 score = int16(uint16(vote >> 2));
            uint256 j = given++;
            for (; j > 0 && scores[j - 1] > score; --j) {
                scores[j] = scores[j - 1];
            }
            scores[j] = score;
        }
        if (given != 0) tally.score = scores[(given - 1) / 2];
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    function _isDrawn(uint64 round, uint64 attempt) private view returns (bool) {
        return _drawn >> DRAWN_BITS == _drawing(round, attempt);
    }

    function _drawing(uint64 round, uint64 attempt) private pure returns (uint256) {
        return (uint256(round) << 32) | attempt;
    }

    /// Seat of the validator at a position.
    function _judgeAt(uint256 position) private view returns (uint256) {
        return (_drawn >> (SEAT_BITS * position)) & 0xfff;
    }

    /// Take a verdict, or say why not: an ABI-encoded error, empty when it is taken.
    function _judge(Attestation calldata a, bytes calldata signature) private returns (bytes memory) {
        if (a.federation != _federation()) {
            return abi.encodeWithSelector(WrongFederation.selector, _federation(), a.federation);
        }
        Head memory head = _latest();
        if (a.round != head.lastFinalized + 1 || head.phase != Phase.Closed) {
            return abi.encodeWithSelector(WrongPhase.selector, a.round, head.phase);
        }
        if (a.attempt != head.attempt) {
            return abi.encodeWithSelector(WrongAttempt.selector, head.attempt, a.attempt);
        }
        if (block.timestamp > _course.validationDeadline) {
            return abi.encodeWithSelector(ValidationOver.selector, _course.validationDeadline);
        }
        (uint256 judge, bool active,) = _lookUp(a.validator);
        if (!active) return abi.encodeWithSelector(NotActive.selector, a.validator);
        (uint256 seat,,) = _lookUp(a.hospital);
        // A key that was rotated since it submitted has its seat still; the commitment says whose update it is.
        if (_places[a.hospital].number == 0 || !_standing(head.words).has(seat)) {
            return abi.encodeWithSelector(NotAccepted.selector, a.round, a.hospital);
        }
        if (seat == judge) return abi.encodeWithSelector(JudgesItself.selector, a.validator);
        bytes32 commitment = commitmentOf(a.round, a.attempt, seat);
        if (commitment != a.commitment) {
            return abi.encodeWithSelector(WrongCommitment.selector, commitment, a.commitment);
        }
        return _vote(a, signature, judge, _place(a.round, a.attempt, seat));
    }

    function _vote(Attestation calldata a, bytes calldata signature, uint256 judge, uint256 place)
        private
        returns (bytes memory)
    {
        uint256 position = 0;
        while (position < committeeSize && _judgeAt(position) != judge) ++position;
        if (position == committeeSize) return abi.encodeWithSelector(NotOnCommittee.selector, a.validator);
        uint256 votes = _votes[place];
        if ((votes >> (VOTE_BITS * position)) & 3 != 0) {
            return abi.encodeWithSelector(AlreadyAttested.selector, a.validator, a.hospital);
        }
        address recovered = _recover(_hash(a), signature);
        if (recovered == address(0) || recovered != a.validator) {
            return abi.encodeWithSelector(BadSignature.selector, a.validator, recovered);
        }
        uint256 vote = (uint256(uint16(a.score)) << 2) | (a.accepted ? APPROVES : REJECTS);
        _votes[place] = votes | (vote << (VOTE_BITS * position));
        return "";
    }
}
