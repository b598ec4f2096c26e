"""What the coordinator and a hospital say to each other, as Flower records.

One flat buffer a message: many small arrays cost several times the round trip. Everything else is a
:class:`~flwr.app.ConfigRecord` of scalars. A reply comes from another institution: reading one checks every
field, and what does not fit is a :class:`~fedcxr.errors.FederationError`.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedcxr import json_text
from fedcxr.errors import FederationError
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.statements import LONGEST_HEADS
from fedcxr.update import metrics, round_config
from fedcxr.update.hashed import Hashed

_HEAD = "fedcxr"
_BULK = "bulk"
_HASHED = "hashed"
_LONGEST = 256  # bytes, or characters, of a field: of addresses, roots, signatures
_LONGER = {
    "config": json_text.LONGEST,
    "layout": json_text.LONGEST,
    "coordinator_key": 1 << 13,  # HPKE keys have 32 or 1,216
    "auditor_key": 1 << 13,
    "envelope_key": 1 << 13,
    "name": 1 << 12,
    "round_config": round_config.LONGEST,
    "metrics": metrics.LONGEST,
    "header": 1 << 16,
    "paths": 1 << 16,
    "message": 1 << 16,
    "head": 1 << 10,
    "heads": LONGEST_HEADS,
    "listing": 1 << 18,  # of fifty hospitals, 900 bytes each
    "answer": 1 << 13,  # an entry of 34 bytes for each of fifty hospitals
}
"""Of fields that may be longer. What ``bulk`` may have only its reader knows, who has the layout."""


@dataclass(frozen=True)
class Record:
    """A message's content: scalar fields in a ConfigRecord, the field named ``bulk`` as one uint8 array.

    Attributes:
        kind: of the message.
        hashed: ``bulk`` with its Merkle root, where there is one.
    """

    kind: ClassVar[str]
    hashed: ClassVar[Hashed]  # of each record its own, and no field

    def __post_init__(self) -> None:
        if hasattr(self, _BULK):  # held from here on, so that the same bytes are hashed once
            vars(self)[_HASHED] = Hashed.of(getattr(self, _BULK))

    def to_records(self) -> RecordDict:
        """As Flower carries it."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != _BULK}
        records = RecordDict({_HEAD: ConfigRecord({"kind": self.kind, **values})})
        bulk: bytes | None = getattr(self, _BULK, None)
        if bulk is not None:
            array = Array("uint8", (len(bulk),), "fedcxr.bytes", bulk)
            records[_BULK] = ArrayRecord({_BULK: array})
            vars(records[_BULK])[_HASHED] = vars(self)[_HASHED]  # held as long as the message is
        return records

    @classmethod
    def from_records(cls, records: RecordDict) -> Self:
        """Read :meth:`to_records` back; a field with a default may be missing.

        Raises:
            FederationError: another kind of message, or a field missing, of the wrong type, or too long.
        """
        head = records.config_records.get(_HEAD)
        if head is None or head.get("kind") != cls.kind:
            found = None if head is None else kind_of(records)
            raise FederationError(f"expected a {cls.kind!r} message, got {found!r}.")
        values: dict[str, Any] = {}
        for field in fields(cls):
            default = None if field.default is MISSING else field.default
            value = _bulk(records) if field.name == _BULK else head.get(field.name, default)
            if type(value).__name__ != field.type:  # annotations are strings here
                raise FederationError(f"a {cls.kind!r} message without a good {field.name!r} ({field.type}).")
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise FederationError(f"a {cls.kind!r} message whose {field.name!r} has more than 64 bits.")
            most = _LONGER.get(field.name, _LONGEST)
            if isinstance(value, str | bytes) and field.name != _BULK and len(value) > most:
                size = f"{len(value):,} bytes, where at most {most:,} are taken"
                raise FederationError(f"a {cls.kind!r} message whose {field.name!r} has {size}.")
            values[field.name] = value
        return cls(**values)


def kind_of(records: RecordDict) -> str:
    """The kind of a message, ``""`` when it has none; of a long one its begin."""
    head = records.config_records.get(_HEAD)
    kind = head.get("kind", "") if head is not None else ""
    return kind[:40] if isinstance(kind, str) else ""


def _bulk(records: RecordDict) -> bytes | None:
    record = records.array_records.get(_BULK)
    return None if record is None or _BULK not in record else record[_BULK].data


def _submission(record: UpdateReply | ValidateRequest, federation: bytes) -> Submission:
    return Submission(
        federation=federation,
        round=record.round,
        attempt=record.attempt,
        hospital=record.hospital,
        base=record.base,
        root=record.root,
        samples=record.samples,
        size=record.size,
        metrics=record.metrics_root,
    )


@dataclass(frozen=True)
class RegisterRequest(Record):
    """The federation as the coordinator describes it; the hospital holds it against the contract."""

    kind = "register"
    config: str  # canonical JSON
    layout: str  # JSON
    federation: bytes
    chain_id: int
    contract: str  # address; "" when the ledger is off
    coordinator_key: bytes  # HPKE
    auditor_key: bytes  # HPKE; empty when there is no auditor
    challenge: bytes  # 32, drawn afresh


@dataclass(frozen=True)
class RegisterReply(Record):
    """A hospital's signed registration."""

    kind = "registration"
    name: str
    hospital: str  # ledger address
    roles: int  # bits of fedcxr.ledger.signing
    samples: int
    envelope_key: bytes  # HPKE
    signature: bytes  # EIP-712 over Registration
    presence: bytes  # EIP-712 over ChallengeResponse, with the request's challenge
    head: bytes = b""  # the newest chain head that it has signed, as a list of one
    labels: int = 0  # that it has, as bits
    labels_signature: bytes = b""  # EIP-712 over Labels; empty where the federation withholds none


@dataclass(frozen=True)
class TrainRequest(Record):
    """A round's base model."""

    kind = "train"
    round: int
    attempt: int
    round_config: bytes
    weight: int  # read only by a hospital whose own settings say that there is no ledger
    bulk: bytes  # the base model's float32 vector, little-endian
    heads: bytes = b""  # the newest chain heads that hospitals have signed


@dataclass(frozen=True)
class UpdateReply(Record):
    """A hospital's sealed update and its signed submission."""

    kind = "update"
    round: int
    attempt: int
    hospital: str
    base: bytes
    root: bytes
    samples: int
    size: int  # bytes of the blob
    metrics_root: bytes
    signature: bytes  # EIP-712 over Submission
    metrics: bytes  # JSON of HospitalMetrics
    waited: float  # seconds of the training in which the network stood still for the loader; not signed
    bulk: bytes  # the sealed update
    head: bytes = b""  # the newest chain head that it has signed, as a list of one
    took: float = 0.0  # seconds from the request to this reply; not signed

    @classmethod
    def of(
        cls,
        signed: SignedSubmission,
        metrics: bytes,
        blob: bytes,
        *,
        waited: float,
        head: bytes,
        took: float,
    ) -> Self:
        """A submission with what it commits to; ``waited``, ``head`` and ``took`` are no part of it."""
        submission = signed.message
        return cls(
            round=submission.round,
            attempt=submission.attempt,
            hospital=submission.hospital,
            base=submission.base,
            root=submission.root,
            samples=submission.samples,
            size=submission.size,
            metrics_root=submission.metrics,
            signature=signed.signature,
            metrics=metrics,
            waited=waited,
            bulk=blob,
            head=head,
            took=took,
        )

    def submission(self, federation: bytes) -> Submission:
        """What the hospital signed, if it signed for ``federation``.

        Raises:
            FederationError: a field that the contract's types cannot hold.
        """
        return _submission(self, federation)


@dataclass(frozen=True)
class ValidateRequest(Record):
    """One hospital's update for a validator, with the proof that it is what the contract accepted."""

    kind = "validate"
    round: int
    attempt: int
    round_config: bytes
    hospital: str  # whose update it is
    base: bytes
    root: bytes
    samples: int
    size: int
    metrics_root: bytes
    header: bytes  # of the sealed update; empty where updates are not sealed
    paths: bytes  # Merkle audit paths of the header's leaves, one after the other
    bulk: bytes  # the base model's vector, then the update's: float32 and uint32, little-endian

    def submission(self, federation: bytes) -> Submission:
        """What the hospital signed, if it signed for ``federation``.

        Raises:
            FederationError: a field that the contract's types cannot hold.
        """
        return _submission(self, federation)


@dataclass(frozen=True)
class AttestationReply(Record):
    """A validator's signed verdict."""

    kind = "attestation"
    validator: str
    hospital: str
    commitment: bytes
    accepted: bool
    score: int  # 1/10,000 of the base model's loss
    signature: bytes  # EIP-712 over Attestation


@dataclass(frozen=True)
class UnmaskRequest(Record):
    """The second trip of a masked round: the set is read on the ledger, not here."""

    kind = "unmask"
    round: int
    attempt: int
    listing: bytes  # of submissions, where one root records all; else empty
    heads: bytes  # the newest chain heads that hospitals have signed
    bulk: bytes  # leaves of the others' headers, as fedcxr.masked_rounds.header_leaves has them


@dataclass(frozen=True)
class UnmaskReply(Record):
    """What a hospital releases, for one set of updates."""

    kind = "unmasked"
    round: int
    attempt: int
    hospital: str  # its account when the attempt was opened
    context: bytes
    accepted: bytes  # 32: the set, as the contract has it
    block: int  # where it read the set
    block_hash: bytes
    answer: bytes  # an entry for each neighbour
    signature: bytes  # EIP-712 over Unmasking
    head: bytes  # the newest chain head that it has signed, as a list of one


@dataclass(frozen=True)
class RefusalReply(Record):
    """A hospital was handed a model that the contract does not hold, and says so under its signature."""

    kind = "refusal"
    round: int
    hospital: str
    seen: bytes
    signature: bytes  # EIP-712 over Refusal


@dataclass(frozen=True)
class FailureReply(Record):
    """A hospital could not do what was asked, and its own log says why.

    No words: those of an error may name a file, and with it a patient.
    """

    kind = "failure"
    code: int  # exit code of the error's type; that of FedcxrError for an error that is not fedcxr's
