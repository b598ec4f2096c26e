"""The command line as a whole: what ends it, and what it says then."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fedcxr.cli import main
from fedcxr.cli.app import app
from fedcxr.cli.help_text import flowed
from fedcxr.config import Config, Phantom
from fedcxr.errors import UnwritableError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of a command line."""
    monkeypatch.setattr(sys, "argv", ["fedcxr", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fedcxr {version('fedcxr')}\n"


def test_help_says_what_an_argument_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "ledger", "update", "--help") == 0
    assert "The run directory; without one, give --rpc" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_a_group_shows_its_usual_command_and_names_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(monkeypatch, "audit", *arguments) == 0
    said = capsys.readouterr().out
    assert "--journal" in said
    assert "audit verify." in said


def commands(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command and group, by the words that show its help."""
    yield words
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from commands(below, *words, name)


COMMANDS = list(commands(get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_lines_of_a_help_end_where_the_terminal_does(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}, prog_name="fedcxr")
    assert said.exit_code == 0, said.output
    prose = re.sub(r"Usage: .*?\n *\n", "", said.output.split("╭")[0], count=1, flags=re.DOTALL)
    lines = [line.strip() for line in prose.splitlines()]
    assert max(map(len, lines)) <= 80
    for line, following in pairwise(lines):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 75, line


@pytest.mark.parametrize("words", [("audit",), ("audit", "RUN"), ("ledger", "bond")], ids=" ".join)
def test_a_usage_has_the_run_once(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*words, "--help"], prog_name="fedcxr").output
    named = " ".join(word for word in words if word != "RUN")
    assert f"Usage: fedcxr {named} [OPTIONS] [RUN] " in said


def test_the_help_on_phantoms_has_the_defaults_of_the_configuration() -> None:
    said = " ".join(CliRunner().invoke(app, ["data", "phantom", "--help"]).output.replace("│", "").split())
    for default in (Phantom().hospitals, Phantom().patients, Phantom().size):
        assert f"the default is {default}." in said


def test_a_list_in_a_help_keeps_its_lines() -> None:
    assert flowed("One\n  paragraph.\n\nTwo:\n- a\n  b\n- c\n") == "One paragraph.\n\nTwo:\n- a b\n- c"


def test_what_the_system_refuses_is_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert run(monkeypatch, "data", "phantom", tmp_path / "file" / "set", "--hospitals", 1) == 60
    said = capsys.readouterr().err
    assert f"StoreError: {tmp_path / 'file' / 'set'}" in said
    assert "Traceback" not in said


def test_an_error_ends_with_its_code_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "simulate", tmp_path / "none.toml", "--out", tmp_path / "run") == 10
    said = capsys.readouterr().err
    assert "none.toml: no such configuration file" in said
    assert "Correct what the message names" in said


def test_output_that_nobody_can_take_is_an_error_of_its_own() -> None:
    command = [sys.executable, "-m", "fedcxr", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == UnwritableError.exit_code
    assert done.stderr.startswith("UnwritableError: standard output, or another open file: No space left")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")  # a pipe that was closed has read enough


def test_what_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Study,Edema\na,1\nb,0\n")
    (tmp_path / "p–.csv").write_text("Study,Edema\na,0.6\nb,0.5\n")
    paths = [f"--{name}={tmp_path / file}" for name, file in (("predictions", "p–.csv"), ("truth", "t.csv"))]
    done = subprocess.run(
        [sys.executable, "-m", "fedcxr", "evaluate", *paths],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "500"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"p\\u2013.csv has no Atelectasis" in done.stdout


@pytest.mark.parametrize(
    ("place", "said", "begun"),
    [
        ("server.grids.simulation.simulate", "`fedcxr simulate --resume", True),
        ("fedcxr.run.preparation.require_means", "nothing was begun", False),
    ],
)
def test_an_interrupted_run_says_how_far_it_came_and_how_to_go_on(
    small_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place: str,
    said: str,
    begun: bool,
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    (tmp_path / "small.toml").write_text(small_config.to_toml())
    assert run(monkeypatch, "simulate", tmp_path / "small.toml", "--out", tmp_path / "run") == 130
    assert f"interrupted: 0 of 2 rounds are finalized; {said}" in capsys.readouterr().err
    assert (tmp_path / "run").exists() == begun
