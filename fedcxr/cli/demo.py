"""``fedcxr demo``: a whole federation on synthetic images, and its audit."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import GridName, Overrides


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run directory to write.")],
    overrides: Overrides = None,
) -> None:
    """Run and audit a whole federation on SYNTHETIC images: four hospitals, three rounds, the full model."""
    from fedcxr import config as configuration
    from fedcxr.cli.audit import audit
    from fedcxr.cli.simulate import run_simulation

    phantom = f"data.root={(out / 'phantom').as_posix()}"
    with as_file(files("fedcxr.cli") / "demo.toml") as path:
        config = configuration.load(path, [phantom, *(overrides or [])])
    run_simulation(config, out, GridName.LOCAL, baselines=False)
    audit(out)
