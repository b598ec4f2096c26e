"""The two tables of a configuration: what hospitals train on, and what they are evaluated on."""

from __future__ import annotations

from fedcxr.config import Data
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.decoding import Progress
from fedcxr.errors import TableError


def require_tables(data: Data) -> None:
    """Check that both CSVs are there, before any is read.

    Raises:
        ConfigError: ``data.root`` has a variable that is not set.
        TableError: a CSV is not there; the message names the variable that ``data.root`` has.
    """
    for name in (data.train_csv, data.valid_csv):
        if not (path := data.root_path / name).is_file():
            raise TableError(
                f"{path}: no such file; data.root must name a folder in the CheXpert layout.",
                advice=f"data.root = {data.root!r}: let it name the folder that has {name}.",
            )


def read_dataset(
    data: Data, seed: int, *, progress: Progress | None = None
) -> tuple[ChexpertTable, ChexpertTable]:
    """Read train and valid; where ``data.phantom`` is set, generate them first unless they stand already.

    Args:
        data: the configuration's section.
        seed: the run's, for the phantom.
        progress: of the phantom's generation, in images.

    Raises:
        ConfigError: ``data.root`` has a variable that is not set.
        DataError: ``data.root`` holds something else than the configured phantom.
        TableError: a CSV is missing or faulty.
    """
    root = data.root_path
    if data.phantom is not None:
        from fedcxr.data.phantom import generate

        generate(root, data.phantom, seed, progress=progress)
    else:
        require_tables(data)
    return read_table(root / data.train_csv, root), read_table(root / data.valid_csv, root)
