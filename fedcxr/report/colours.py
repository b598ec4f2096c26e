"""One colour a hospital, the same in every picture of a run."""

from __future__ import annotations

from collections.abc import Iterable


def hospital_colours(names: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Colours by hospital, in the order of their names; the ninth begins again.

    Args:
        names: all hospitals of a run, whichever of them a picture shows.
    """
    from matplotlib import colormaps

    # The first two are those of means, in the same pictures.
    palette = [colormaps["tab10"](index) for index in range(2, 10)]
    return {name: palette[place % len(palette)] for place, name in enumerate(sorted(names))}
