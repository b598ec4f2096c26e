"""Environment variables: without them Flower and Ray call home, install things, and write to ``~``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def flower_environment(home: Path) -> dict[str, str]:
    """The environment of this process, made fit for a process of Flower's.

    Args:
        home: where Flower may keep its own state, in place of ``~/.flwr``.
    """
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        # Otherwise every run resolves and installs the app's dependencies anew, torch with CUDA among them.
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # otherwise newer Rays write a token into the home directory
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # fedcxr may be importable here because of a working directory that a child does not look into.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(p or ".").absolute()) for p in sys.path)),
    }
