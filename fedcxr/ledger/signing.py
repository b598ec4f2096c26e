"""EIP-712: what hospitals sign, exactly as the contract hashes it.

A signature holds for one chain, one contract, one federation, one round and one hospital. Structs are flat
and of a fixed size, so that their encoding is a word a field; eth_account's, which knows every type, takes
longer to import than an answer of ``fedcxr ledger`` may.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from coincurve import PublicKey
from eth_hash.auto import keccak

from fedcxr.chain.address import checksummed
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.words import fits, word

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import Hash32

# Of secp256k1's order (SEC 2): of s and its mirror image one signature counts (EIP-2), or each had two.
_HALF = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
NAME, VERSION = "FederationLedger", "1"
LONGEST_SIGNATURE = 128
"""Bytes. A signature has 65; what is a little off is for the contract to refuse, on the record."""


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

    @classmethod
    def type_name(cls) -> str:
        """The struct's name in its EIP-712 type."""
        return cls.__name__

    @classmethod
    def kind(cls) -> str:
        """The word by which files say which struct they hold."""
        return cls.type_name().lower()

    def __post_init__(self) -> None:
        for (name, solidity), value in zip(self.types.items(), as_tuple(self), strict=True):
            if not fits(value, solidity):
                raise FederationError(f"{self.type_name()}.{name}: {value!r:.80} is not a {solidity}.")


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
class ChallengeResponse(Struct):
    """A hospital proves that it holds its key: it signs the challenge that the server has just drawn.

    The contract never sees one.
    """

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "hospital": "address",
        "challenge": "bytes32",
    }
    federation: bytes
    hospital: str
    challenge: bytes

    @classmethod
    def type_name(cls) -> str:
        """Hospitals have signed under this name, and their journals hold it: a new one would disown both."""
        return "Presence"


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
    return tuple(getattr(struct, field.name) for field in fields(struct))


def check_length(signature: bytes) -> None:
    """Refuse what is far from a signature: its bytes would cost gas, and the contract judges the rest.

    Raises:
        FederationError: more than :data:`LONGEST_SIGNATURE` bytes.
    """
    if len(signature) > LONGEST_SIGNATURE:
        raise FederationError(f"a signature of {len(signature)} bytes, where 65 are expected.")


def sign(account: LocalAccount, struct: Struct, domain: Domain) -> bytes:
    """65-byte signature r‖s‖v."""
    return bytes(account.unsafe_sign_hash(cast("Hash32", _digest(struct, domain))).signature)


def commitment(message: Struct) -> bytes:
    """EIP-712 struct hash of a message, 32 bytes: of a submission, it is what the contract keeps.

    It depends on no domain: the message repeats the federation.
    """
    words = map(word, as_tuple(message), message.types.values())
    return bytes(keccak(_type_hash(message.type_name(), tuple(message.types.items())) + b"".join(words)))


def recover(struct: Struct, signature: bytes, domain: Domain) -> str:
    """The address that signed.

    Raises:
        LedgerError: not a signature at all, or not in the one form that the contract takes.
    """
    return _recovered(struct, bytes(signature), domain)


@lru_cache(maxsize=1 << 12)  # what one hospital signed, all hospitals of a process look at
def _recovered(struct: Struct, signature: bytes, domain: Domain) -> str:
    if len(signature) != 65 or signature[64] not in (27, 28) or int.from_bytes(signature[32:64]) > _HALF:
        raise LedgerError("not a signature: 65 bytes r‖s‖v with the lower s and v of 27 or 28 are expected.")
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, _digest(struct, domain), hasher=None)
    except Exception as error:  # coincurve raises bare ones for what is no point or no number
        raise LedgerError(f"not a signature: {error}") from None
    return checksummed(bytes(keccak(key.format(compressed=False)[1:]))[12:])


def _digest(struct: Struct, domain: Domain) -> bytes:
    """What is signed: EIP-712's hash of a struct under a domain."""
    return bytes(keccak(b"\x19\x01" + _separator(domain) + commitment(struct)))


@cache
def _type_hash(name: str, types: tuple[tuple[str, str], ...]) -> bytes:
    members = ",".join(f"{solidity} {member}" for member, solidity in types)
    return bytes(keccak(f"{name}({members})".encode()))


@lru_cache(maxsize=64)
def _separator(domain: Domain) -> bytes:
    members = "string name,string version,uint256 chainId,address verifyingContract"
    words = (
        keccak(f"EIP712Domain({members})".encode()),
        keccak(NAME.encode()),
        keccak(VERSION.encode()),
        word(domain.chain_id, "uint256"),
        word(domain.contract, "address"),
    )
    return bytes(keccak(b"".join(words)))
