"""What the driver starts in a process of its own: ``python -m experiments.peers.start WHAT …``.

::

    prepare WORK CELL ROUNDS   make a cell's work
    SYSTEM WORK OUT            carry it out; writes OUT/model-1.npy and OUT/model-last.npy
"""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

from experiments.peers.cells import SYSTEMS, Cell
from fedcxr.errors import ConfigError


def main(what: str, work: str, *more: str) -> None:
    """Do it; what goes wrong is told in ``OUT/failure.txt`` too, in a line."""
    if what == "prepare":
        preparation = importlib.import_module("experiments.peers.preparation")
        preparation.prepare_work(Path(work), Cell.named(more[0]), int(more[1]))
        return
    out, system = Path(more[0]), SYSTEMS[what]
    versions = "".join(f"{package} {version(package)}\n" for package in (*system.packages, "torch"))
    (out / "versions.txt").write_text(versions, encoding="utf-8")
    try:
        importlib.import_module(f"experiments.peers.{system.module}").run(what, Path(work), out)
    except Exception as error:
        traceback.print_exc()
        what = "refused" if isinstance(error, ConfigError) else type(error).__name__
        said = " ".join(f"{what}: {error}".split())
        (out / "failure.txt").write_text(said, encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
