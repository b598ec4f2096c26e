// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Member, Phase, Recording, Refusal, Result, Submission, Weighting} from "./FederationTypes.sol";
import {Membership} from "./Membership.sol";
import {SEAT_WORDS, Seats} from "./Seats.sol";

/// @title One round after another: opened, submitted to, closed, validated, finalized, or aborted.
/// @notice Only the latest round has slots of its own, which the next one overwrites. Of an update the contract
///         keeps its commitment, of a finalized round the hash of its result; the events have the fields.
abstract contract Rounds is Membership {
    using Seats for uint256[];
    using Seats for uint256[SEAT_WORDS];

    // ------------------------------------------------------------------------------------------- TYPES

    /// The latest round, besides its head: one slot.
    struct Course {
        uint48 deadline; // chain time in seconds after which nothing is accepted
        uint48 validationDeadline; // after which nobody attests; zero before it is closed
        uint64 openedAt; // block
        uint80 totalSamples; // of the participants: 4,096 times 2^64 fit
        uint16 participants; // how many
    }

    /// What a batch of submissions is held against.
    struct Gate {
        uint64 round; // zero: none is open
        uint64 attempt;
        uint256[] participants;
        uint256[] standing;
        bytes32 base;
        uint48 deadline;
    }

    /// Who is asked, as a round is opened: a set of seats, and of each of them the account and the samples.
    struct Asked {
        uint256[] participants;
        address[] accounts;
        uint256[] samples;
    }

    // ------------------------------------------------------------------------------------------ EVENTS

    event RoundOpened(
        uint64 indexed round,
        uint64 attempt,
        bytes32 baseDigest,
        bytes32 configDigest,
        uint64 deadline,
        uint256 seats,
        address[] participants,
        uint32[] weights
    );
    event UpdateAccepted(
        uint64 indexed round,
        address indexed hospital,
        bytes32 root,
        uint64 samples,
        uint64 size,
        bytes32 metrics,
        bytes signature
    );
    event UpdateRejected(uint64 indexed round, address indexed hospital, bytes32 root, bytes reason);
    event SubmissionsCommitted(
        uint64 indexed round, uint64 attempt, bytes32 submissionsRoot, bytes32 listRoot, uint256 accepted
    );
    event RoundClosed(uint64 indexed round, uint64 attempt, uint256 accepted, uint64 validationDeadline);
    event RoundValidated(uint64 indexed round, uint64 attempt, uint256 counted);
    event UpdateExcluded(uint64 indexed round, address indexed hospital, string reason);
    event BaseRefused(uint64 indexed round, address indexed hospital, bytes32 seen, bytes signature);
    event RoundFinalized(
        uint64 indexed round,
        uint64 attempt,
        bytes32 aggregateRoot,
        bytes32 modelDigest,
        bytes32 submissionsRoot,
        uint256 included
    );
    event RoundAborted(uint64 indexed round, uint64 attempt, address by, string reason);

    // Of a round with seats beyond 256, whose sets have several words: the same events, with all the words.
    event RoundOpened(
        uint64 indexed round,
        uint64 attempt,
        bytes32 baseDigest,
        bytes32 configDigest,
        uint64 deadline,
        uint256[] seats,
        address[] participants,
        uint32[] weights
    );
    event SubmissionsCommitted(
        uint64 indexed round, uint64 attempt, bytes32 submissionsRoot, bytes32 listRoot, uint256[] accepted
    );
    event RoundClosed(uint64 indexed round, uint64 attempt, uint256[] accepted, uint64 validationDeadline);
    event RoundValidated(uint64 indexed round, uint64 attempt, uint256[] counted);
    event RoundFinalized(
        uint64 indexed round,
        uint64 attempt,
        bytes32 aggregateRoot,
        bytes32 modelDigest,
        bytes32 submissionsRoot,
        uint256[] included
    );

    // ------------------------------------------------------------------------------------------ ERRORS

    error WrongRound(uint64 expected, uint64 given);
    error WrongBase(bytes32 expected, bytes32 given);
    error WrongAttempt(uint64 expected, uint64 given);
    error WrongPhase(uint64 round, Phase phase);
    error NoParticipants();
    /// @param seats Of the first word of 256 that has such.
    error UnknownSeats(uint256 seats);
    error WrongWords(uint256 given);
    error NotParticipant(address hospital);
    error DeadlinePassed(uint64 deadline);
    error DeadlineInPast(uint64 deadline);
    error DeadlineTooNear(uint256 earliest, uint64 given);
    error NoSuchRound(uint64 rounds, uint64 given);
    error BadShare(uint16 share);
    error TooFewForShare(uint256 participants, uint256 needed);
    error ShareTooLarge(uint256 seat, uint256 weight, uint256 sum);
    error TooManySamples(uint64 registered, uint64 given);
    error EmptyUpdate(address hospital);
    error WrongSize(uint64 expected, uint64 given);
    error AlreadySubmitted(uint64 round, address hospital);
    error LengthMismatch(uint256 left, uint256 right);
    error QuorumMissing(uint256 updates, uint256 needed);
    error StillOpen(uint64 round, uint64 deadline);
    error NotAccepted(uint64 round, address hospital);
    /// @param seats Of the first word of 256 that has such.
    error SubmissionsMissing(uint256 seats);
    error WrongRecording(Recording recording);
    error NoModel(uint64 round);

    // ----------------------------------------------------------------------------------------- STORAGE

    /// @notice The weights of a round sum to at most this, so that a weighted sum of 20-bit integers stays
    ///         within a signed 32-bit one.
    uint32 public constant WEIGHT_SUM = 4096;

    uint256 private constant ALL = type(uint256).max;

    /// @notice How every round's weights follow from its participants' registered samples.
    Weighting public immutable weighting;
    /// @notice Whether each submission is on the chain, or one Merkle root of all.
    Recording public immutable recording;
    /// @notice Whether updates are plain vectors of the ring.
    bool public immutable openUpdates;
    /// @notice Updates that a round needs.
    uint16 public immutable minUpdates;
    /// @notice Bytes of a vector of the ring.
    uint64 public immutable updateSize;
    bool private immutable _capped; // whether a hospital's share of the weight is bound

    /// @notice Digest of the model that the latest round starts from, or the next one where none is open.
    bytes32 public modelDigest;
    /// @notice Merkle root of the latest round's configuration.
    bytes32 public roundConfigDigest;
    Course internal _course;
    uint256[SEAT_WORDS] internal _participants; // seats of the latest round
    /// All seats but those whose updates stand in the latest round: the accepted ones; once it is validated,
    /// those that count; once it is finalized, the included ones. Kept inverted, for a slot that is emptied for
    /// each round costs 20,000 gas to fill again, and one that is changed 2,900.
    uint256[SEAT_WORDS] private _notStanding;
    uint64 private _threshold; // samples of a participant that count in the latest round, where shares are bound
    bytes32 private _submissionsRoot; // of the latest round, where one root records all
    mapping(uint256 place => bytes32) private _commitments; // see _place

    constructor(
        bytes32 genesisDigest,
        Weighting weighting_,
        Recording recording_,
        bool openUpdates_,
        uint16 minUpdates_,
        uint64 updateSize_,
        bool capped
    ) {
        _head.coordinator = msg.sender;
        _notStanding[0] = ALL;
        modelDigest = genesisDigest;
        weighting = weighting_;
        recording = recording_;
        openUpdates = openUpdates_;
        minUpdates = minUpdates_ == 0 ? 1 : minUpdates_;
        updateSize = updateSize_;
        _capped = capped;
    }

    // ------------------------------------------------------------------------------------------- LOGIC

    /// @notice Open the next round. The contract computes the weights, by the rule that it was founded with.
    /// @param number One more than the last finalized round.
    /// @param base Must be the current model's digest.
    /// @param configDigest_ Merkle root of the round's configuration.
    /// @param participants Seats of active hospitals, of the first 256.
    /// @param deadline Chain time in seconds after which nothing is accepted.
    function openRound(
        uint64 number,
        bytes32 base,
        bytes32 configDigest_,
        uint256 participants,
        uint48 deadline
    ) external {
        _open(number, base, configDigest_, Seats.only(participants), deadline);
    }

    /// @notice As `openRound`, with seats beyond the first 256.
    /// @param participants Seats of active hospitals: two words or more, the last of which has some.
    function openWideRound(
        uint64 number,
        bytes32 base,
        bytes32 configDigest_,
        uint256[] calldata participants,
        uint48 deadline
    ) external {
        uint256 words = participants.length;
        if (words < 2 || words > SEAT_WORDS || participants[words - 1] == 0) revert WrongWords(words);
        _open(number, base, configDigest_, participants, deadline);
    }

    /// @notice Submit updates for many hospitals; each is accepted or rejected, and none blocks another.
    /// @param submissions What the hospitals signed.
    /// @param signatures One for each.
    function submitUpdates(Submission[] calldata submissions, bytes[] calldata signatures) external {
        if (submissions.length != signatures.length) {
            revert LengthMismatch(submissions.length, signatures.length);
        }
        Gate memory gate = _gate();
        for (uint256 i = 0; i < submissions.length; ++i) {
            bytes memory reason = _take(gate, submissions[i], signatures[i]);
            if (reason.length != 0) {
                emit UpdateRejected(
                    submissions[i].round, submissions[i].hospital, submissions[i].root, reason
                );
            }
        }
        _setStanding(gate.standing);
    }

    /// @notice Submit one update; reverts with the reason when it is rejected. A hospital that suspects
    ///         censorship calls this itself, also where one root records all.
    /// @param submission What the hospital signed.
    /// @param signature 65 bytes, by the hospital.
    function submitUpdate(Submission calldata submission, bytes calldata signature) external {
        Gate memory gate = _gate();
        bytes memory reason = _take(gate, submission, signature);
        if (reason.length != 0) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
        _setStanding(gate.standing);
    }

    /// @notice Put on record that a hospital was handed a model which this contract does not hold.
    /// @param refusal What the hospital signed.
    /// @param signature 65 bytes, by the hospital.
    function refuseBase(Refusal calldata refusal, bytes calldata signature) external {
        _requireFederation(refusal.federation);
        (uint256 seat, bool active,) = _lookUp(refusal.hospital);
        if (!active || !_hospitals.holds(seat)) revert NotActive(refusal.hospital);
        _requireSigned(refusal.hospital, _hash(refusal), signature);
        emit BaseRefused(refusal.round, refusal.hospital, refusal.seen, signature);
    }

    /// @notice Close the open round: what is accepted now is what can be aggregated. By the coordinator with
    ///         enough updates, by anyone when all are in or the deadline has passed.
    /// @param number The open round.
    function closeRound(uint64 number) external {
        if (recording != Recording.Each) revert WrongRecording(recording);
        _close(number, _standing(_head.words));
    }

    /// @notice Close the open round with one root for all its submissions.
    /// @dev The tree has a leaf for each of 256 seats, `submissionLeaf` where there is a submission and zero
    ///      where there is none, and keccak256 of two children as a node.
    /// @param number The open round.
    /// @param submissionsRoot_ Root of the tree.
    /// @param listRoot Merkle root of the list of submissions and signatures in the store.
    /// @param accepted Seats with a leaf: of participants that are active still, or submitted here by themselves
    ///        before; the latter must be among them.
    function closeWithRoot(uint64 number, bytes32 submissionsRoot_, bytes32 listRoot, uint256 accepted)
        external
    {
        _closeWithRoot(number, submissionsRoot_, listRoot, Seats.only(accepted));
    }

    /// @notice As `closeWithRoot`, where the round has seats beyond the first 256; the tree has a leaf for each of
    ///         4,096 then.
    /// @param accepted As many words as the round was opened with.
    function closeWideWithRoot(
        uint64 number,
        bytes32 submissionsRoot_,
        bytes32 listRoot,
        uint256[] calldata accepted
    ) external {
        _closeWithRoot(number, submissionsRoot_, listRoot, accepted);
    }

    /// @notice Finalize the validated round with its result.
    /// @param number The validated round.
    /// @param aggregateRoot Merkle root of the ring sum.
    /// @param newModelDigest Digest of the released model, from which the next round starts.
    /// @param excluded Hospitals whose updates count, and are not in the sum.
    /// @param reasons Why each of them is not; an auditor tries it.
    function finalizeRound(
        uint64 number,
        bytes32 aggregateRoot,
        bytes32 newModelDigest,
        address[] calldata excluded,
        string[] calldata reasons
    ) external {
        Head memory head = _head;
        if (msg.sender != head.coordinator) revert NotCoordinator(msg.sender);
        bool due = number == head.lastFinalized + 1 && head.phase == Phase.Validated && _results[number] == 0;
        if (!due) revert WrongPhase(number, _latest().phase);
        if (newModelDigest == bytes32(0)) revert NoModel(number);
        uint256[] memory included = _standing(head.words);
        if (excluded.length != 0) _exclude(number, included, excluded, reasons);
        else if (reasons.length != 0) revert LengthMismatch(0, reasons.length);
        // Otherwise they are those that were counted as the round was closed.
        if (excluded.length != 0 || _validationSeconds() != 0) _requireEnough(included.count());
        if (_capped) _boundShares(included);
        _conclude(head, aggregateRoot, newModelDigest, included);
    }

    /// @notice Give a round in progress up. Its number can be opened again; what it had accepted counts no more.
    ///         By the coordinator; by anyone when too few updates are in and no more can come.
    /// @param number The round in progress.
    /// @param reason For the record.
    function abortRound(uint64 number, string calldata reason) external {
        Head memory head = _latest();
        if (number != head.lastFinalized + 1 || !_inProgress(head.phase)) {
            revert WrongPhase(number, head.phase);
        }
        if (msg.sender != head.coordinator) {
            // Under one root the contract does not know before the closing what is in.
            bool late = recording == Recording.Each && block.timestamp > _course.deadline;
            bool over = head.phase == Phase.Validated || (head.phase == Phase.Open && late);
            if (!over || _standing(head.words).count() >= minUpdates) revert NotCoordinator(msg.sender);
        }
        _head.phase = Phase.Aborted;
        emit RoundAborted(number, head.attempt, msg.sender, reason);
    }

    // ------------------------------------------------------------------------------------------- VIEWS

    /// @notice The latest round: its number (zero before the first), its state, and of its sets of seats what
    ///         they have of the first 256; see `latestSets`.
    function latestRound()
        external
        view
        returns (
            uint64 number,
            uint64 attempt,
            Phase phase,
            bool settled,
            Course memory course,
            uint256 participants,
            uint256 standing
        )
    {
        Head memory head = _latest();
        number = head.lastFinalized;
        if (head.phase != Phase.None && head.phase != Phase.Finalized) ++number;
        uint256 standing_ = ~_notStanding[0];
        return (number, head.attempt, head.phase, head.settled, _course, _participants[0], standing_);
    }

    /// @notice The sets of seats of the latest round, with all their words: who was asked, and whose updates are
    ///         accepted, count or are included by now.
    function latestSets() external view returns (uint256[] memory participants, uint256[] memory standing) {
        uint256 words = _head.words;
        return (_participants.load(words), _standing(words));
    }

    /// @notice Number of the last finalized round; zero before the first.
    function lastFinalized() external view returns (uint64) {
        return _latest().lastFinalized;
    }

    /// @notice The coordinator's account.
    function coordinator() external view returns (address) {
        return _head.coordinator;
    }

    /// @notice EIP-712 struct hash of an accepted submission; zero when there is none, or one root records all.
    function commitmentOf(uint64 round, uint64 attempt, uint256 seat) public view returns (bytes32) {
        return _commitments[_place(round, attempt, seat)];
    }

    /// @notice `resultHash` of a finalized round; zero when it is not.
    function resultOf(uint64 round) public view returns (bytes32) {
        return _results[round];
    }

    /// @notice How the contract commits to a result.
    function resultHash(Result calldata result) external pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // A struct of eight static fields lies in calldata as abi.encode lays it out.
            let buffer := mload(0x40)
            calldatacopy(buffer, result, 256)
            hash := keccak256(buffer, 256)
        }
    }

    /// @notice The integer weight of so many samples in the latest round.
    function weightOf(uint64 samples) public view returns (uint32) {
        if (_capped && samples > _threshold) samples = _threshold;
        return _weight(samples, _course.participants, _course.totalSamples);
    }

    // ---------------------------------------------------------------------------------------- INTERNAL

    /// What the federation's rules ask of an opening; the samples of a participant that count at most.
    /// @param samples Of each participant, where a hospital's share is bound; empty otherwise.
    function _requireOpening(uint64 number, uint256[] memory samples, uint48 deadline)
        internal
        view
        virtual
        returns (uint64 threshold);

    /// What the federation's rules ask of those who are included, where a hospital's share is bound.
    function _requireShares(uint256[] memory seats, uint256[] memory weights) internal view virtual;

    /// What must be done before a round opens.
    function _beforeOpening(Head memory head) internal virtual;

    /// Why a submission cannot be taken for a reason of validation's; empty when it can.
    function _notReady(Gate memory gate) internal view virtual returns (bytes memory);

    /// Seconds from closing in which updates are judged; zero when nobody judges.
    function _validationSeconds() internal view virtual returns (uint48);

    /// Seats whose updates stand in the latest round, which has so many words; see `_notStanding`.
    function _standing(uint256 words) internal view returns (uint256[] memory) {
        return _notStanding.load(words, ALL);
    }

    function _setStanding(uint256[] memory set) internal {
        _notStanding.store(set, ALL);
    }

    /// Where the maps keep what belongs to one update.
    function _place(uint64 round, uint64 attempt, uint256 seat) internal pure returns (uint256) {
        return (uint256(round) << 76) | (uint256(attempt) << 12) | seat;
    }

    function _tellValidated(uint64 number, uint64 attempt, uint256[] memory counted) internal {
        if (counted.length == 1) emit RoundValidated(number, attempt, counted[0]);
        else emit RoundValidated(number, attempt, counted);
    }

    function _require(uint64 number, Phase phase) internal view returns (Head memory head) {
        head = _latest();
        if (number != head.lastFinalized + 1 || head.phase != phase) revert WrongPhase(number, head.phase);
    }

    /// Weights of at least one each: w = 1 + floor(samples * (WEIGHT_SUM - n) / total), so that their sum is
    /// at most WEIGHT_SUM; uniform: floor(WEIGHT_SUM / n).
    function _weight(uint256 samples, uint256 count, uint256 total) internal view returns (uint32) {
        // At most WEIGHT_SUM in both branches, which fits uint32.
        return weighting == Weighting.Uniform
            ? uint32(WEIGHT_SUM / count)
            : uint32(1 + (samples * (WEIGHT_SUM - count)) / total);
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    function _open(
        uint64 number,
        bytes32 base,
        bytes32 configDigest_,
        uint256[] memory participants,
        uint48 deadline
    ) private onlyCoordinator {
        Head memory head = _latest();
        if (_inProgress(head.phase)) revert WrongPhase(head.lastFinalized + 1, head.phase);
        if (number != head.lastFinalized + 1) revert WrongRound(head.lastFinalized + 1, number);
        if (base != modelDigest) revert WrongBase(modelDigest, base);
        uint256 count = participants.count();
        if (count == 0) revert NoParticipants();
        for (uint256 w = 0; w < participants.length; ++w) {
            uint256 unknown = participants[w] & ~_hospitals[w];
            if (unknown != 0) revert UnknownSeats(unknown);
        }
        _requireEnough(count);
        Asked memory asked = _asked(participants);
        uint64 threshold =
            _requireOpening(number, _capped ? asked.samples : new uint256[](0), deadline);
        _beforeOpening(head);

        head.attempt = head.phase == Phase.Aborted ? head.attempt + 1 : 1;
        head.words = uint8(participants.length); // at most SEAT_WORDS
        head.phase = Phase.Open;
        head.settled = false;
        _head = head;
        roundConfigDigest = configDigest_;
        _participants.store(participants);
        _setStanding(new uint256[](participants.length));
        _announce(head, base, asked, deadline, threshold);
    }

    function _asked(uint256[] memory participants) private view returns (Asked memory asked) {
        uint256[] memory seats = participants.list();
        asked = Asked(participants, new address[](seats.length), new uint256[](seats.length));
        for (uint256 i = 0; i < seats.length; ++i) {
            Member storage member = _members[seats[i]];
            asked.accounts[i] = member.account;
            asked.samples[i] = member.samples;
        }
    }

    function _announce(
        Head memory head,
        bytes32 base,
        Asked memory asked,
        uint48 deadline,
        uint64 threshold
    ) private {
        uint256[] memory samples = asked.samples;
        uint256 total;
        for (uint256 i = 0; i < samples.length; ++i) {
            if (samples[i] > threshold) samples[i] = threshold;
            total += samples[i];
        }
        uint32[] memory weights = new uint32[](samples.length);
        for (uint256 i = 0; i < samples.length; ++i) {
            weights[i] = _weight(samples[i], samples.length, total);
        }
        if (_capped) _threshold = threshold;
        _course = Course({
            deadline: deadline,
            validationDeadline: 0,
            openedAt: uint64(block.number),
            totalSamples: uint80(total), // at most 4,096 times 2^64
            participants: uint16(samples.length)
        });
        uint64 number = head.lastFinalized + 1;
        bytes32 config = roundConfigDigest;
        uint256[] memory set = asked.participants;
        if (set.length == 1) {
            emit RoundOpened(number, head.attempt, base, config, deadline, set[0], asked.accounts, weights);
        } else {
            emit RoundOpened(number, head.attempt, base, config, deadline, set, asked.accounts, weights);
        }
    }

    function _gate() private view returns (Gate memory) {
        Head memory head = _latest();
        return Gate(
            head.phase == Phase.Open ? head.lastFinalized + 1 : 0,
            head.attempt,
            _participants.load(head.words),
            _standing(head.words),
            modelDigest,
            _course.deadline
        );
    }

    /// Accept a submission, or say why not: an ABI-encoded error, empty when it is accepted.
    function _take(Gate memory gate, Submission calldata s, bytes calldata signature)
        private
        returns (bytes memory reason)
    {
        (uint256 seat, bool active, uint64 registered) = _lookUp(s.hospital);
        reason = _objection(gate, s, seat, active, registered);
        if (reason.length != 0) return reason;
        bytes32 structHash = _hash(s);
        address recovered = _recover(structHash, signature);
        if (recovered == address(0) || recovered != s.hospital) {
            return abi.encodeWithSelector(BadSignature.selector, s.hospital, recovered);
        }
        _commitments[_place(s.round, s.attempt, seat)] = structHash;
        gate.standing.add(seat);
        emit UpdateAccepted(s.round, s.hospital, s.root, s.samples, s.size, s.metrics, signature);
    }

    /// What is wrong with a submission, its signature aside.
    function _objection(Gate memory gate, Submission calldata s, uint256 seat, bool active, uint64 registered)
        private
        view
        returns (bytes memory)
    {
        if (s.federation != _federation()) {
            return abi.encodeWithSelector(WrongFederation.selector, _federation(), s.federation);
        }
        if (s.round == 0 || s.round != gate.round) {
            return abi.encodeWithSelector(WrongPhase.selector, s.round, _latest().phase);
        }
        if (s.attempt != gate.attempt) {
            return abi.encodeWithSelector(WrongAttempt.selector, gate.attempt, s.attempt);
        }
        if (!active) return abi.encodeWithSelector(NotActive.selector, s.hospital);
        if (!gate.participants.has(seat)) return abi.encodeWithSelector(NotParticipant.selector, s.hospital);
        if (block.timestamp > gate.deadline) {
            return abi.encodeWithSelector(DeadlinePassed.selector, gate.deadline);
        }
        if (s.base != gate.base) return abi.encodeWithSelector(WrongBase.selector, gate.base, s.base);
        if (s.samples == 0) return abi.encodeWithSelector(NoSamples.selector, s.hospital);
        if (s.samples > registered) {
            return abi.encodeWithSelector(TooManySamples.selector, registered, s.samples);
        }
        if (s.size == 0 || s.root == bytes32(0)) {
            return abi.encodeWithSelector(EmptyUpdate.selector, s.hospital);
        }
        if (openUpdates && s.size != updateSize) {
            return abi.encodeWithSelector(WrongSize.selector, updateSize, s.size);
        }
        if (gate.standing.has(seat)) {
            return abi.encodeWithSelector(AlreadySubmitted.selector, s.round, s.hospital);
        }
        return _notReady(gate);
    }

    function _closeWithRoot(
        uint64 number,
        bytes32 submissionsRoot_,
        bytes32 listRoot,
        uint256[] memory accepted
    ) private onlyCoordinator {
        if (recording != Recording.Root) revert WrongRecording(recording);
        if (accepted.length != _head.words) revert WrongWords(accepted.length);
        uint256[] memory direct = _standing(accepted.length);
        for (uint256 w = 0; w < accepted.length; ++w) {
            uint256 unknown = accepted[w] & ~(_participants[w] & (_hospitals[w] | direct[w]));
            if (unknown != 0) revert UnknownSeats(unknown);
            if (direct[w] & ~accepted[w] != 0) revert SubmissionsMissing(direct[w] & ~accepted[w]);
        }
        _submissionsRoot = submissionsRoot_;
        _setStanding(accepted);
        uint64 attempt = _head.attempt;
        if (accepted.length == 1) {
            emit SubmissionsCommitted(number, attempt, submissionsRoot_, listRoot, accepted[0]);
        } else {
            emit SubmissionsCommitted(number, attempt, submissionsRoot_, listRoot, accepted);
        }
        _close(number, accepted);
    }

    function _close(uint64 number, uint256[] memory accepted) private {
        Head memory head = _require(number, Phase.Open);
        uint256 updates = accepted.count();
        _requireEnough(updates);
        bool over = updates == _course.participants || block.timestamp > _course.deadline;
        if (!over && msg.sender != head.coordinator) revert StillOpen(number, _course.deadline);
        uint48 window = _validationSeconds();
        uint48 until = window == 0 ? 0 : uint48(block.timestamp) + window;
        _head.phase = window == 0 ? Phase.Validated : Phase.Closed;
        if (window != 0) _course.validationDeadline = until;
        if (accepted.length == 1) emit RoundClosed(number, head.attempt, accepted[0], until);
        else emit RoundClosed(number, head.attempt, accepted, until);
        if (window == 0) _tellValidated(number, head.attempt, accepted);
    }

    function _requireEnough(uint256 updates) private view {
        if (updates < minUpdates) revert QuorumMissing(updates, minUpdates);
    }

    function _exclude(
        uint64 number,
        uint256[] memory included,
        address[] calldata excluded,
        string[] calldata reasons
    ) private {
        if (excluded.length != reasons.length) revert LengthMismatch(excluded.length, reasons.length);
        for (uint256 i = 0; i < excluded.length; ++i) {
            uint256 seat = _seatOf(excluded[i]);
            if (!included.has(seat)) revert NotAccepted(number, excluded[i]);
            included.remove(seat);
            emit UpdateExcluded(number, excluded[i], reasons[i]);
        }
        _setStanding(included);
    }

    function _boundShares(uint256[] memory included) private view {
        uint256[] memory seats = included.list();
        uint256[] memory weights = new uint256[](seats.length);
        for (uint256 i = 0; i < seats.length; ++i) {
            weights[i] = weightOf(_members[seats[i]].samples);
        }
        _requireShares(seats, weights);
    }

    /// Keep the hash of the round's result: abi.encode of a Result, field by field, and of all words
    /// of the set where there are several.
    function _conclude(
        Head memory head,
        bytes32 aggregateRoot,
        bytes32 newModelDigest,
        uint256[] memory included
    ) private {
        uint64 number = head.lastFinalized + 1;
        uint64 attempt = head.attempt;
        bytes32 root = recording == Recording.Root ? _submissionsRoot : bytes32(0);
        bytes32 base = modelDigest;
        modelDigest = newModelDigest;
        bool wide = included.length > 1;
        uint256 set = wide ? uint256(keccak256(abi.encodePacked(included))) : included[0];
        bytes32 hash = keccak256(
            abi.encode(number, attempt, block.timestamp, base, aggregateRoot, newModelDigest, root, set)
        );
        _results[number] = wide ? keccak256(abi.encode(hash)) : hash;
        if (wide) emit RoundFinalized(number, attempt, aggregateRoot, newModelDigest, root, included);
        else emit RoundFinalized(number, attempt, aggregateRoot, newModelDigest, root, set);
    }
}
