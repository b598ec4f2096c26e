#!/usr/bin/env python3
"""Flower, NVFLARE, pfl-research and fedcxr on one piece of work, in turn.

    python experiments/peers/run.py                                   # every cell of experiments/peers.md
    python experiments/peers/run.py --cells compact-4 --rounds 3      # the smallest one
    python experiments/peers/run.py --page                            # the page alone, from what is kept

It wants the environment that experiments/peers.md describes, and a machine that does nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # in place of this folder: its files are a package's

from experiments.peers.driver import main  # noqa: E402

if __name__ == "__main__":
    main(__doc__ or "")
