"""``fedcxr contracts``: compile the contract, and hold its artifact to the sources."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.terminal import say

contracts_app = typer.Typer(
    help="Compile the contract, and compare its artifact with its sources.", no_args_is_help=True
)
app.add_typer(contracts_app, name="contracts")

Contracts = Annotated[
    Path,
    typer.Option(
        "--contracts", help="The directory of the contract's sources, in a checkout of the repository."
    ),
]


@contracts_app.command()
def build(contracts: Contracts = Path("contracts")) -> None:
    """Compile the contract and write its artifact into the package next to the sources.

    The compiler needs Node and the npm packages of the directory (`npm ci --prefix contracts`).
    """
    from fedcxr.ledger.artifact import write_artifact
    from fedcxr.ledger.compiler import artifact_path, compile_contract

    path = artifact_path(contracts)
    artifact = compile_contract(contracts)
    write_artifact(artifact, path)
    size = (len(artifact.deployed_bytecode) - 2) // 2
    say(f"{path}: {size:,} bytes of code from {len(artifact.sources)} sources, solc {artifact.compiler}")


@contracts_app.command()
def check(contracts: Contracts = Path("contracts")) -> None:
    """Check that the artifact belongs to the sources; the exit code is 53 when it does not.

    The sources of libraries are compared where they are installed.
    """
    from fedcxr.ledger.artifact import read_artifact
    from fedcxr.ledger.compiler import artifact_path, check_sources

    path = artifact_path(contracts)
    compared = check_sources(read_artifact(path), contracts)
    say(f"{path}: belongs to its {compared} sources in {contracts}")
