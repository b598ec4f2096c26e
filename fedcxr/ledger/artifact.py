"""The compiled contract as package data, so that a user needs no compiler."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


@dataclass(frozen=True)
class Artifact:
    """The output of a compiler, and the sources that it was made from.

    Attributes:
        abi: of the contract.
        court_abi: of the contract that it makes for disputes; its code is part of the bytecode.
        bytecode, deployed_bytecode: hex with 0x; in the latter, immutables are zero.
        immutables: byte ranges [start, length] of the deployed bytecode that the constructor fills.
        compiler: version.
        settings: of the standard JSON input.
        sources: SHA-256 in hex of every file compiled.
    """

    abi: list[dict[str, Any]]
    court_abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str
    immutables: list[list[int]]
    compiler: str
    settings: dict[str, Any]
    sources: dict[str, str]

    def topic(self, name: str) -> bytes:
        """The first topic of an event of the contract."""
        return signature_hash(next(e for e in self.abi if e["type"] == "event" and e["name"] == name))

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

    def created(self, code: bytes) -> bool:
        """Whether a contract's code is this artifact's, whatever its constructor put into the immutables."""
        expected = bytearray(bytes.fromhex(self.deployed_bytecode[2:]))
        if len(code) != len(expected):
            return False
        for start, length in self.immutables:
            expected[start : start + length] = code[start : start + length]
        return code == expected

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


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
    """The artifact that this package was shipped with.

    Raises:
        ArtifactError: missing or damaged.
    """
    return read_artifact(resources.files("fedcxr.ledger") / "artifacts" / f"{NAME}.json")


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
