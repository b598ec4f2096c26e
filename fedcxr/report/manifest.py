"""The list of tables: which experiments are in each, under which seeds."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fedcxr.errors import ConfigError


@dataclass(frozen=True)
class TablePlan:
    """One table of a manifest: its name, title, files, seeds, and what all of them set."""

    name: str
    title: str
    files: tuple[Path, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    explain: bool = False


def read_manifest(path: Path) -> list[TablePlan]:
    """The tables of a manifest, in its order.

    Raises:
        ConfigError: it cannot be read, is not TOML, or lacks something.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        return [
            TablePlan(
                name=str(table["name"]),
                title=str(table.get("title", table["name"])),
                files=tuple(path.parent / str(name) for name in table["files"]),
                seeds=tuple(int(seed) for seed in table.get("seeds", (0,))),
                overrides=tuple(map(str, table.get("set", ()))),
                explain=bool(table.get("explain", False)),
            )
            for table in tree["table"]
        ]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: each [[table]] wants name and files; may have seeds: {error}") from None
