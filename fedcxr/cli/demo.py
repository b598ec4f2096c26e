"""``fedcxr demo``: a whole federation on synthetic images, and its audit."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import GridName, Overrides

if TYPE_CHECKING:
    from fedcxr.config import Config


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run directory to write.")],
    private: Annotated[
        bool,
        typer.Option(
            help="Mask the updates of five hospitals; the last one takes part in the first round alone."
        ),
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Run and audit a whole federation on SYNTHETIC images: four hospitals, three rounds, the full model."""
    from fedcxr import config as configuration
    from fedcxr.cli.audit import audit
    from fedcxr.cli.simulate import run_simulation

    phantom = f"data.root={(out / 'phantom').as_posix()}"
    with as_file(files("fedcxr.cli") / ("demo_private.toml" if private else "demo.toml")) as path:
        config = configuration.load(path, [phantom, *(overrides or [])])
    if private:
        _limit_last(config, out)
    run_simulation(config, out, GridName.LOCAL, baselines=False)
    audit(out)


def _limit_last(config: "Config", out: Path) -> None:
    """Have the last hospital take part in one round alone, as its own hospital.toml says from now on."""
    from fedcxr.files import write
    from fedcxr.run.preparation import open_or_create, prepare_simulation
    from fedcxr.store.hospital_settings import HospitalLimits, HospitalSettings
    from fedcxr.terminal.console import Console

    run = open_or_create(out, config)
    last = len(prepare_simulation(run, lambda what, done, total: None).names) - 1
    path = run.hospital(last) / "hospital.toml"
    settings = HospitalSettings.load(path).model_copy(update={"limits": HospitalLimits(rounds=1)})
    write(path, settings.to_toml())
    Console().say(f"{settings.name} takes part in round 1 alone: {path} has limits.rounds = 1")
