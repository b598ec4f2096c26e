"""What an audit goes by: the contract, the blobs, the layout, and the models that are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.audit.blob_pool import BlobPool
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.privacy_claims import PrivacyClaims
from fedcxr.audit.scope import Scope
from fedcxr.errors import LayoutError, ModelError, StoreError
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.protection import Protection, UpdateReader
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import merkle, model_file
from fedcxr.update.layout import MOST_VALUES, Layout, Vector

Bytes = NDArray[np.uint8]
_SEEDS = 1 << 25  # bytes of seeds that are kept: of 170 rounds of fifty hospitals, or 2,900 of ten


@dataclass(frozen=True)
class ModelFiles:
    """Model files by round, wherever they are."""

    paths: dict[int, Path]
    last: int = 0  # the last finalized round: its file, and that of round 0, may not be missing
    required: bool = True

    @classmethod
    def of_run(cls, run: RunDirectory, last: int) -> ModelFiles:
        return cls({number: run.model(number) for number in range(last + 1)}, last)


@dataclass(frozen=True)
class Evidence:
    """What is at hand.

    Attributes:
        ledger: the contract.
        store: the blobs.
        pool: which checks blobs of the same store.
        layout: None when what is at hand is not the ledger's; then no sum can be computed.
        models: files to compare; where the federation started is looked for in the store too.
        keys: the coordinator's first, then the auditor's; those that are at hand.
        protection: of updates, by the contract.
        readers: of updates, one a key, or the one that needs none; empty where nobody here can read them.
        scope: what was asked for.
        report: what findings are added to.
        named: roots of the blobs that the ledger names, as they are met.
        partitions: digests of ``partition.json`` that the rounds' configurations name, as they are met.
        never_came: rounds, and hospitals that brought their updates to the contract themselves, which were
            excluded, and whose bytes the store does not have.
        pruned: rounds of whose updates the run's keeper says that he removed them; no more than his word.
        small: blobs of up to a few kilobytes that were read and are what they say, for an export.
        seeds: roots of masked rounds' seeds, by round; the first of them are in ``small``.
        claims: what hospitals signed of differential privacy.
        colluder_parts: which share of the hospitals may collude, in 1/10,000; None where no configuration is
            at hand.
        withholds: whether rare labels are withheld; likewise.
        stated: the labels that each hospital has stated, as bits, by seat, as rounds' configurations are met.
    """

    ledger: FederationViews
    store: BlobStore
    pool: BlobPool
    layout: Layout | None
    models: ModelFiles
    keys: Sequence[EnvelopePrivateKey]
    protection: Protection
    readers: Sequence[UpdateReader]
    scope: Scope
    report: AuditReport
    claims: PrivacyClaims
    named: set[bytes] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)
    never_came: set[tuple[int, str]] = field(default_factory=set)
    pruned: frozenset[int] = frozenset()
    small: dict[bytes, bytes] = field(default_factory=dict)
    seeds: dict[int, bytes] = field(default_factory=dict)
    colluder_parts: int | None = None
    withholds: bool | None = None
    stated: dict[int, int] = field(default_factory=dict)

    @cached_property
    def longest_update(self) -> int:
        """Bytes that an update's blob may have; the ledger's word on a size may be absurd."""
        values = self.layout.size if self.layout is not None else self.ledger.update_size // 4
        return self.protection.longest(min(values, MOST_VALUES))

    def read_small(
        self, what: str, root: bytes, longest: int, number: int, hospital: str = ""
    ) -> bytes | None:
        """The bytes of a small blob that the ledger names; None, and a finding, when they are not there.

        Args:
            what: the blob is, in the words of a finding.
            root: of the blob.
            longest: bytes that it may have.
            number: of the round that names it.
            hospital: whose it is.
        """
        self.named.add(root)
        try:
            data = self.store.get(root, longest).tobytes()
        except StoreError as error:
            self.report.find(what, root.hex(), str(error), number, hospital)
            return None
        self.small[root] = data
        return data

    def keep_seeds(self, number: int, root: bytes, data: bytes) -> None:
        """Keep the published seeds of a masked round for an export, while there is room for them."""
        self.seeds[number] = root
        if sum(len(self.small.get(kept, b"")) for kept in self.seeds.values()) + len(data) <= _SEEDS:
            self.small[root] = data

    def genesis(self) -> Vector | None:
        """Where the federation started: from its file, or from the store."""
        digest = self.ledger.genesis_digest
        path = self.models.paths.get(0)
        if path is not None and (self.models.required or path.exists()):
            if not path.exists():
                self.report.find(path.name, f"digest {digest.hex()}", "no such file", 0)
            return self.model(0, digest)
        if self.layout is None:
            return None
        try:
            data = self.store.get(digest, 4 * self.layout.size)
            vector = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
            self.layout.check(vector)
        except (StoreError, LayoutError, ValueError) as error:
            self.report.unchecked.append(f"sums from the first model on: it is not at hand ({error})")
            return None
        return vector

    def model(self, number: int, digest: bytes, computed: Vector | None = None) -> Vector | None:
        """The model whose digest the ledger holds, from computation or from its file; the file is compared.

        Args:
            number: of the round; 0 is where the federation started.
            digest: as the ledger has it.
            computed: a vector of this digest, from the updates.

        Returns:
            None when neither has it.
        """
        path = self.models.paths.get(number)
        if path is None:
            return computed
        if not path.exists() and number not in (0, self.models.last):  # those two are findings
            self.report.notes.append(f"round {number}: its model file is not there (see store.keep_models)")
        if self.layout is None or not path.exists():
            return computed
        start = np.frombuffer(
            model_file.header(self.layout, digest, federation=self.ledger.federation, round_number=number),
            np.uint8,
        )
        most = start.nbytes + 4 * self.layout.size + 1  # a byte more, so that one too many is seen
        try:
            if not path.is_file():
                raise OSError("it is no file")  # noqa: TRY301 (a pipe would be waited for)
            found = np.fromfile(path, np.uint8, min(path.stat().st_size, most))
        except OSError as error:
            self.report.find(path.name, f"a model with digest {digest.hex()}", str(error), number)
            return computed
        self.report.bytes_of_models += found.nbytes
        vector = self._read(path, found, start, number, digest) if computed is None else computed
        if vector is None:
            return None
        self._compare(path.name, found, start, vector, number)
        return vector

    def _read(self, path: Path, found: Bytes, start: Bytes, number: int, digest: bytes) -> Vector | None:
        """The vector of a model file, if it has the ledger's digest."""
        assert self.layout is not None
        if found.nbytes == start.nbytes + 4 * self.layout.size and np.array_equal(
            found[: start.nbytes], start
        ):
            vector = found[start.nbytes :].view("<f4").astype(np.float32, copy=False)
        else:  # not as it should be written; it may hold the tensors all the same
            try:
                vector = model_file.read(path, self.layout)
            except ModelError as error:
                self.report.find(path.name, f"a model with digest {digest.hex()}", str(error), number)
                return None
        if (actual := model_file.vector_digest(vector)) != digest:
            self.report.find(path.name, f"digest {digest.hex()}", f"digest {actual.hex()}", number)
            return None
        return vector

    def _compare(self, name: str, found: Bytes, start: Bytes, vector: Vector, number: int) -> None:
        """Every byte of a file must follow from the vector and the round."""
        rest = vector.astype("<f4", copy=False).view(np.uint8)
        size = start.nbytes + rest.nbytes
        if found.nbytes == size and np.shares_memory(found, rest):
            return  # the vector was read from it, and its header is as it must be
        for part, offset in ((start, 0), (rest, start.nbytes)):
            there = found[offset : offset + part.nbytes]
            if (at := _first_difference(there, part)) is not None:
                root = merkle.root(np.concatenate([start, rest])).hex()
                said = f"{_bytes(found, size)}, first difference at byte {offset + at}"
                self.report.find(name, f"{size} bytes with root {root}", said, number)
                return
        if found.nbytes != size:
            self.report.find(name, f"{size} bytes", f"{_bytes(found, size)} that begin alike", number)


def _bytes(found: Bytes, size: int) -> str:
    """How long a file is, of which no more was read than one byte over what it should have."""
    return f"{found.nbytes} bytes" if found.nbytes <= size else f"more than {size} bytes"


def _first_difference(found: Bytes, expected: Bytes) -> int | None:
    """The first offset at which what is there is not what is expected; None when it is."""
    size = min(found.nbytes, expected.nbytes)
    word = np.uint32 if size % 4 == 0 else np.uint8  # four at once; headers are a multiple of eight bytes
    if np.array_equal(found[:size].view(word), expected[:size].view(word)):
        return None if size == expected.nbytes else size
    return int((found[:size] != expected[:size]).argmax())
