"""The model files of a run: read against the ledger, written, and thinned out."""

from __future__ import annotations

from dataclasses import dataclass

from fedcxr.errors import FederationError
from fedcxr.ledger.protocol import Ledger
from fedcxr.run.founding import federation_id
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class Releases:
    """The models that a federation started from and released.

    Attributes:
        run: where they are.
        ledger: which knows their digests.
        layout: of their tensors.
    """

    run: RunDirectory
    ledger: Ledger
    layout: Layout

    def read(self, number: int) -> Vector:
        """The model of a finalized round, or where the federation started: 0.

        Raises:
            FederationError: the file is another model than the ledger's.
            ModelError: it cannot be read.
        """
        path = self.run.model(number)
        vector = model_file.read(path, self.layout)
        expected = self.ledger.genesis_digest if number == 0 else self.ledger.round(number).model_digest
        if (found := model_file.vector_digest(vector)) != expected:
            raise FederationError(
                f"{path} has digest {found.hex()}, but the ledger holds {expected.hex()}: restore it from a "
                "copy; the run cannot go on from another model."
            )
        return vector

    def write(self, number: int, vector: Vector) -> None:
        """Write a round's model; raises StoreError where it cannot be."""
        federation = federation_id(self.run.config)
        path = self.run.model(number)
        model_file.write(path, vector, self.layout, federation=federation, round_number=number)

    def prune(self, last: int) -> None:
        """Keep the last k models, and always where it started: an audit recomputes all others from there."""
        if keep := self.run.config.store.keep_models:
            for number in range(1, last - keep + 1):
                self.run.model(number).unlink(missing_ok=True)
