"""The state that a hospital keeps between rounds, on its own disk: one file for each of the last two.

Round r starts from the file of the last round before r, never from its own: so a round that is trained
again, after a kill or in another attempt, starts where it started before, ends with the same bits, and
writes the same file. That is why two are kept: the last round's own, and the one that it came from.

A round is opened only when the one before it is final, so a file below r is of a final round, or of one in
which this hospital's update did not count; its memory is its own in either case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr import files, json_text, tensor_file
from fedcxr.errors import ModelError, StoreError

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2  # files
_LONGEST = 1 << 33  # bytes of one; the largest model, and its teacher, memory and queues
_KEY = "fedcxr"  # one metadata key only: safetensors does not order them
_NAME = re.compile(r"(\d{4,})\.safetensors")


@dataclass(frozen=True)
class HospitalState:
    """The state files of one hospital in one federation.

    Attributes:
        folder: ``<hospital>/<address>/state``; what is written goes there.
        former: the same below addresses whose keys were rotated; read as well.
    """

    folder: Path
    former: tuple[Path, ...] = ()

    @classmethod
    def of_disk(cls, root: Path) -> HospitalState:
        """Open the state of the hospital at ``root`` to read from, under whichever of its addresses it is."""
        first, *more = sorted(path.parent for path in root.glob("0x*/federation.json")) or [root]
        return cls(first / "state", tuple(folder / "state" for folder in more))

    def last(self) -> dict[str, Tensor]:
        """The tensors that the last round left; none before the first round."""
        return self.read(self.rounds[-1]) if self.rounds else {}

    @property
    def rounds(self) -> list[int]:
        """The rounds of which there is a file, rising."""
        return sorted({number for folder in (self.folder, *self.former) for number in _rounds(folder)})

    def before(self, round_number: int) -> dict[str, Tensor]:
        """The tensors that the last round before ``round_number`` left; none in a hospital's first round.

        Raises:
            StoreError: the file is damaged.
        """
        earlier = [number for number in self.rounds if number < round_number]
        return self.read(earlier[-1]) if earlier else {}

    def read(self, round_number: int) -> dict[str, Tensor]:
        """The tensors that a round left.

        Raises:
            StoreError: there is no such file, or it is damaged.
        """
        paths = [_path(folder, round_number) for folder in (self.folder, *self.former)]
        path = next((path for path in paths if path.exists()), paths[0])
        try:
            tensors, metadata = tensor_file.read(path, _LONGEST)
            said = json_text.parse(metadata[_KEY])["round"]
        except FileNotFoundError:
            raise StoreError(f"{path}: no state of round {round_number} is kept here.") from None
        except (ModelError, OSError, KeyError, ValueError, TypeError) as error:
            raise StoreError(
                f"{path}: damaged ({error}). Restore it from a copy; or remove the folder, and this hospital "
                "begins the round with a memory that is new."
            ) from None
        if said != round_number:
            raise StoreError(f"{path}: holds the state of round {said!r:.40}; restore the file.")
        return tensors

    def write(self, round_number: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the tensors that a round left, wholly or not at all, and remove all but the last two rounds'.

        A hospital that has nothing to keep, and never had, gets no file. Files of later rounds go: they came
        from a chain that was put back since.

        Raises:
            StoreError: it cannot be written.
        """
        from safetensors.torch import save

        if not tensors and not self.rounds:
            return
        files.write(
            _path(self.folder, round_number), save(dict(tensors), {_KEY: json.dumps({"round": round_number})})
        )
        rounds = _rounds(self.folder)
        past = [number for number in rounds if number <= round_number]
        for number in {*past[:-KEPT], *(number for number in rounds if number > round_number)}:
            _path(self.folder, number).unlink(missing_ok=True)


def _rounds(folder: Path) -> list[int]:
    names = (path.name for path in folder.glob("*.safetensors"))
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def _path(folder: Path, round_number: int) -> Path:
    return folder / f"{round_number:04d}.safetensors"
