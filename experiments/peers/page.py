"""The page of the comparison, from the outcomes that are kept: ``experiments/peers.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.peers.cells import SYSTEMS, Cell
from experiments.peers.figures import Outcome

_GB = 10**9
_TITLES = {
    "xception": "Xception, 22 million values, 85.8 MB: one step on 8 images a hospital and round",
    "compact": "The compact network, 0.1 million values: one step on 4 images a hospital and round",
}
_OURS, _PEERS = ([name for name in SYSTEMS if name.startswith("fedcxr") == ours] for ours in (True, False))
Outcomes = dict[tuple[str, str], Outcome]  # by cell and system
Show = Callable[[Outcome], str]


def write_page(results: Path, page: Path) -> None:
    """Write the page again."""
    page.write_text(page_of(read_outcomes(results)), encoding="utf-8")


def read_outcomes(results: Path) -> list[Outcome]:
    """What is kept, in the order of the page."""
    systems = list(SYSTEMS)
    outcomes = [Outcome.read(path) for path in results.glob("*/*.json")]
    return sorted(outcomes, key=lambda each: (_order(Cell.named(each.cell)), systems.index(each.system)))


def page_of(outcomes: Sequence[Outcome]) -> str:
    """The page's text."""
    text = Path(__file__).with_name("head.md").read_text(encoding="utf-8").rstrip("\n")
    parts = [text, *_sections(outcomes)] if outcomes else [text, "Nothing is kept yet."]
    return "\n\n".join(parts) + "\n"


def _sections(outcomes: Sequence[Outcome]) -> Iterable[str]:
    found: Outcomes = {(each.cell, each.system): each for each in outcomes}
    yield "## Seconds a round, and of them beyond training"
    yield from _tables(found, lambda one: f"{_figure(one.seconds)} ({_figure(one.beyond)})")
    yield "## Ratios: a round of fedcxr over a round of its peers"
    yield from _ratios(found)
    yield "## The first round: begun and ended so many seconds after the command"
    yield from _tables(found, _first_round)
    yield "## Memory of all processes together, GB"
    yield from _tables(found, lambda one: f"{one.memory / _GB:.2f}")
    yield "## How near each average is to the one in float64"
    yield (
        "Of the first round's model: the largest difference, and in brackets that of a tensor in units "
        "of its last place; for fedcxr in steps of its fixed point, where half a step is what an update is "
        "rounded by. Its first round has the longest steps."
    )
    yield from _tables(found, _agreement)
    if failures := [each for each in outcomes if each.failure]:
        yield "## Cells without a figure"
        yield "\n".join(f"- `{each.cell}`, {SYSTEMS[each.system].title}: {each.failure}" for each in failures)
    yield "## What ran"
    yield _facts(outcomes)


def _tables(found: Outcomes, show: Show) -> Iterable[str]:
    for model, title in _TITLES.items():
        cells = [cell for cell in _cells(found) if Cell.named(cell).model == model]
        if not cells:
            continue
        rows = [
            [system.title, _at_once(found, cells, name), *(_shown(found, c, name, show) for c in cells)]
            for name, system in SYSTEMS.items()
            if any((cell, name) in found for cell in cells)
        ]
        head = ["hospitals", "at once", *(f"{Cell.named(cell).hospitals:,}" for cell in cells)]
        yield f"{title}."
        yield _markdown(head, rows)


def _ratios(found: Outcomes) -> Iterable[str]:
    cells = _cells(found)
    rows = []
    for system in _OURS:
        for peer in _PEERS:
            ratios = [_ratio(found.get((cell, system)), found.get((cell, peer))) for cell in cells]
            rows.append([SYSTEMS[system].title, SYSTEMS[peer].title, *ratios])
    yield _markdown(["fedcxr", "over", *(f"`{cell}`" for cell in cells)], rows)


def _cells(found: Outcomes) -> list[str]:
    return sorted({cell for cell, _ in found}, key=lambda cell: _order(Cell.named(cell)))


def _ratio(ours: Outcome | None, theirs: Outcome | None) -> str:
    if ours is None or theirs is None or ours.failure or theirs.failure:
        return "–"
    return f"{ours.seconds / theirs.seconds:.2f}"


def _shown(found: Outcomes, cell: str, system: str, show: Show) -> str:
    outcome = found.get((cell, system))
    if outcome is None:
        return ""
    return "none" if outcome.failure else show(outcome)


def _at_once(found: Outcomes, cells: Sequence[str], system: str) -> str:
    if SYSTEMS[system].at_once == 0:
        return "all"
    return str(max(found[cell, system].at_once for cell in cells if (cell, system) in found))


def _agreement(outcome: Outcome) -> str:
    agreement = outcome.agreement
    return "" if agreement is None else f"{agreement.largest:.1e} ({agreement.units:.2f})"


def _first_round(outcome: Outcome) -> str:
    begun = outcome.startup or 0.0
    return f"{_figure(begun)}, {_figure(begun + outcome.first)}"


def _facts(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for each in outcomes:
        versions = ", ".join(f"{package} {version}" for package, version in each.versions.items())
        rows.append([f"`{each.command}`", versions, each.started, f"{each.load:.2f}"])
    machines = "; ".join(sorted({each.machine for each in outcomes}))
    table = _markdown(["command", "versions", "at", "load before"], rows)
    return f"Machine: {machines}.\n\n{table}"


def _figure(seconds: float) -> str:
    """Three digits, or as many as there are before the point."""
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}"


def _order(cell: Cell) -> tuple[int, int]:
    return list(_TITLES).index(cell.model), cell.hospitals


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
