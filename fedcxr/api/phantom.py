"""SYNTHETIC chest X-rays for whoever has no real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from fedcxr.config import Phantom
from fedcxr.data.phantom import generate
from fedcxr.errors import ConfigError
from fedcxr.evaluation.scores import explain


def generate_phantom(
    folder: str | Path,
    *,
    hospitals: int | None = None,
    patients: int | None = None,
    size: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw SYNTHETIC chest X-rays in the CheXpert layout; a folder that has the same ones is left as it is.

    Args:
        folder: where they are drawn: a new or empty folder, or one with the same phantoms.
        hospitals: how many there are, each with its own scanner; 4 by default.
        patients: of each hospital; 320 by default.
        size: pixels a side; 128 by default.
        seed: the same seed draws the same bytes.
        progress: called with (images done, images in all).

    Returns:
        The folder, which has ``train.csv`` and ``valid.csv``.

    Raises:
        ConfigError: a number is outside of what is allowed.
        DataError: the folder holds something else.
    """
    given = {"hospitals": hospitals, "patients": patients, "size": size}
    try:
        phantom = Phantom.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(f"generate_phantom: {explain(error)}") from None
    generate(Path(folder), phantom, seed, progress=progress)
    return Path(folder)
