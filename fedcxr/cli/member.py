"""``fedcxr member``: keys, joining, leaving, suspension and votes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.terminal import say

if TYPE_CHECKING:
    from fedcxr.ledger.signed_requests import SignedRequest
    from fedcxr.ledger.signing import Registration

member_app = typer.Typer(
    help="Manage the members of a federation: keys, standing, votes. A hospital signs an order, at any time "
    "and on its own disk; whoever has the run directory relays it.",
    no_args_is_help=True,
)
app.add_typer(member_app, name="member")

Hospital = Annotated[Path, typer.Argument(metavar="HOSPITAL", help="The hospital's directory.")]
Run = Annotated[
    Path,
    typer.Argument(
        help="The coordinator's run directory. Stop the run first, unless others keep its chain (ledger.url)."
    ),
]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The member's address.")]
Out = Annotated[Path, typer.Option(help="The file to write: the signed order, which the coordinator relays.")]
Rpc = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Read the contract at this JSON-RPC endpoint; the default is that of hospital.toml, or the "
        "chain that a run on this machine has left on the disk.",
    ),
]


class Change(StrEnum):
    """What members vote on."""

    JOIN = "join"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"


@member_app.command()
def rotate(hospital: Hospital, out: Out = Path("order.json"), rpc: Rpc = "") -> None:
    """Give the hospital new keys, and sign the order that gives them its seat.

    The first rotation needs no chain. Each later one first reads from the contract whether the rotation
    before it was relayed, and is refused where it was not: the hospital would lose its seat.
    """
    from clients.membership import rotate as sign_rotation

    _tell(sign_rotation(hospital, out, rpc), out)


@member_app.command()
def renew(hospital: Hospital, rpc: Rpc = "") -> None:
    """Make masked.json anew, where it is lost or damaged: the hospital takes part from the next round on.

    Its journals and the ledger say in which rounds it may have masked an update; in none of those does it act
    any more. The chain must answer: that of a coordinator on this machine does while it runs.
    """
    from clients.masked_renewal import renew_record

    record = renew_record(hospital, rpc)
    say(f"{hospital / 'masked.json'}: made anew; the hospital takes part in no round up to {record.round}")


@member_app.command()
def leave(hospital: Hospital, out: Out = Path("order.json")) -> None:
    """Sign that the hospital leaves the federation; its seat stays empty. No chain is needed."""
    from clients.membership import leave as sign_departure

    _written(sign_departure(hospital), out)


@member_app.command()
def approve(
    hospital: Hospital,
    change: Annotated[Change, typer.Argument(help="The change that the vote is for.")],
    what: Annotated[
        str,
        typer.Argument(
            metavar="ORDER|ADDRESS",
            help="For join the signed registration, orders/join-….json of the run; else the address of the "
            "member.",
        ),
    ],
    out: Out = Path("order.json"),
    rpc: Rpc = "",
) -> None:
    """Sign the hospital's vote to let a hospital join, to suspend a member, or to take that back.

    join takes the file of a registration, orders/join-….json of the coordinator's run, and needs no chain:
    the registration is checked against its own signature. suspend and reinstate take the member's address;
    the vote is for its next change of standing alone, so the contract is read.
    """
    from clients.membership import approve as sign_approval
    from clients.membership import approve_joining

    if change is Change.JOIN:
        request, registration = approve_joining(hospital, Path(what))
        say(_described(registration))
    else:
        request = sign_approval(hospital, change.value, what, rpc)
    _written(request, out)


@member_app.command()
def watch(
    hospital: Hospital,
    rpc: Rpc = "",
    every: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Look again after so long; 0 looks once.")
    ] = 0.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="How long after an update was signed the coordinator may take to bring it to the contract.",
        ),
    ] = 300.0,
    unseen: Annotated[
        bool,
        typer.Option(
            "--unseen",
            help="Bring an update also where one root records all: nothing shows then, before the round is "
            "closed, whether the coordinator has it.",
        ),
    ] = False,
    store: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The federation's blobs, which get the bytes of an update that they lack; by default those "
            "of a run on this machine.",
        ),
    ] = "",
) -> None:
    """Look after the hospital's updates: see that they count, and bring to the contract what does not.

    An update that the open round does not have after the grace period goes to the contract from the
    hospital's own account, and its bytes to the store, if that lacks them. Of one that a closed round does
    not have, without a cause on the ledger, or that is not in the sum, a signed complaint is put into the
    hospital's journal; fedcxr audit --journal holds it against the record. The exit code is 70 when there is
    one, and 76 when the chain lacks a block that the hospital had seen.
    """
    import time

    from clients.watching import watch_once
    from fedcxr.errors import FederationError

    while True:
        left_out = []
        for line in watch_once(hospital, rpc, grace, unseen=unseen, store=store):
            say(line.text)
            left_out += [line.text] * line.left_out
        if left_out and not every:
            raise FederationError(f"{hospital}: {len(left_out)} updates do not count; the journal complains.")
        if not every:
            return
        time.sleep(every)


@member_app.command()
def relay(
    run: Run,
    orders: Annotated[
        list[Path], typer.Argument(metavar="ORDER...", help="The signed orders, relayed in this order.")
    ],
) -> None:
    """Bring signed orders to the contract: rotations, departures, votes, registrations that were voted for.

    Stop the run first, for it holds its chain; a chain that others keep (ledger.url) takes orders at any
    time. A hospital that was voted in joins at the next start of the run.
    """
    from fedcxr.ledger.signed_requests import SignedRequest
    from fedcxr.run.ledger_access import writing_ledger
    from fedcxr.store.run_directory import RunDirectory

    read = [SignedRequest.read(path) for path in orders]
    with writing_ledger(RunDirectory.open(run, trusted=True)) as ledger:
        for path, request in zip(orders, read, strict=True):
            request.relay(ledger)
            say(f"{path}: the contract has taken the {request.kind}")


@member_app.command()
def suspend(run: Run, address: Address) -> None:
    """Suspend a member: its key is worthless from then on. Where members vote, they must have approved this.

    Stop the run first, for it holds its chain, unless others keep that chain (ledger.url).
    """
    from fedcxr.run.ledger_access import writing_ledger
    from fedcxr.store.run_directory import RunDirectory

    with writing_ledger(RunDirectory.open(run, trusted=True)) as ledger:
        ledger.membership.suspend(address)
    say(f"{address} is suspended")


@member_app.command()
def reinstate(run: Run, address: Address) -> None:
    """Reinstate a suspended member. Where members vote, they must have approved this.

    Stop the run first, for it holds its chain, unless others keep that chain (ledger.url).
    """
    from fedcxr.run.ledger_access import writing_ledger
    from fedcxr.store.run_directory import RunDirectory

    with writing_ledger(RunDirectory.open(run, trusted=True)) as ledger:
        ledger.membership.reinstate(address)
    say(f"{address} is active again")


def _described(registration: "Registration") -> str:
    from fedcxr.indexer.members import ROLES

    roles = " and ".join(name for bit, name in enumerate(ROLES) if registration.roles >> bit & 1)
    return f"a vote for {registration.member} as {roles}, with {registration.samples:,} images"


def _written(request: "SignedRequest", out: Path) -> None:
    request.write(out)
    _tell(request, out)


def _tell(request: "SignedRequest", out: Path) -> None:
    say(f"{out}: a signed {request.kind}; the coordinator brings it: fedcxr member relay RUN {out}")
