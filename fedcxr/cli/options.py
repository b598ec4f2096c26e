"""The arguments and options that several commands take: one word and one help text for each."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LabelSet(StrEnum):
    """Which labels are written or scored."""

    COMPETITION = "competition"
    ALL = "all"


class GridName(StrEnum):
    """Where the simulated hospitals run."""

    LOCAL = "local"
    RAY = "ray"


RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.", show_default=False)]
Experiment = Annotated[
    Path, typer.Argument(help="The experiment: a TOML file, as in experiments/.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the configuration, as in training.device=cpu. It may be given many times.",
    ),
]
ModelRound = Annotated[
    int | None,
    typer.Option(
        "--round", min=0, help="Use the model of this round; the default is the last.", show_default=False
    ),
]
Labels = Annotated[LabelSet, typer.Option(help="Take the competition's five labels, or all 14.")]
Grid = Annotated[GridName, typer.Option(help="Run in this process, or in Flower's simulation on Ray.")]
TrustRun = Annotated[
    bool,
    typer.Option(
        "--trust-run",
        help="Use the program, endpoint and store that the run's config.toml names, with your keys and "
        "variables. Only for runs of people whom you trust.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="The configuration's file, without a run, where the store does not have it."),
]
PretrainedFile = Annotated[
    Path | None, typer.Option(help="The file of the pretrained weights, where the store does not have them.")
]
