"""What a simulation on Ray leaves when it is ended: its session, its scratch, the ledger's URL, the cursor.

The parent removes it. When the parent is dead, the simulation's process starts this module and exits at once:
it cannot do it itself, for its server would take the killed hospitals for failures, and finalize a round
without them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from fedcxr.terminal.console import Console
from server.grids import session


def end(leader: int) -> None:
    """End the session of a simulation, its server first."""
    session.end(leader)
    Console().show_cursor()  # the progress display hides it


def remove(endpoint: Path, scratch: Path) -> None:
    """Remove what points at processes that are gone."""
    endpoint.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    end(int(sys.argv[1]))
    remove(Path(sys.argv[2]), Path(sys.argv[3]))
