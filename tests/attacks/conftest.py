"""A command line whose output is checked, and a masked federation that tests branch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from masked_party import MaskedParty, found
from planted import Show, Shown, check

from fedcxr.cli import main
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Show]:
    """Run a command to its end, and check what it printed; no traceback is one."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("COLUMNS", "100")

    def shown(*words: object, coloured: bool = False) -> Shown:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["fedcxr", *map(str, words)])
            if coloured:
                patch.setenv("FORCE_COLOR", "1")
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return Shown(
            int(ended.value.code or 0), check(said.out, coloured=coloured), check(said.err, coloured=coloured)
        )

    yield shown


@pytest.fixture(scope="session")
def masked_config(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Five hospitals, of which one may collude and one may be missing: m is four, t three."""
    root = tmp_path_factory.mktemp("data") / "five-hospitals"
    generate(root, Phantom(hospitals=5, patients=10, size=32), 10)
    return small_config.with_changes(
        {
            "name": "five-hospitals",
            "data.root": str(root),
            "federation.min_hospitals": 3,
            "privacy.envelope": "masked",
            "privacy.auditor": False,
            "privacy.kem": "X25519",
        }
    )


@pytest.fixture(scope="module")
def joined(masked_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaskedParty]:
    """Five hospitals have joined, and no round was opened; tests branch it."""
    with found(masked_config, tmp_path_factory.mktemp("joined"), 5) as party:
        yield party


@pytest.fixture(scope="module")
def sent(joined: MaskedParty, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaskedParty]:
    """All five have sent their updates of the first attempt, which is open; tests branch it."""
    with joined.branch(tmp_path_factory.mktemp("sent") / "party") as party:
        party.open(range(5))
        party.collect(range(5))
        yield party


@pytest.fixture
def masked_party(sent: MaskedParty, tmp_path: Path) -> Iterator[MaskedParty]:
    """A branch of ``sent`` for one test."""
    with sent.branch(tmp_path / "party") as branch:
        yield branch
