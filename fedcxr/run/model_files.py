"""The model files of a run: written, read against what is on record of them, and thinned out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedcxr.errors import FedcxrError, FederationError
from fedcxr.ledger.protocol import RoundView
from fedcxr.run.founding import federation_id
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from fedcxr.update.layout import Layout, Vector


class ModelRecord(Protocol):
    """A ledger, as far as it knows the digests of models."""

    @property
    def genesis_digest(self) -> bytes:
        """Of the model that the federation started from."""
        ...

    def round(self, number: int) -> RoundView:
        """The round, whose view has the digest of its model."""
        ...


@dataclass(frozen=True)
class RunModels:
    """The files of the model that a federation started from and of those that it released.

    Attributes:
        run: where they are.
        ledger: the record that holds their digests.
        layout: of their tensors.
    """

    run: RunDirectory
    ledger: ModelRecord
    layout: Layout

    def read(self, round_number: int) -> Vector:
        """The model of a finalized round; of round 0, the model that the federation started from.

        Raises:
            FederationError: the file is another model than the ledger's.
            ModelError: it cannot be read.
        """
        path = self.run.model(round_number)
        vector = model_file.read(path, self.layout)
        ledger = self.ledger
        expected = ledger.round(round_number).model_digest if round_number else ledger.genesis_digest
        check_digest(
            path,
            vector,
            expected.hex(),
            record="the ledger holds",
            advice="restore it from a copy; the run cannot go on from another model.",
            error=FederationError,
        )
        return vector

    def write(self, round_number: int, vector: Vector, digest: bytes) -> None:
        """Write a round's model, which has this digest.

        Raises:
            StoreError: the file cannot be written.
        """
        federation = federation_id(self.run.config)
        path = self.run.model(round_number)
        model_file.write(
            path, vector, self.layout, federation=federation, round_number=round_number, digest=digest
        )

    def prune(self, last: int) -> None:
        """Remove all models but the last ``store.keep_models`` and the first, where every audit starts."""
        if keep := self.run.config.store.keep_models:
            for round_number in range(1, last - keep + 1):
                self.run.model(round_number).unlink(missing_ok=True)


def check_digest(
    path: Path, vector: Vector, expected: str, *, record: str, advice: str, error: type[FedcxrError]
) -> None:
    """Hold the weights that were read from a model's file against the digest on record.

    Args:
        path: of the file.
        vector: its weights.
        expected: the digest, hex.
        record: who says so, with the verb, for the error: "the ledger holds".
        advice: what to do about another model, for the error.
        error: to raise.

    Raises:
        FedcxrError: as ``error``, where the file is another model.
    """
    if (found := model_file.vector_digest(vector).hex()) != expected:
        raise error(f"{path} has digest {found}, but {record} {expected}: {advice}")
