"""A configuration from a TOML file and ``key.path=value`` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedcxr import bounded, toml_text
from fedcxr.config.whole import Config, place, validate
from fedcxr.errors import ConfigError, StoreError

_MOST_FILES = 16  # that extend one another


def overridden(config: Config, overrides: Iterable[str]) -> Config:
    """A configuration with ``key.path=value`` overrides; raises ConfigError as :func:`load`."""
    tree = config.model_dump(mode="json", exclude_none=True)
    _override(tree, overrides)
    return validate(tree, where="overrides")


def load(path: str | Path, overrides: Iterable[str] | Mapping[str, object] = ()) -> Config:
    """Read a TOML file and apply overrides to it.

    A file may begin with ``extends = "other.toml"``, beside it: it says then what differs from that one.

    Args:
        path: of the TOML file.
        overrides: lines as the command line has them, ``"training.batch_size=16"``, or a mapping of dotted
            keys to values, ``{"training.batch_size": 16}``.

    Raises:
        ConfigError: no such file, bad TOML, files that extend each other, an unknown key, a bad value.
    """
    tree = _read(Path(path), ())
    _override(tree, overrides)
    return validate(tree, where=str(path))


def _read(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """A file's tree over that of the file which it extends; ``extending`` are those that led here."""
    if len(extending) > _MOST_FILES:
        raise ConfigError(f"{path}: more than {_MOST_FILES} files extend one another.")
    if path.resolve() in extending:
        raise ConfigError(f"{path}: extends itself, by way of {extending[-1]}.")
    try:
        tree = toml_text.parse(bounded.read(path, toml_text.LONGEST))
    except FileNotFoundError:
        by = f" {extending[-1]} extends it." if extending else ""
        raise ConfigError(f"{path}: no such configuration file.{by}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except StoreError as error:
        raise ConfigError(str(error)) from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends = {base!r}: the name of a TOML file is wanted.")
    return _over(_read(path.parent / base, (*extending, path.resolve())), tree)


def _over(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``changes`` says, section by section."""
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), dict)
        base[key] = _over(base[key], value) if both else value
    return base


def _override(tree: dict[str, Any], overrides: Iterable[str] | Mapping[str, object]) -> None:
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            place(tree, key, value)
        return
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"{override!r}: write key.path=value, as in training.batch_size=16.")
        place(tree, key.strip(), _value(text.strip()))


def _value(text: str) -> object:
    """A TOML value; what is not TOML is a string, so that ``--set model.name=semssxl`` needs no quotes."""
    try:
        return toml_text.parse(f"value = {text}")["value"]
    except ValueError:
        return text
