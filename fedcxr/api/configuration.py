"""A configuration for a notebook: a TOML file, and what differs from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fedcxr.config import Config, load


def load_config(path: str | Path, overrides: Iterable[str] | Mapping[str, object] = ()) -> Config:
    """Read a TOML file and apply overrides to it.

    Args:
        path: of the TOML file.
        overrides: a mapping of dotted keys to values, ``{"training.batch_size": 16}``, or lines as the
            command line has them, ``"training.batch_size=16"``.

    Raises:
        ConfigError: no such file, bad TOML, files that extend each other, an unknown key, a bad value.
    """
    return load(path, overrides)
