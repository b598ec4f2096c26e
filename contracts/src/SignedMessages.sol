// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Approval, Attestation, Departure, Refusal, Registration, Rotation, Submission} from "./FederationTypes.sol";

/// @title Typed data (EIP-712) of one federation, and who signed it.
/// @notice Members need neither ether nor a route to the chain; whoever relays cannot forge. What was said is
///         replay-proof by its message, never by its signature.
abstract contract SignedMessages {
    error WrongFederation(bytes32 expected, bytes32 given);
    error BadSignature(address member, address recovered);

    bytes32 private constant REGISTRATION_TYPEHASH = keccak256(
        "Registration(bytes32 federation,address member,uint8 roles,uint64 samples,bytes32 envelopeKeyDigest)"
    );
    bytes32 private constant ROTATION_TYPEHASH =
        keccak256("Rotation(bytes32 federation,address member,address successor,bytes32 envelopeKeyDigest)");
    bytes32 private constant DEPARTURE_TYPEHASH = keccak256("Departure(bytes32 federation,address member)");
    bytes32 private constant APPROVAL_TYPEHASH =
        keccak256("Approval(bytes32 federation,bytes32 action,address member)");
    bytes32 private constant SUBMISSION_TYPEHASH = keccak256(
        "Submission(bytes32 federation,uint64 round,uint64 attempt,address hospital,bytes32 base,bytes32 root,uint64 samples,uint64 size,bytes32 metrics)"
    );
    bytes32 private constant REFUSAL_TYPEHASH =
        keccak256("Refusal(bytes32 federation,uint64 round,address hospital,bytes32 seen)");
    bytes32 private constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(bytes32 federation,uint64 round,uint64 attempt,address validator,address hospital,bytes32 commitment,bool accepted,int16 score)"
    );

    string internal constant NAME = "FederationLedger";
    string internal constant VERSION = "1";

    /// The federation's id, which every signed message repeats.
    function _federation() internal view virtual returns (bytes32);

    /// What is signed of a message: the hash of its struct, under the ledger's domain.
    function _digest(bytes32 structHash) internal view virtual returns (bytes32);

    function _hash(Registration calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(REGISTRATION_TYPEHASH, at, 5);
    }

    function _hash(Rotation calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(ROTATION_TYPEHASH, at, 4);
    }

    function _hash(Departure calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(DEPARTURE_TYPEHASH, at, 2);
    }

    function _hash(Approval calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(APPROVAL_TYPEHASH, at, 3);
    }

    function _hash(Submission calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(SUBMISSION_TYPEHASH, at, 9);
    }

    function _hash(Refusal calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(REFUSAL_TYPEHASH, at, 4);
    }

    function _hash(Attestation calldata message) internal pure returns (bytes32) {
        uint256 at;
        assembly {
            at := message
        }
        return _structHash(ATTESTATION_TYPEHASH, at, 8);
    }

    function _requireFederation(bytes32 given) internal view {
        if (given != _federation()) revert WrongFederation(_federation(), given);
    }

    function _requireSigned(address member, bytes32 structHash, bytes calldata signature) internal view {
        address recovered = _recover(structHash, signature);
        if (recovered == address(0) || recovered != member) revert BadSignature(member, recovered);
    }

    /// The signer, or zero for a signature that is malformed (wrong length, high s): zero signs nothing.
    function _recover(bytes32 structHash, bytes calldata signature) internal view returns (address) {
        // slither-disable-next-line unused-return (the third tells which signature was bad, and of how many bytes)
        (address recovered, ECDSA.RecoverError error,) =
            ECDSA.tryRecover(_digest(structHash), signature);
        return error == ECDSA.RecoverError.NoError ? recovered : address(0);
    }

    /// EIP-712 hashStruct of a struct of static fields, which lie in calldata as abi.encode lays them out.
    function _structHash(bytes32 typehash, uint256 at, uint256 fields) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let buffer := mload(0x40) // beyond what is allocated: used before anything else can be
            mstore(buffer, typehash)
            calldatacopy(add(buffer, 32), at, mul(fields, 32))
            hash := keccak256(buffer, mul(add(fields, 1), 32))
        }
    }
}
