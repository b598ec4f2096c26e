"""``fedcxr member``: keys, leaving, suspension and votes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from fedcxr.ledger.orders import Order

member_app = typer.Typer(help="Members of a federation: keys, standing, votes.", no_args_is_help=True)
app.add_typer(member_app, name="member")

Hospital = Annotated[Path, typer.Argument(metavar="HOSPITAL", help="The hospital's directory.")]
Run = Annotated[Path, typer.Argument(help="The coordinator's run directory.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Of the member.")]
Out = Annotated[Path, typer.Option(help="The signed order, for the coordinator to relay.")]


class Change(StrEnum):
    """What members vote on."""

    SUSPEND = "suspend"
    REINSTATE = "reinstate"


@member_app.command()
def rotate(hospital: Hospital, out: Out = Path("order.json")) -> None:
    """Give the hospital new keys, and sign for the contract that its seat is theirs."""
    from clients.membership import rotate as sign_rotation

    _tell(sign_rotation(hospital, out), out)


@member_app.command()
def leave(hospital: Hospital, out: Out = Path("order.json")) -> None:
    """Sign that the hospital leaves the federation; its seat stays empty."""
    from clients.membership import leave as sign_departure

    _written(sign_departure(hospital), out)


@member_app.command()
def approve(hospital: Hospital, change: Change, address: Address, out: Out = Path("order.json")) -> None:
    """Sign the hospital's vote for suspending a member, or for taking that back."""
    from clients.membership import approve as sign_approval

    _written(sign_approval(hospital, change.value, address), out)


@member_app.command()
def relay(run: Run, order: Annotated[Path, typer.Argument(help="A signed order.")]) -> None:
    """Bring a signed order to the contract; the run must not be going on."""
    from fedcxr.ledger.orders import Order
    from fedcxr.store.run_directory import RunDirectory
    from server.coordinator_desk import writing_ledger

    read = Order.read(order)
    with writing_ledger(RunDirectory.open(run)) as ledger:
        read.relay(ledger)
    typer.echo(f"{order}: the contract has taken the {read.kind}")


@member_app.command()
def suspend(run: Run, address: Address) -> None:
    """Suspend a member: its key is worthless from then on. Where members vote, they must have approved."""
    from fedcxr.store.run_directory import RunDirectory
    from server.coordinator_desk import writing_ledger

    with writing_ledger(RunDirectory.open(run)) as ledger:
        ledger.suspend(address)
    typer.echo(f"{address} is suspended")


@member_app.command()
def reinstate(run: Run, address: Address) -> None:
    """Take a suspension back."""
    from fedcxr.store.run_directory import RunDirectory
    from server.coordinator_desk import writing_ledger

    with writing_ledger(RunDirectory.open(run)) as ledger:
        ledger.reinstate(address)
    typer.echo(f"{address} is active again")


def _written(order: "Order", out: Path) -> None:
    order.write(out)
    _tell(order, out)


def _tell(order: "Order", out: Path) -> None:
    typer.echo(f"{out}: a signed {order.kind}; the coordinator brings it: fedcxr member relay RUN {out}")
