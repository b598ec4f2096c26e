"""``fedcxr chain``: a development chain that stands by itself, for runs that share it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson
from fedcxr.terminal import say, say_json

chain_app = typer.Typer(
    help="Start a development chain (anvil), look at it, and stop it.", no_args_is_help=True
)
app.add_typer(chain_app, name="chain")
Home = Annotated[
    Path, typer.Option("--dir", help="The folder of the chain's journal, from which the chain continues.")
]
HOME = Path("runs/chain")


@chain_app.command("up")
def chain_up(
    home: Home = HOME,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen at this port; 0 takes any that is free.")
    ] = 8545,
    host: Annotated[
        str, typer.Option(help="Listen at this address. The chain has no TLS and no password.")
    ] = "127.0.0.1",
    block_time: Annotated[
        float,
        typer.Option(min=0, help="Make a block every so many seconds; 0 makes one for each transaction."),
    ] = 0,
    chain_id: Annotated[int, typer.Option(min=1, help="The id of a new chain.")] = 61_370,
    anvil: Annotated[
        str, typer.Option(help="The path of the anvil program; the default is to look for it.")
    ] = "",
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground until Ctrl-C.")
    ] = False,
) -> None:
    """Start the chain; a run uses it with ledger.backend=anvil and ledger.url."""
    from fedcxr.chain.anvil import node

    settings = node.NodeSettings(chain_id, host, port, block_time, anvil)
    if foreground:
        node.serve(home, settings)
        return
    facts = node.up(home, settings)
    say(f"chain {facts.chain_id} is up at {facts.url} (process {facts.pid}, {home})")
    say(f"a run on it: --set ledger.backend=anvil --set ledger.url={facts.url}")


@chain_app.command("down")
def chain_down(home: Home = HOME) -> None:
    """Stop the chain; the next `up` continues it."""
    from fedcxr.chain.anvil import node

    facts = node.down(home)
    say(f"chain {facts.chain_id} is down; {home} has what it goes on from")


@chain_app.command("status")
def chain_status(
    home: Home = HOME,
    as_json: AsJson = False,
) -> None:
    """Show whether a chain is up, where, and at which block.

    The exit code is 1 when none is up; --json prints null then.
    """
    from fedcxr.chain.anvil import node

    found = node.status(home)
    if as_json:
        say_json(json.dumps(asdict(found) if found else None, indent=2))
    elif found is None:
        say(f"no chain is up in {home}")
    else:
        facts = found.facts
        blocks = f"a block every {facts.block_time:g} s" if facts.block_time else "a block a transaction"
        say(f"chain {facts.chain_id} at {facts.url}, process {facts.pid}, {blocks}")
        say(f"block {found.block:,}, journal {found.journal_bytes:,} bytes, genesis {found.genesis}")
    if found is None:
        raise typer.Exit(1)
