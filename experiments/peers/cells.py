"""What is compared: the systems, and the sizes of the one piece of work that each is given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"(xception|compact)-(\d+)")
_FEWEST = 2  # hospitals; an average of one is none


@dataclass(frozen=True)
class Cell:
    """One size: a network, and hospitals that make one step of it a round.

    Attributes:
        model: ``xception`` (22 million values) or ``compact`` (under 100,000).
        hospitals: each in every round.
    """

    model: str
    hospitals: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.hospitals}"

    @property
    def images(self) -> int:
        """Of each hospital: one batch, which is one step."""
        return {"xception": 8, "compact": 4}[self.model]

    @property
    def model_tree(self) -> dict[str, object]:
        """The table ``[model]`` of fedcxr's configuration."""
        if self.model == "compact":
            return {"name": "compact"}
        return {"name": "semssxl", "attention": False, "fusion": False}

    @classmethod
    def named(cls, name: str) -> Cell:
        """The cell of a name such as ``compact-50``.

        Raises:
            ValueError: it names none.
        """
        found = _NAME.fullmatch(name)
        if found is None or int(found[2]) < _FEWEST:
            raise ValueError(f"{name!r} is no cell: xception-N or compact-N, with N hospitals, at least 2.")
        return cls(found[1], int(found[2]))


@dataclass(frozen=True)
class System:
    """One way to carry the work out.

    Attributes:
        title: in the table.
        module: below ``experiments.peers``; its ``run`` does it.
        packages: whose versions are named with the figures.
        at_once: hospitals that it has at work at the same time; 0: all of them.
        changes: keys of fedcxr's configuration, where the system is fedcxr.
    """

    title: str
    module: str
    packages: tuple[str, ...]
    at_once: int
    changes: Mapping[str, object] | None = None

    def clients_at_once(self, hospitals: int) -> int:
        """Of a cell with so many hospitals."""
        return min(self.at_once or hospitals, hospitals)


_OPEN = {"ledger.backend": "off", "privacy.envelope": "open"}
SYSTEMS: dict[str, System] = {
    "flower": System("Flower FedAvg, on Ray", "flower_system", ("flwr", "ray"), 2),
    "nvflare": System("NVFLARE's simulator", "nvflare_system", ("nvflare",), 0),
    "nvflare-threads": System("NVFLARE's simulator, two threads", "nvflare_system", ("nvflare",), 2),
    "pfl": System("pfl-research", "pfl_system", ("pfl",), 1),
    "fedcxr": System("fedcxr, local grid", "fedcxr_system", ("fedcxr",), 1),
    "fedcxr-workers": System("fedcxr, `--workers 2`", "fedcxr_system", ("fedcxr",), 2),
    "fedcxr-open": System("fedcxr, no ledger, open updates", "fedcxr_system", ("fedcxr",), 1, _OPEN),
    "fedcxr-ray": System("fedcxr, on Ray", "fedcxr_system", ("fedcxr", "flwr", "ray"), 2),
}
"""By name, in the order in which each cell runs them."""

CELLS: tuple[Cell, ...] = (
    *(Cell("xception", hospitals) for hospitals in (4, 8, 16, 32)),
    *(Cell("compact", hospitals) for hospitals in (50, 200, 1000)),
)
"""Those of the page."""


def plan(cells: Sequence[Cell], systems: Sequence[str]) -> list[tuple[Cell, str]]:
    """One run of every system in every cell; the systems take turns, so that none has the quiet hours."""
    return [(cell, system) for cell in cells for system in systems]
