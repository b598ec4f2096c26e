// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title The record of one federation: who takes part, what each round starts from, what was accepted with
///        which weight, and what came out.
/// @notice Hospitals sign typed data (EIP-712) and need neither ether nor a route to the chain; whoever relays
///         cannot forge. What was said is replay-proof by its message: a contract, a federation, a round and
///         a hospital, of which the contract accepts one.
contract FederationLedger is EIP712 {
    // ------------------------------------------------------------------------------------------- TYPES

    enum Weighting {
        Samples,
        Uniform
    }

    enum Status {
        None,
        Open,
        Finalized,
        Aborted
    }

    struct Registration {
        bytes32 federation;
        address hospital;
        uint64 samples;
        bytes32 envelopeKeyDigest;
    }

    struct Submission {
        bytes32 federation;
        uint64 round;
        uint64 attempt;
        address hospital;
        bytes32 base;
        bytes32 root;
        uint64 samples;
        uint64 size;
        bytes32 metrics;
    }

    struct Refusal {
        bytes32 federation;
        uint64 round;
        address hospital;
        bytes32 seen;
    }

    struct Hospital {
        uint64 samples; // zero: not registered
        bytes32 envelopeKeyDigest;
    }

    struct Round {
        Status status;
        uint64 attempt; // counts openings of this number; what was signed for an aborted one is worthless
        uint64 deadline;
        bytes32 base;
        bytes32 configDigest;
        bytes32 aggregateRoot;
        bytes32 modelDigest;
    }

    struct Place {
        uint64 samples; // as registered when the round opened
        uint32 weight; // zero: not a participant
        bytes32 root; // zero: nothing accepted yet
    }

    // ------------------------------------------------------------------------------------------ EVENTS

    event FederationCreated(
        bytes32 indexed federation,
        bytes32 layoutDigest,
        bytes32 configDigest,
        bytes32 genesisDigest,
        bytes coordinatorKey,
        bytes auditorKey
    );
    event HospitalRegistered(address indexed hospital, uint64 samples, bytes envelopeKey);
    event RoundOpened(
        uint64 indexed round,
        uint64 attempt,
        bytes32 baseDigest,
        bytes32 configDigest,
        uint64 deadline,
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
    event UpdateExcluded(uint64 indexed round, address indexed hospital, string reason);
    event BaseRefused(uint64 indexed round, address indexed hospital, bytes32 seen, bytes signature);
    event RoundFinalized(
        uint64 indexed round, bytes32 aggregateRoot, bytes32 modelDigest, address[] included
    );
    event RoundAborted(uint64 indexed round, uint64 attempt, string reason);

    // ------------------------------------------------------------------------------------------ ERRORS

    error NotCoordinator(address sender);
    error WrongFederation(bytes32 expected, bytes32 given);
    error WrongKey(bytes32 signedDigest, bytes32 keyDigest);
    error NoSamples(address hospital);
    error AlreadyRegistered(address hospital);
    error NotRegistered(address hospital);
    error DuplicateParticipant(address hospital);
    error BadParticipantCount(uint256 count);
    error RoundAlreadyOpen(uint64 round);
    error WrongRound(uint64 expected, uint64 given);
    error WrongBase(bytes32 expected, bytes32 given);
    error RoundNotOpen(uint64 round);
    error WrongAttempt(uint64 expected, uint64 given);
    error NotParticipant(address hospital);
    error DeadlinePassed(uint64 deadline);
    error DeadlineInPast(uint64 deadline);
    error TooManySamples(uint64 registered, uint64 given);
    error EmptyUpdate(address hospital);
    error AlreadySubmitted(uint64 round, address hospital);
    error BadSignature(address hospital, address recovered);
    error LengthMismatch(uint256 left, uint256 right);
    error NothingIncluded(uint64 round);
    error NotAccepted(uint64 round, address hospital);
    error NotAscending(address hospital);
    error WrongCount(uint256 accepted, uint256 accountedFor);
    error NoModel(uint64 round);

    // ----------------------------------------------------------------------------------------- STORAGE

    /// @notice The weights of a round sum to at most this, so that a weighted sum of 20-bit integers stays
    ///         within a signed 32-bit one.
    uint32 public constant WEIGHT_SUM = 4096;

    /// @notice The most participants of one round; opening one for so many fits a block.
    uint256 public constant MAX_PARTICIPANTS = 256;

    bytes32 private constant REGISTRATION_TYPEHASH = keccak256(
        "Registration(bytes32 federation,address hospital,uint64 samples,bytes32 envelopeKeyDigest)"
    );
    bytes32 private constant SUBMISSION_TYPEHASH = keccak256(
        "Submission(bytes32 federation,uint64 round,uint64 attempt,address hospital,bytes32 base,bytes32 root,uint64 samples,uint64 size,bytes32 metrics)"
    );
    bytes32 private constant REFUSAL_TYPEHASH =
        keccak256("Refusal(bytes32 federation,uint64 round,address hospital,bytes32 seen)");

    address public immutable coordinator;
    bytes32 public immutable federation;
    bytes32 public immutable layoutDigest;
    bytes32 public immutable configDigest;
    bytes32 public immutable genesisDigest;
    /// @notice How every round's weights follow from its participants' registered samples.
    Weighting public immutable weighting;
    bytes32 public immutable coordinatorKeyDigest;
    bytes32 public immutable auditorKeyDigest; // zero: no auditor

    /// @notice Digest of the model that the next round starts from.
    bytes32 public modelDigest;
    uint64 public lastFinalized;
    /// @notice The round that is open; zero when none is.
    uint64 public openRoundNumber;

    mapping(address hospital => Hospital) private _hospitals;
    address[] private _hospitalList;
    mapping(uint64 round => Round) private _rounds;
    mapping(bytes32 attempt => address[]) private _participants;
    mapping(bytes32 attempt => mapping(address hospital => Place)) private _places;
    mapping(bytes32 attempt => uint256) private _acceptedCount;

    // ------------------------------------------------------------------------------------------- LOGIC

    modifier onlyCoordinator() {
        if (msg.sender != coordinator) revert NotCoordinator(msg.sender);
        _;
    }

    /// @notice Found a federation; the sender is its coordinator.
    /// @param federation_ Its id, which every signed message repeats.
    /// @param layoutDigest_ Merkle root of the layout: it pins the architecture.
    /// @param configDigest_ SHA-256 of the resolved configuration.
    /// @param genesisDigest_ Digest of the model that round 1 starts from.
    /// @param weighting_ By registered samples, or uniform; for all rounds, so that no round is a favour.
    /// @param coordinatorKey HPKE public key that updates are sealed to.
    /// @param auditorKey HPKE public key of the auditor; empty when there is none.
    constructor(
        bytes32 federation_,
        bytes32 layoutDigest_,
        bytes32 configDigest_,
        bytes32 genesisDigest_,
        Weighting weighting_,
        bytes memory coordinatorKey,
        bytes memory auditorKey
    ) EIP712("FederationLedger", "1") {
        coordinator = msg.sender;
        federation = federation_;
        layoutDigest = layoutDigest_;
        configDigest = configDigest_;
        genesisDigest = genesisDigest_;
        weighting = weighting_;
        coordinatorKeyDigest = sha256(coordinatorKey);
        auditorKeyDigest = auditorKey.length == 0 ? bytes32(0) : sha256(auditorKey);
        modelDigest = genesisDigest_;
        emit FederationCreated(
            federation_, layoutDigest_, configDigest_, genesisDigest_, coordinatorKey, auditorKey
        );
    }

    /// @notice Admit a hospital that asks for it under its own signature.
    /// @param registration What the hospital signed.
    /// @param envelopeKey Its HPKE public key, whose SHA-256 it signed.
    /// @param signature 65 bytes, by the hospital.
    function registerHospital(
        Registration calldata registration,
        bytes calldata envelopeKey,
        bytes calldata signature
    ) external onlyCoordinator {
        address hospital = registration.hospital;
        if (registration.federation != federation) {
            revert WrongFederation(federation, registration.federation);
        }
        if (registration.samples == 0) revert NoSamples(hospital);
        if (_hospitals[hospital].samples != 0) revert AlreadyRegistered(hospital);
        bytes32 keyDigest = sha256(envelopeKey);
        if (keyDigest != registration.envelopeKeyDigest) {
            revert WrongKey(registration.envelopeKeyDigest, keyDigest);
        }
        bytes32 structHash = keccak256(
            abi.encode(
                REGISTRATION_TYPEHASH, registration.federation, hospital, registration.samples, keyDigest
            )
        );
        address recovered = _recover(structHash, signature);
        if (recovered == address(0) || recovered != hospital) revert BadSignature(hospital, recovered);
        _hospitals[hospital] = Hospital(registration.samples, keyDigest);
        _hospitalList.push(hospital);
        emit HospitalRegistered(hospital, registration.samples, envelopeKey);
    }

    /// @notice Open the next round. The contract computes the weights, by the rule that it was founded with.
    /// @param number One more than the last finalized round.
    /// @param base Must be the current model's digest.
    /// @param roundConfigDigest Merkle root of the round's configuration.
    /// @param participants Registered hospitals, none twice.
    /// @param deadline Chain time in seconds after which nothing is accepted.
    function openRound(
        uint64 number,
        bytes32 base,
        bytes32 roundConfigDigest,
        address[] calldata participants,
        uint64 deadline
    ) external onlyCoordinator {
        if (openRoundNumber != 0) revert RoundAlreadyOpen(openRoundNumber);
        if (number != lastFinalized + 1) revert WrongRound(lastFinalized + 1, number);
        if (base != modelDigest) revert WrongBase(modelDigest, base);
        if (deadline <= block.timestamp) revert DeadlineInPast(deadline);
        uint256 count = participants.length;
        if (count == 0 || count > MAX_PARTICIPANTS) revert BadParticipantCount(count);

        Round storage round_ = _rounds[number];
        uint64 attempt = round_.attempt + 1;
        round_.status = Status.Open;
        round_.attempt = attempt;
        round_.deadline = deadline;
        round_.base = base;
        round_.configDigest = roundConfigDigest;
        openRoundNumber = number;

        bytes32 key = _attemptKey(number, attempt);
        uint32[] memory weights = _assign(key, participants);
        _participants[key] = participants;
        emit RoundOpened(number, attempt, base, roundConfigDigest, deadline, participants, weights);
    }

    /// @notice Submit updates for many hospitals; each is accepted or rejected, and none blocks another.
    /// @param submissions What the hospitals signed.
    /// @param signatures One for each.
    function submitUpdates(Submission[] calldata submissions, bytes[] calldata signatures) external {
        if (submissions.length != signatures.length) {
            revert LengthMismatch(submissions.length, signatures.length);
        }
        for (uint256 i = 0; i < submissions.length; i++) {
            bytes memory reason = _check(submissions[i], signatures[i]);
            if (reason.length == 0) {
                _accept(submissions[i], signatures[i]);
            } else {
                emit UpdateRejected(
                    submissions[i].round, submissions[i].hospital, submissions[i].root, reason
                );
            }
        }
    }

    /// @notice Submit one update; reverts with the reason when it is rejected. A hospital that suspects
    ///         censorship calls this itself.
    /// @param submission What the hospital signed.
    /// @param signature 65 bytes, by the hospital.
    function submitUpdate(Submission calldata submission, bytes calldata signature) external {
        bytes memory reason = _check(submission, signature);
        if (reason.length != 0) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
        _accept(submission, signature);
    }

    /// @notice Put on record that a hospital was handed a model which this contract does not hold.
    /// @param refusal What the hospital signed.
    /// @param signature 65 bytes, by the hospital.
    function refuseBase(Refusal calldata refusal, bytes calldata signature) external {
        if (refusal.federation != federation) revert WrongFederation(federation, refusal.federation);
        if (_hospitals[refusal.hospital].samples == 0) revert NotRegistered(refusal.hospital);
        bytes32 structHash = keccak256(
            abi.encode(REFUSAL_TYPEHASH, refusal.federation, refusal.round, refusal.hospital, refusal.seen)
        );
        address recovered = _recover(structHash, signature);
        if (recovered == address(0) || recovered != refusal.hospital) {
            revert BadSignature(refusal.hospital, recovered);
        }
        emit BaseRefused(refusal.round, refusal.hospital, refusal.seen, signature);
    }

    /// @notice Close the open round with its result.
    /// @param number The open round.
    /// @param aggregateRoot Merkle root of the ring sum.
    /// @param newModelDigest Digest of the released model, from which the next round starts.
    /// @param included Hospitals in the sum: accepted ones, in ascending order.
    /// @param excluded The other accepted ones, in ascending order.
    /// @param reasons Why each of them is not in the sum; an auditor tries it.
    function finalizeRound(
        uint64 number,
        bytes32 aggregateRoot,
        bytes32 newModelDigest,
        address[] calldata included,
        address[] calldata excluded,
        string[] calldata reasons
    ) external onlyCoordinator {
        Round storage round_ = _openRound(number);
        if (included.length == 0) revert NothingIncluded(number);
        if (excluded.length != reasons.length) revert LengthMismatch(excluded.length, reasons.length);
        if (newModelDigest == bytes32(0)) revert NoModel(number);
        bytes32 key = _attemptKey(number, round_.attempt);
        _requireAccepted(key, number, included);
        _requireAccepted(key, number, excluded);
        _requireDisjoint(included, excluded);
        // Ascending and disjoint: together they are a set, so that equal counts mean that none is missing.
        if (included.length + excluded.length != _acceptedCount[key]) {
            revert WrongCount(_acceptedCount[key], included.length + excluded.length);
        }
        round_.status = Status.Finalized;
        round_.aggregateRoot = aggregateRoot;
        round_.modelDigest = newModelDigest;
        modelDigest = newModelDigest;
        lastFinalized = number;
        openRoundNumber = 0;
        for (uint256 i = 0; i < excluded.length; i++) {
            emit UpdateExcluded(number, excluded[i], reasons[i]);
        }
        emit RoundFinalized(number, aggregateRoot, newModelDigest, included);
    }

    /// @notice Give the open round up. Its number can be opened again; what it had accepted counts no more.
    /// @param number The open round.
    /// @param reason For the record.
    function abortRound(uint64 number, string calldata reason) external onlyCoordinator {
        Round storage round_ = _openRound(number);
        round_.status = Status.Aborted;
        openRoundNumber = 0;
        emit RoundAborted(number, round_.attempt, reason);
    }

    // ------------------------------------------------------------------------------------------- VIEWS

    /// @notice Registered samples (zero: not registered) and envelope key digest of a hospital.
    function hospitalOf(address hospital) external view returns (Hospital memory) {
        return _hospitals[hospital];
    }

    /// @notice All hospitals, in the order of their registration.
    function hospitals() external view returns (address[] memory) {
        return _hospitalList;
    }

    /// @notice A round's latest attempt.
    function roundOf(uint64 number) external view returns (Round memory) {
        return _rounds[number];
    }

    /// @notice Participants of a round's latest attempt, in the order of opening, with their places.
    function placesOf(uint64 number)
        external
        view
        returns (address[] memory participants, Place[] memory places)
    {
        bytes32 key = _attemptKey(number, _rounds[number].attempt);
        participants = _participants[key];
        places = new Place[](participants.length);
        for (uint256 i = 0; i < participants.length; i++) {
            places[i] = _places[key][participants[i]];
        }
    }

    // ----------------------------------------------------------------------------------------- PRIVATE

    /// Weights of at least one each: w = 1 + floor(samples * (WEIGHT_SUM - n) / total), so that their sum is
    /// at most WEIGHT_SUM; uniform: floor(WEIGHT_SUM / n).
    function _assign(bytes32 key, address[] calldata participants)
        private
        returns (uint32[] memory weights)
    {
        uint256 count = participants.length;
        uint256 total;
        for (uint256 i = 0; i < count; i++) {
            uint64 samples = _hospitals[participants[i]].samples;
            if (samples == 0) revert NotRegistered(participants[i]);
            if (_places[key][participants[i]].weight != 0) revert DuplicateParticipant(participants[i]);
            _places[key][participants[i]] = Place(samples, 1, bytes32(0));
            total += samples;
        }
        weights = new uint32[](count);
        for (uint256 i = 0; i < count; i++) {
            Place storage place = _places[key][participants[i]];
            // At most WEIGHT_SUM in both branches, which fits uint32.
            weights[i] = weighting == Weighting.Uniform
                ? uint32(WEIGHT_SUM / count)
                : uint32(1 + (uint256(place.samples) * (WEIGHT_SUM - count)) / total);
            place.weight = weights[i];
        }
    }

    /// The ABI-encoded error for which a submission is rejected; empty when it is good.
    function _check(Submission calldata s, bytes calldata signature) private view returns (bytes memory) {
        if (s.federation != federation) {
            return abi.encodeWithSelector(WrongFederation.selector, federation, s.federation);
        }
        if (s.round == 0 || s.round != openRoundNumber) {
            return abi.encodeWithSelector(RoundNotOpen.selector, s.round);
        }
        Round storage round_ = _rounds[s.round];
        if (s.attempt != round_.attempt) {
            return abi.encodeWithSelector(WrongAttempt.selector, round_.attempt, s.attempt);
        }
        Place storage place = _places[_attemptKey(s.round, round_.attempt)][s.hospital];
        if (place.weight == 0) return abi.encodeWithSelector(NotParticipant.selector, s.hospital);
        if (block.timestamp > round_.deadline) {
            return abi.encodeWithSelector(DeadlinePassed.selector, round_.deadline);
        }
        if (s.base != round_.base) return abi.encodeWithSelector(WrongBase.selector, round_.base, s.base);
        if (s.samples == 0) return abi.encodeWithSelector(NoSamples.selector, s.hospital);
        if (s.samples > place.samples) {
            return abi.encodeWithSelector(TooManySamples.selector, place.samples, s.samples);
        }
        if (s.size == 0 || s.root == bytes32(0)) {
            return abi.encodeWithSelector(EmptyUpdate.selector, s.hospital);
        }
        if (place.root != bytes32(0)) {
            return abi.encodeWithSelector(AlreadySubmitted.selector, s.round, s.hospital);
        }
        bytes32 structHash = keccak256(
            abi.encode(
                SUBMISSION_TYPEHASH,
                s.federation,
                s.round,
                s.attempt,
                s.hospital,
                s.base,
                s.root,
                s.samples,
                s.size,
                s.metrics
            )
        );
        address recovered = _recover(structHash, signature);
        if (recovered == address(0) || recovered != s.hospital) {
            return abi.encodeWithSelector(BadSignature.selector, s.hospital, recovered);
        }
        return "";
    }

    function _accept(Submission calldata s, bytes calldata signature) private {
        bytes32 key = _attemptKey(s.round, _rounds[s.round].attempt);
        _places[key][s.hospital].root = s.root;
        _acceptedCount[key] += 1;
        emit UpdateAccepted(s.round, s.hospital, s.root, s.samples, s.size, s.metrics, signature);
    }

    /// The signer, or zero for a signature that is malformed (wrong length, high s): zero signs nothing.
    function _recover(bytes32 structHash, bytes calldata signature) private view returns (address) {
        (address recovered, ECDSA.RecoverError error,) =
            ECDSA.tryRecover(_hashTypedDataV4(structHash), signature);
        return error == ECDSA.RecoverError.NoError ? recovered : address(0);
    }

    function _openRound(uint64 number) private view returns (Round storage round_) {
        if (number == 0 || number != openRoundNumber) revert RoundNotOpen(number);
        round_ = _rounds[number];
    }

    function _requireAccepted(bytes32 key, uint64 number, address[] calldata list) private view {
        address last = address(0);
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i] <= last) revert NotAscending(list[i]);
            if (_places[key][list[i]].root == bytes32(0)) revert NotAccepted(number, list[i]);
            last = list[i];
        }
    }

    function _requireDisjoint(address[] calldata left, address[] calldata right) private pure {
        uint256 i;
        uint256 j;
        while (i < left.length && j < right.length) {
            if (left[i] == right[j]) revert NotAscending(left[i]);
            if (left[i] < right[j]) i++;
            else j++;
        }
    }

    function _attemptKey(uint64 number, uint64 attempt) private pure returns (bytes32) {
        return bytes32((uint256(number) << 64) | attempt);
    }
}
