"""Pictures as they were drawn: what stands in a figure can be asked for, what stands in pixels cannot."""

from typing import Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written from here on, in order; written it is all the same."""
    written: list[Figure] = []
    write = Figure.savefig

    def watched(figure: Figure, *arguments: Any, **named: Any) -> None:
        written.append(figure)
        write(figure, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", watched)
    return written
