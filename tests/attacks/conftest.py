"""A command line whose output is checked."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from planted import Show, Shown, check

from fedcxr.cli import main


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
