"""``fedcxr ledger``: what the ledger holds, for people and for machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcxr.cli.app import app
from fedcxr.cli.ledger_printing import as_json_text, console, print_lines, tree_of
from fedcxr.cli.ledger_reading import (
    StoreChoice,
    ask_by_name,
    asked_rounds,
    earlier_rounds,
    either_order,
    location_of,
    names_of,
    parse_rounds,
)
from fedcxr.cli.options import AsJson, TrustRun
from fedcxr.terminal import say, say_json

if TYPE_CHECKING:
    from fedcxr.indexer.hospital import UpdateRecord
    from fedcxr.indexer.location import IndexedLedger
    from fedcxr.indexer.members import Members
    from fedcxr.indexer.rounds import RoundRecord
    from fedcxr.report.ledger.words import Names

commands = typer.Typer(
    help="Read the ledger: the federation, its rounds, hospitals, updates and credits. Prove who is in a "
    "round, challenge a round on chain, and keep the bond.",
    no_args_is_help=True,
)
app.add_typer(commands, name="ledger")

Run = Annotated[
    Path | None, typer.Argument(help="The run directory; without one, give --rpc and --contract.")
]
Rpc = Annotated[str | None, typer.Option(metavar="URL", help="The chain's JSON-RPC endpoint.")]
Contract = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="The address of the federation's contract on that chain."),
]
Last = Annotated[int | None, typer.Option(min=1, help="Show only this many rounds, the last ones.")]
Rounds = Annotated[
    str | None,
    typer.Option("--rounds", metavar="A-B", help="Show only these rounds: 3-7, or a single round: 5."),
]
Who = Annotated[
    str,
    typer.Argument(
        metavar="HOSPITAL", help="The hospital: its address, the first digits of it, or its name in the run."
    ),
]


@commands.command()
def show(
    run: Run = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """Show the federation: its contract, its rules, its members, and where it stands."""
    from fedcxr.indexer.overview import read_overview
    from fedcxr.report.ledger.federation import federation_lines, member_table

    location, names = location_of(run, rpc, contract, trust_run)
    (overview, chain_id), names = ask_by_name(
        location, names, lambda ledger, *_: (read_overview(ledger.index), ledger.chain_id)
    )
    if as_json:
        facts = {"contract": location.contract, "chain_id": chain_id}
        say_json(as_json_text({**facts, **tree_of(overview), "members": overview.members.seats}))
        return
    screen = console()
    print_lines(screen, federation_lines(overview, location.contract, chain_id))
    screen.print(member_table(overview.members, names))


@commands.command()
def rounds(
    run: Run = None,
    *,
    last: Last = None,
    numbers: Rounds = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """List the rounds with their phase, updates, model and time."""
    from fedcxr.indexer.rounds import read_rounds
    from fedcxr.report.ledger.rounds import attempt_table

    location, names = location_of(run, rpc, contract, trust_run)

    def question(ledger: IndexedLedger, members: Members, _: Names) -> tuple[list[RoundRecord], int]:
        first, until, hidden = asked_rounds(ledger, last, numbers, as_json)
        return read_rounds(ledger.index, members, first, until), hidden

    (records, hidden), names = ask_by_name(location, names, question)
    if as_json:
        say_json(as_json_text(records))
        return
    console().print(attempt_table(records, names, earlier_rounds(hidden)))


@commands.command()
def hospital(
    who: Who,
    run: Run = None,
    *,
    last: Last = None,
    numbers: Rounds = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """Show one hospital: its membership, and what became of its update in every round."""
    from fedcxr.indexer.hospital import read_hospital
    from fedcxr.report.ledger.rounds import membership_table, part_table

    who, run = either_order(who, run)
    location, names = location_of(run, rpc, contract, trust_run)

    def question(ledger: IndexedLedger, members: Members, names: Names) -> tuple[Any, Any, int]:
        first, until, hidden = asked_rounds(ledger, last, numbers, as_json)
        member = members.find(who, names.by_address)
        return member, read_hospital(ledger.index, members, member, first, until), hidden

    (member, parts, hidden), names = ask_by_name(location, names, question)
    if as_json:
        say_json(as_json_text({**tree_of(member), "account": member.account, "rounds": parts}))
        return
    screen = console()
    lines = [
        ("hospital", names(member.account)),
        ("account", member.account),
        ("seat", str(member.seat)),
        ("roles", ", ".join(member.roles)),
        ("samples", f"{member.samples:,}"),
        ("standing", member.standing),
        (
            "credits",
            f"{sum(part.credits or 0 for part in parts):,}" + (", in these rounds" if hidden else ""),
        ),
    ]
    print_lines(screen, lines)
    screen.print(membership_table(member))
    screen.print(part_table(parts, names, earlier_rounds(hidden)))


@commands.command()
def update(
    number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="The round, from 1.")],
    who: Who,
    run: Run = None,
    *,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Look for the update's blob in the store at this URL.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one update: what its hospital signed, who judged it, and whether the store has it."""
    from fedcxr.indexer.hospital import read_update
    from fedcxr.report.ledger.rounds import attestation_table, update_lines

    location, names = location_of(run, rpc, contract, trust_run)

    choice = StoreChoice(run, store, trust_run)

    def question(ledger: IndexedLedger, members: Members, names: Names) -> list[UpdateRecord]:
        member = members.find(who, names.by_address)
        return read_update(ledger.index, members, member, number, choice.fetch)

    updates, names = ask_by_name(location, names, question)
    blobs = [_blob(choice, each) for each in updates]
    if as_json:
        trees = [{**tree_of(each), "blob": blob} for each, blob in zip(updates, blobs, strict=True)]
        say_json(as_json_text(trees))
        return
    screen = console()
    for each, blob in zip(updates, blobs, strict=True):
        print_lines(screen, [*update_lines(each, names), ("blob", blob["text"])])
        if each.attestations:
            screen.print(attestation_table(each, names))


@commands.command()
def rewards(
    run: Run = None,
    numbers: Rounds = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """Tabulate contribution credits by hospital and round, and check their sums.

    The exit code is 50 when the credits are not the budget, or differ from the contract's sums.
    """
    from fedcxr.errors import LedgerError
    from fedcxr.indexer.rewards import read_rewards
    from fedcxr.report.ledger.rewards import reward_table, reward_verdicts

    location, names = location_of(run, rpc, contract, trust_run)

    def question(ledger: IndexedLedger, members: Members, _: Names) -> tuple[Any, Members]:
        return read_rewards(ledger.index, members, ledger.source, location.contract), members

    (given, members), names = ask_by_name(location, names, question)
    if as_json:
        accounts = {member.seat: member.account for member in members}
        verdicts = {"total": given.total, "exact": given.exact, "agrees": given.agrees}
        say_json(as_json_text({**tree_of(given), **verdicts, "accounts": accounts}))
    elif not given.budget:
        console().say("This federation gives no credits: it was founded with a budget of 0.")
    else:
        screen = console()
        asked = parse_rounds(numbers)
        shown = None if asked is None else range(asked[0], asked[1] + 1)
        screen.print(reward_table(given, members, names, shown))
        for good, sentence in reward_verdicts(given):
            screen.say(("✓ ", "green") if good else ("✗ ", "red"), sentence)
        if given.unsettled:
            waiting = ", ".join(map(str, given.unsettled[:10]))
            said = f"finalized, and to be settled by the next opening: round {waiting}"
            screen.say(("· ", "yellow"), said)
    if not given.exact or not given.agrees:
        raise LedgerError(f"{location.contract}: the credits are not what they must be.")


@commands.command()
def watch(
    run: Run = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    interval: Annotated[float, typer.Option(min=0.05, help="Ask the chain every so many seconds.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Print each new event on a line until Ctrl-C; the coordinator may stop and start meanwhile."""
    from fedcxr.cli.progress import bar
    from fedcxr.indexer.follow import Notice, follow
    from fedcxr.report.ledger.watch import event_fields, event_line

    location, _ = location_of(run, rpc, contract, trust_run)
    try:
        with bar("read the chain", "blocks") as progress:
            stream = follow(location, interval=interval, progress=progress)
            for item in stream:
                if isinstance(item, Notice):
                    if as_json:
                        say_json(as_json_text({"notice": item.what, "text": item.text}))
                    else:
                        say(item.text, err=True)
                elif as_json:
                    say_json(as_json_text(event_fields(item.name, dict(item.row))))
                else:
                    names = names_of(run).along(member.accounts for member in item.members)
                    if line := event_line(item.name, dict(item.row), names):
                        say(line)
    except KeyboardInterrupt:
        return


def _blob(choice: StoreChoice, record: UpdateRecord) -> dict[str, Any]:
    """Whether an update's blob is in the store, and its size."""
    from fedcxr.errors import StoreError

    try:
        if (store := choice.open()) is None:
            return {"found": None, "text": "no store to look into (--store)"}
        size = store.size(record.root)
    except StoreError as error:
        return {"found": None, "text": str(error)}
    if size is None:
        from fedcxr.store.pruned import pruned_rounds

        try:
            removed = choice.run is not None and record.round in pruned_rounds(choice.run)
        except StoreError as error:
            return {"found": False, "text": f"missing; {error}"}
        return {"found": False, "text": "removed, as pruned.json says" if removed else "missing"}
    fits = "" if size == record.size else f", where {record.size:,} were signed"
    return {"found": True, "size": size, "text": f"in the store, {size:,} bytes{fits}"}
