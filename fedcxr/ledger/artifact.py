"""The compiled contract as package data, so that a user needs no compiler.

Besides the contract of today there are those of before, which federations were founded with: a contract is
one that a known artifact created (:func:`known_artifacts`), and what any of them may say is read by one ABI
(:func:`known_interface`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from fedcxr import files
from fedcxr.errors import ArtifactError

NAME = "FederationLedger"
COURT = "DisputeCourt"
REGISTRY = "Registry"
EARLIER = ("FederationLedger-3", "FederationLedger-2", "FederationLedger-1")
"""Artifacts of before, the latest first: their federations are resumed and audited as they were founded."""

_SHIPPED = resources.files("fedcxr.ledger") / "artifacts"
_EARLIER = _SHIPPED / "earlier"


@dataclass(frozen=True)
class Interface:
    """The ABI of the ledger and of its court.

    Attributes:
        abi: of the contract, with what its registry answers and says in its name.
        court_abi: of the contract that it makes for disputes.
    """

    abi: list[dict[str, Any]]
    court_abi: list[dict[str, Any]]

    def topic(self, name: str) -> bytes:
        """The first topic of an event of the contract that is the only one of its name."""
        (topic,) = self.topics(name)
        return topic

    def topics(self, name: str) -> list[bytes]:
        """The first topics of the events of a name: of rounds with seats beyond 256, they are others."""
        return [signature_hash(e) for e in self.abi if e["type"] == "event" and e["name"] == name]

    @cached_property
    def events(self) -> dict[bytes, dict[str, Any]]:
        """The ABI's entries of every event of the contract and of its court, by their first topic."""
        return {signature_hash(entry): entry for entry in self.entries("event")}

    @cached_property
    def errors(self) -> dict[bytes, dict[str, Any]]:
        """The ABI's entries of every custom error of the contract and of its court, by their selector."""
        return {selector(entry): entry for entry in self.entries("error")}

    def function(self, name: str) -> dict[str, Any]:
        """The ABI's entry of a function of the contract or its court; of several with one name, the first."""
        return next(entry for entry in self.entries("function") if entry["name"] == name)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The ABI's entries of a kind (``event``, ``error``) of the contract and of its court."""
        return [entry for entry in (*self.abi, *self.court_abi) if entry["type"] == kind]


@dataclass(frozen=True)
class Artifact(Interface):
    """The output of a compiler, and the sources that it was made from.

    Attributes:
        bytecode, deployed_bytecode: hex with 0x; in the latter, immutables are zero. The former has the code
            of the contracts that the constructor makes, too.
        registry_bytecode, registry_deployed: likewise, of the contract whose code the ledger runs for its
            members; empty where the ledger has all code itself. It has no immutables.
        immutables: byte ranges [start, length] of the deployed bytecode that the constructor fills.
        compiler: version.
        settings: of the standard JSON input.
        sources: SHA-256 in hex of every file compiled.
    """

    bytecode: str
    deployed_bytecode: str
    immutables: list[list[int]]
    compiler: str
    settings: dict[str, Any]
    sources: dict[str, str]
    registry_bytecode: str = ""
    registry_deployed: str = ""

    @property
    def registry_hash(self) -> bytes:
        """Keccak-256 of the registry's code, which the ledger's constructor holds the registry to."""
        return keccak(bytes.fromhex(self.registry_deployed[2:]))

    def code_difference(self, code: bytes) -> str | None:
        """How a contract's code is not this artifact's, whatever its constructor put into the immutables."""
        expected = bytearray(bytes.fromhex(self.deployed_bytecode[2:]))
        if len(code) != len(expected):
            return f"{len(code)} bytes instead of {len(expected)}"
        for start, length in self.immutables:
            expected[start : start + length] = code[start : start + length]
        if code == expected:
            return None
        return f"other code from byte {next(i for i, b in enumerate(code) if b != expected[i])} on"

    def created(self, code: bytes) -> bool:
        """Whether a contract's code is this artifact's."""
        return self.code_difference(code) is None

    def founds(self, creation: bytes) -> bool:
        """Whether a transaction that creates a contract runs this artifact's code.

        Other initialisation code may write any storage and any immutable, and leave the same code behind.
        What follows the artifact's bytecode are the constructor's arguments. The first of them, where there
        is a registry, is the hash of its code.
        """
        begins = bytes.fromhex(self.bytecode[2:]) + (self.registry_hash if self.registry_deployed else b"")
        return creation.startswith(begins)

    def to_json(self) -> str:
        """The artifact's file, without a registry where it has none: so those of before were written."""
        fields = {
            key: value for key, value in asdict(self).items() if value or not key.startswith("registry")
        }
        return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def signature_hash(entry: Mapping[str, Any]) -> bytes:
    """Keccak-256 of the signature of an entry of an ABI; of an event, it is the first topic."""
    return keccak(f"{entry['name']}({','.join(map(canonical_type, entry['inputs']))})".encode())


def selector(entry: Mapping[str, Any]) -> bytes:
    """The four bytes with which calls of a function, or the data of an error, begin."""
    return signature_hash(entry)[:4]


def canonical_type(field: Mapping[str, Any]) -> str:
    """The type of a field of an ABI as signatures have it: a struct as the list of its parts."""
    name = str(field["type"])
    if not name.startswith("tuple"):
        return name
    return f"({','.join(map(canonical_type, field['components']))}){name.removeprefix('tuple')}"


@lru_cache(maxsize=1)
def load_artifact() -> Artifact:
    """The artifact that new federations are founded with.

    Raises:
        ArtifactError: missing or damaged.
    """
    return read_artifact(_SHIPPED / f"{NAME}.json")


@lru_cache(maxsize=1)
def known_artifacts() -> Mapping[str, Artifact]:
    """The artifacts that a federation may have been founded with, by name, the present one first.

    Raises:
        ArtifactError: one is missing or damaged.
    """
    return {NAME: load_artifact(), **{name: read_artifact(_EARLIER / f"{name}.json") for name in EARLIER}}


@lru_cache(maxsize=1)
def known_interface() -> Interface:
    """What all known artifacts' contracts say and understand: each entry once, the present one's first.

    So nobody who reads a contract asks which of them it is.

    Raises:
        ArtifactError: as :func:`known_artifacts`.
    """
    known = known_artifacts().values()
    return Interface(
        distinct(entry for artifact in known for entry in artifact.abi),
        distinct(entry for artifact in known for entry in artifact.court_abi),
    )


def artifact_that(fits: Callable[[Artifact], bool]) -> str | None:
    """Name of the first known artifact that fits; None where none does."""
    return next((name for name, artifact in known_artifacts().items() if fits(artifact)), None)


def distinct(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of an ABI, those with one name and one list of parameters once; of constructors the first."""
    found: dict[tuple[str, bytes], dict[str, Any]] = {}
    for entry in entries:
        signature = signature_hash(entry) if "name" in entry else b""
        found.setdefault((entry["type"], signature), entry)
    return list(found.values())


def read_artifact(path: Traversable) -> Artifact:
    """An artifact from its file.

    Raises:
        ArtifactError: missing or damaged.
    """
    try:
        return Artifact(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path}: {error}") from None


def write_artifact(artifact: Artifact, path: Path) -> None:
    """Replace an artifact's file, wholly or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    files.write(path, artifact.to_json())
