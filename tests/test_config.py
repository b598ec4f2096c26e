"""The configuration: what it refuses, and that it reads back what it wrote."""

from pathlib import Path

import pytest

from fedcxr import config
from fedcxr.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


MINIMAL = 'name = "t"\n[data]\nroot = "somewhere"\n'


def test_resolved_configuration_reads_back_equal(tmp_path: Path) -> None:
    first = config.load(write(tmp_path, MINIMAL), ["training.batch_size=16", "data.phantom.size=64"])
    assert first.training.batch_size == 16
    again = config.load(write(tmp_path, first.to_toml()))
    assert again == first
    assert again.digest() == first.digest()


def test_any_changed_key_changes_the_digest(tmp_path: Path) -> None:
    first = config.load(write(tmp_path, MINIMAL))
    assert first.with_changes({"training.threads": 2}).digest() != first.digest()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.batchsize=3", r"training\.batchsize: unknown key \(allowed: .*batch_size"),
        ("colour=3", r"colour: unknown key \(allowed: .*data"),
        ("training.batch_size=1", r"training\.batch_size = 1: .*greater than or equal to 2"),
        ("partition.scheme=dirichelt", r"partition\.scheme = 'dirichelt': .*'natural'"),
        ("training.batch_size", r"write key\.path=value"),
        ("name.x=1", r"name is a value, not a section"),
        ("training.min_learning_rate=1", r"min_learning_rate is above"),
        ("training.learning_rate=inf", r"training\.learning_rate = inf"),
    ],
)
def test_bad_override_names_the_key_and_what_is_allowed(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(write(tmp_path, MINIMAL), [override])


def test_missing_file_and_bad_toml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        config.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(write(tmp_path, "name = "))


def test_unset_variable_in_a_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    loaded = config.load(write(tmp_path, MINIMAL), ["data.root=$NOWHERE_SET/x"])
    with pytest.raises(ConfigError, match="NOWHERE_SET is not set"):
        _ = loaded.data.root_path
