"""EIP-712: what hospitals sign, exactly as the contract hashes it.

A signature holds for one chain, one contract, one federation, one round and one hospital.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, TypeVar

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_checksum_address

from fedcxr.errors import FederationError, LedgerError

# Of secp256k1's order (SEC 2): of s and its mirror image one signature counts (EIP-2), or each had two.
_HALF = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
NAME, VERSION = "FederationLedger", "1"
_BOUNDS = {"uint8": (0, 2**8), "uint64": (0, 2**64), "int16": (-(2**15), 2**15)}


@dataclass(frozen=True)
class Domain:
    """EIP-712 domain: the chain's id and the contract's address."""

    chain_id: int
    contract: str


@dataclass(frozen=True)
class Struct:
    """A typed struct; fields stand in the order of the Solidity struct.

    Raises:
        FederationError: a value that the Solidity type cannot hold. Most come from another institution.
    """

    types: ClassVar[dict[str, str]]

    def __post_init__(self) -> None:
        for (name, solidity), value in zip(self.types.items(), as_tuple(self), strict=True):
            if not _fits(value, solidity):
                raise FederationError(f"{type(self).__name__}.{name}: {value!r:.80} is not a {solidity}.")


HOSPITAL, VALIDATOR, AUDITOR = 1, 2, 4
"""A member's roles, as the contract's bits."""


@dataclass(frozen=True)
class Registration(Struct):
    """Someone joins: in these roles, with so many samples and this envelope key (SHA-256 digest)."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "member": "address",
        "roles": "uint8",
        "samples": "uint64",
        "envelopeKeyDigest": "bytes32",
    }
    federation: bytes
    member: str
    roles: int
    samples: int
    envelope_key_digest: bytes


@dataclass(frozen=True)
class Rotation(Struct):
    """A member's seat gets another key; signed by the old one and by the new one."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "member": "address",
        "successor": "address",
        "envelopeKeyDigest": "bytes32",
    }
    federation: bytes
    member: str
    successor: str
    envelope_key_digest: bytes


@dataclass(frozen=True)
class Departure(Struct):
    """A member leaves."""

    types: ClassVar[dict[str, str]] = {"federation": "bytes32", "member": "address"}
    federation: bytes
    member: str


@dataclass(frozen=True)
class Approval(Struct):
    """A hospital votes for an action, which the contract names by a hash."""

    types: ClassVar[dict[str, str]] = {"federation": "bytes32", "action": "bytes32", "member": "address"}
    federation: bytes
    action: bytes
    member: str


@dataclass(frozen=True)
class Submission(Struct):
    """A hospital's commitment to one update: Merkle roots of the sealed blob and of its metrics."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "round": "uint64",
        "attempt": "uint64",
        "hospital": "address",
        "base": "bytes32",
        "root": "bytes32",
        "samples": "uint64",
        "size": "uint64",
        "metrics": "bytes32",
    }
    federation: bytes
    round: int
    attempt: int
    hospital: str
    base: bytes
    root: bytes
    samples: int
    size: int
    metrics: bytes


@dataclass(frozen=True)
class Refusal(Struct):
    """A hospital was handed a model with the digest ``seen``, which the contract does not hold."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "round": "uint64",
        "hospital": "address",
        "seen": "bytes32",
    }
    federation: bytes
    round: int
    hospital: str
    seen: bytes


@dataclass(frozen=True)
class Attestation(Struct):
    """A validator's verdict on an update, named by its commitment; the score is a gain in 1/10,000."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "round": "uint64",
        "attempt": "uint64",
        "validator": "address",
        "hospital": "address",
        "commitment": "bytes32",
        "accepted": "bool",
        "score": "int16",
    }
    federation: bytes
    round: int
    attempt: int
    validator: str
    hospital: str
    commitment: bytes
    accepted: bool
    score: int


@dataclass(frozen=True)
class Presence(Struct):
    """Who answers is the hospital: it signs what the server has just drawn. The contract never sees it."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "hospital": "address",
        "challenge": "bytes32",
    }
    federation: bytes
    hospital: str
    challenge: bytes


S = TypeVar("S", bound=Struct)


@dataclass(frozen=True)
class Signed(Generic[S]):
    """What was signed, and its 65-byte signature; empty where there is no contract.

    Raises:
        FederationError: as :func:`check_length`.
    """

    message: S
    signature: bytes

    def __post_init__(self) -> None:
        check_length(self.signature)


SignedSubmission = Signed[Submission]
SignedAttestation = Signed[Attestation]


def as_tuple(struct: Struct) -> tuple[object, ...]:
    """The values in the order of the ABI."""
    return tuple(asdict(struct).values())


def check_length(signature: bytes) -> None:
    """Refuse what is far from a signature: its bytes would cost gas, and the contract judges the rest.

    Raises:
        FederationError: far more than 65 bytes.
    """
    if len(signature) > 128:
        raise FederationError(f"a signature of {len(signature)} bytes, where 65 are expected.")


def _fits(value: object, solidity: str) -> bool:
    if solidity == "bytes32":
        return isinstance(value, bytes) and len(value) == 32
    if solidity == "address":
        return is_checksum_address(value)
    if solidity == "bool":
        return isinstance(value, bool)
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    low, high = _BOUNDS[solidity]
    return low <= value < high


def sign(account: LocalAccount, struct: Struct, domain: Domain) -> bytes:
    """65-byte signature r‖s‖v."""
    return bytes(account.sign_message(_message(struct, domain)).signature)


def commitment(message: Struct) -> bytes:
    """EIP-712 struct hash of a message, 32 bytes: of a submission, it is what the contract keeps.

    It depends on no domain: the message repeats the federation.
    """
    return bytes(_message(message, Domain(0, "0x" + "00" * 20)).body)


def recover(struct: Struct, signature: bytes, domain: Domain) -> str:
    """The address that signed.

    Raises:
        LedgerError: not a signature at all, or not in the one form that the contract takes.
    """
    if len(signature) != 65 or signature[64] not in (27, 28) or int.from_bytes(signature[32:64]) > _HALF:
        raise LedgerError("not a signature: 65 bytes r‖s‖v with the lower s and v of 27 or 28 are expected.")
    try:
        return str(Account.recover_message(_message(struct, domain), signature=signature))
    except Exception as error:  # eth-keys raises several types of its own for bad curves points and lengths
        raise LedgerError(f"not a signature: {error}") from None


def _message(struct: Struct, domain: Domain) -> SignableMessage:
    kind = type(struct).__name__
    typed: dict[str, Any] = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            kind: [{"name": name, "type": solidity} for name, solidity in struct.types.items()],
        },
        "primaryType": kind,
        "domain": {
            "name": NAME,
            "version": VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        "message": dict(zip(struct.types, as_tuple(struct), strict=True)),
    }
    return encode_typed_data(full_message=typed)
