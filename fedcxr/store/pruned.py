"""What the keeper of a run has removed of it: a file that says so, and the audit that was made before.

``pruned.json`` names the finalized rounds whose updates have left the store. Which updates these are is not
in it: they are the ones that the ledger has in those rounds' sums, and no file can add another to them. It
may name an audit, by the SHA-256 of its signed export, ``pruned.zip``: what its signer states of the updates
that are gone. Whoever reads a run that is not his own believes neither of the two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from fedcxr import bounded, files, json_text
from fedcxr.errors import StoreError

NAME, STATEMENT = "pruned.json", "pruned.zip"
_FORMAT = "fedcxr/pruned/1"
_LONGEST = 1 << 20  # bytes: a hundred thousand rounds
_LONGEST_STATEMENT = 128 << 20  # bytes, as of any export
_DIGEST = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class Pruned:
    """Rounds whose updates were removed from a run's store.

    Attributes:
        federation: hex id.
        contract: address.
        rounds: finalized rounds, ascending.
        statement: hex SHA-256 of the export of the audit that was made right before; empty where none was.
        format: of the file.
    """

    federation: str
    contract: str
    rounds: tuple[int, ...] = ()
    statement: str = ""
    format: str = _FORMAT

    def with_rounds(self, more: Iterable[int], statement: str) -> Self:
        """The same with further rounds, and the audit that was made before these were removed."""
        return replace(self, rounds=tuple(sorted({*self.rounds, *more})), statement=statement)

    def write(self, folder: Path) -> None:
        """Write it into a run's folder; raises UnwritableError where that is impossible."""
        files.write(folder / NAME, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the folder of a run says; None where it says that nothing was removed.

        Raises:
            StoreError: the file cannot be read, or is not what :meth:`write` makes.
        """
        path = folder / NAME
        try:
            tree = json_text.parse(bounded.read(path, _LONGEST), _LONGEST)
            rounds, words = tuple(tree.pop("rounds")), tree
            found = cls(rounds=rounds, **words)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: damaged: {error!s:.200}") from None
        texts = (found.federation, found.contract, found.statement, found.format)
        if not all(type(text) is str for text in texts) or found.format != _FORMAT:
            raise StoreError(f"{path}: damaged: not what fedcxr writes.")
        ascending = all(type(n) is int for n in rounds) and list(rounds) == sorted(set(rounds))
        if not ascending or min(rounds, default=1) < 1 or not _DIGEST.fullmatch(found.statement):
            raise StoreError(f"{path}: damaged: its rounds, or its statement, are none.")
        return found

    @staticmethod
    def keep_statement(folder: Path, export: bytes) -> str:
        """Keep the export of the audit that is made before a removal, and return its hex SHA-256."""
        files.write(folder / STATEMENT, export)
        return hashlib.sha256(export).hexdigest()

    def read_statement(self, folder: Path) -> bytes:
        """The export that :attr:`statement` names.

        Raises:
            StoreError: it is not there, or is another file.
        """
        path = folder / STATEMENT
        try:
            data = bounded.read(path, _LONGEST_STATEMENT)
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}.") from None
        if (found := hashlib.sha256(data).hexdigest()) != self.statement:
            raise StoreError(f"{path}: its SHA-256 is {found}, and {NAME} names {self.statement}.")
        return data


def pruned_rounds(folder: Path) -> tuple[int, ...]:
    """The rounds whose updates the folder of a run says that it has no more; see :meth:`Pruned.read`."""
    said = Pruned.read(folder)
    return () if said is None else said.rounds
