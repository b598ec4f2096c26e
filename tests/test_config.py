"""The configuration: what it refuses, and that it reads back what it wrote."""

import re
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


def test_what_was_founded_keeps_its_digest(tmp_path: Path) -> None:
    """A key that is new since has its default, and its name among LATER_KEYS; nothing else may move this."""
    first = config.load(write(tmp_path, MINIMAL))
    assert first.digest().hex() == "49765da8bcc7af197049d8448b645a94a0c71d1fd22b4a291f1b429c23e32bc8"
    used = first.with_changes({"partition.scheme": "natural", "partition.leave_out": ["a"]})
    assert '"leave_out":["a"]' in used.canonical_json()
    assert "leave_out" not in first.canonical_json()


TINY = Path(__file__).resolve().parents[1] / "experiments" / "tiny.toml"


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
        ("training.reconstruction_weight=0.5", r"for models that reconstruct .*'dual_stream'"),
        ("training.learning_rate=inf", r"training\.learning_rate = inf"),
    ],
)
def test_bad_override_names_the_key_and_what_is_allowed(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(write(tmp_path, MINIMAL), [override])


def test_several_wrong_keys_have_a_line_each(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    with pytest.raises(ConfigError) as raised:
        config.load(path, ["training.batch_size=1", "training.learning_rate=-1"])
    first, *others = str(raised.value).splitlines()
    assert first == f"{path}:"
    assert [line.split(" = ")[0] for line in others] == ["  training.batch_size", "  training.learning_rate"]


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


def test_a_file_says_what_differs_from_the_one_that_it_extends(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'name = "base"\n[data]\nroot = "somewhere"\n[data.uncertain_per_label]\n"Edema" = "zeros"\n'
        "[training]\nbatch_size = 8\nthreads = 2\n"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "middle.toml").write_text('extends = "../base.toml"\n[training]\nthreads = 3\n')
    path = write(tmp_path, 'extends = "deep/middle.toml"\nname = "own"\n[training]\nlearning_rate = 0.01\n')
    read = config.load(path, ["training.batch_size=4"])
    assert (read.name, read.data.root) == ("own", "somewhere")
    assert read.data.uncertain_per_label == {"Edema": "zeros"}
    assert (read.training.batch_size, read.training.threads, read.training.learning_rate) == (4, 3, 0.01)


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ('"run.toml"', "run.toml: extends itself, by way of"),
        ('"other.toml"', "extends itself, by way of .*other.toml"),
        ('"none.toml"', r"none.toml: no such configuration file. .*run.toml extends it"),
        ("3", "extends = 3: the name of a TOML file is wanted"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, extends: str, said: str) -> None:
    (tmp_path / "other.toml").write_text('extends = "run.toml"\n')
    with pytest.raises(ConfigError, match=said):
        config.load(write(tmp_path, f"extends = {extends}\n{MINIMAL}"))


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("training.batchsize=3", "training.batch_size"),
        ("trainin.batch_size=3", "training"),
        ("data.phantom.patient=12", "data.phantom.patients"),
        ("training.rounds=3", "federation.rounds"),
        ("brush=3", None),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(TINY, [override])
    assert re.findall(r"Did you mean (\S+)\?", str(raised.value)) == ([] if meant is None else [meant])


def test_overrides_may_be_a_mapping() -> None:
    changes = {"training.batch_size": 4, "data.phantom.patients": 12}
    assert config.load(TINY, changes) == config.load(
        TINY, [f"{key}={value}" for key, value in changes.items()]
    )
    with pytest.raises(ConfigError, match=r"training\.batch_size = 'many'"):
        config.load(str(TINY), {"training.batch_size": "many"})
