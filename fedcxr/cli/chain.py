"""``fedcxr chain``: a development chain that stands by itself, for runs that share it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson

chain_app = typer.Typer(
    help="Bring a development chain (anvil) up, look at it, end it.", no_args_is_help=True
)
app.add_typer(chain_app, name="chain")
Home = Annotated[Path, typer.Option("--dir", help="Where its journal lies: the chain goes on from there.")]
HOME = Path("runs/chain")


@chain_app.command("up")
def chain_up(
    home: Home = HOME,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen at; 0: any free one.")] = 8545,
    host: Annotated[
        str, typer.Option(help="To listen at. There is no TLS and no password in it.")
    ] = "127.0.0.1",
    block_time: Annotated[
        float, typer.Option(min=0, help="Seconds between blocks; 0: one a transaction.")
    ] = 0,
    chain_id: Annotated[int, typer.Option(min=1, help="Of a chain that is begun.")] = 61_370,
    anvil: Annotated[str, typer.Option(help="Path of the program; by default looked for.")] = "",
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and end with Ctrl-C.")] = False,
) -> None:
    """Bring a chain up; a run uses it with ledger.backend=anvil and ledger.url."""
    from fedcxr.chain.anvil import node

    settings = node.NodeSettings(chain_id, host, port, block_time, anvil)
    if foreground:
        node.serve(home, settings)
        return
    facts = node.up(home, settings)
    typer.echo(f"chain {facts.chain_id} is up at {facts.url} (process {facts.pid}, {home})")
    typer.echo(f"a run on it: --set ledger.backend=anvil --set ledger.url={facts.url}")


@chain_app.command("down")
def chain_down(home: Home = HOME) -> None:
    """End it; the next `up` goes on where it was."""
    from fedcxr.chain.anvil import node

    facts = node.down(home)
    typer.echo(f"chain {facts.chain_id} is down; {home} has what it goes on from")


@chain_app.command("status")
def chain_status(
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Say whether one is up, where, and how far it is; exits with 1 when none is."""
    from fedcxr.chain.anvil import node

    found = node.status(home)
    if as_json:
        typer.echo(json.dumps(asdict(found) if found else None, indent=2))
    elif found is None:
        typer.echo(f"no chain is up in {home}")
    else:
        facts = found.facts
        blocks = f"a block every {facts.block_time:g} s" if facts.block_time else "a block a transaction"
        typer.echo(f"chain {facts.chain_id} at {facts.url}, process {facts.pid}, {blocks}")
        typer.echo(f"block {found.block:,}, journal {found.journal_bytes:,} bytes, genesis {found.genesis}")
    if found is None:
        raise typer.Exit(1)
