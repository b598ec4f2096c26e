"""The manifest of experiments: a list of tables, each with its experiments and their seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr import bounded, toml_text
from fedcxr.errors import ConfigError

_WANTED = ("name", "files")
_OPTIONAL = ("title", "seeds", "set", "explain", "cost")


@dataclass(frozen=True)
class TablePlan:
    """One table of a manifest: its name, title, files, seeds, and what all of them set."""

    name: str
    title: str
    files: tuple[Path, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    explain: bool = False
    cost: bool = False


def read_manifest(path: Path) -> list[TablePlan]:
    """Read the tables of a manifest, in the order of the file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or lacks something.
    """
    try:
        tree = toml_text.parse(bounded.read(path, toml_text.LONGEST))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if set(tree) != {"table"} or not isinstance(tree["table"], list):
        raise ConfigError(
            f"{path}: it has {', '.join(tree) or 'nothing'}; a manifest is a list of [[table]]."
        )
    return [_plan(path, number, table) for number, table in enumerate(tree["table"], start=1)]


def _plan(path: Path, number: int, table: Mapping[str, Any]) -> TablePlan:
    where = f"{path}: [[table]] {number}"
    if missing := [key for key in _WANTED if key not in table]:
        raise ConfigError(f"{where} has no {' and no '.join(missing)}.")
    if unknown := sorted(set(table) - {*_WANTED, *_OPTIONAL}):
        raise ConfigError(
            f"{where}: unknown key {', '.join(unknown)} (allowed: {', '.join((*_WANTED, *_OPTIONAL))})."
        )
    try:
        return TablePlan(
            name=str(table["name"]),
            title=str(table.get("title", table["name"])),
            files=tuple(path.parent / str(name) for name in table["files"]),
            seeds=tuple(int(seed) for seed in table.get("seeds", (0,))),
            overrides=tuple(map(str, table.get("set", ()))),
            explain=bool(table.get("explain", False)),
            cost=bool(table.get("cost", False)),
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}; files, seeds and set are lists.") from None
