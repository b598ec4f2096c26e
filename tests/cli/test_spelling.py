"""A misspelt command, option or value names what was meant, on every level of the command line."""

from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fedcxr import cli  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app


def said(*arguments: str) -> str:
    """The usage error of a command line, without the frame around it."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("predict RUN --rond 3", "No such option: --rond. Did you mean --round?"),
        ("ledger rounds RUN --jsno", "No such option: --jsno. Did you mean --json?"),
        ("ledger bond RUN --rcp", "No such option: --rcp. Did you mean --rpc?"),
        ("audit --rouns 3", "No such option: --rouns. Did you mean --rounds?"),
        ("--versoin", "No such option: --versoin. Did you mean --version?"),
        ("predict RUN --all-labels", "No such option: --all-labels. Did you mean --labels?"),
        ("evaluate --tasks all", "No such option: --tasks. Did you mean --labels?"),
        ("report RUN --xyzzy", "No such option: --xyzzy."),
    ],
)
def test_an_option(line: str, answer: str) -> None:
    assert answer in said(*line.split())


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("predct", "No such command: predct. Did you mean predict?"),
        ("ledger updte", "No such command: updte. Did you mean update?"),
        ("ledger bond pst RUN", "No such command: pst. Did you mean post?"),
        ("audit verfy FILE", "No such command: verfy. Did you mean verify?"),
        ("member xyzzy", "No such command: xyzzy."),
    ],
)
def test_a_command(line: str, answer: str) -> None:
    text = said(*line.split())
    assert answer in text
    assert text.count("Did you mean") == answer.count("Did you mean")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("evaluate --labels al", "'al' is not one of 'competition', 'all'. Did you mean all?"),
        ("simulate E --out O --grid rai", "'rai' is not one of 'local', 'ray'. Did you mean ray?"),
        (
            "member approve H jion ORDER",
            "'jion' is not one of 'join', 'suspend', 'reinstate'. Did you mean join?",
        ),
        ("simulate E --out O --grid xyzzy", "'xyzzy' is not one of 'local', 'ray'. "),
    ],
)
def test_a_value(line: str, answer: str) -> None:
    assert answer in said(*line.split())


def test_a_run_whose_name_is_nearly_a_command_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "verfy").mkdir()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["audit", "verfy"])
    assert "No such command" not in result.output
    assert result.exception is not None


def commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    """A command and all those below it, by the words that call them."""
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            found += commands(each, f"{path} {name}")
    return found


EVERY = commands(get_command(app), "fedcxr")


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_help_text_is_a_sentence(path: str, command: click.Command) -> None:
    texts = {path: command.help or "", **{p.opts[0]: getattr(p, "help", "") or "" for p in command.params}}
    for name, text in texts.items():
        assert text[:1].isupper(), name
        assert text.endswith("."), name


def test_one_thing_has_one_word() -> None:
    """An option's word has one help text wherever it means the same."""
    texts: dict[str, set[str]] = {}
    for _, command in EVERY:
        for parameter in command.params:
            texts.setdefault(parameter.opts[0], set()).add(getattr(parameter, "help", ""))
    for word in ("--json", "--set", "--round", "--labels", "--grid", "--site"):
        assert len(texts[word]) == 1, word
    assert not {"--all-labels", "--tasks", "--number", "--output", "--keys"} & texts.keys()
