"""``fedcxr ledger prove`` and ``check-proof``: that a hospital is in a round, or that it is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.ledger import Contract, Rpc, Run, commands
from fedcxr.cli.ledger_printing import as_json_text
from fedcxr.cli.ledger_reading import StoreChoice, ask_by_name, location_of, round_number, split_run
from fedcxr.cli.options import AsJson, TrustRun
from fedcxr.terminal import say, say_json

if TYPE_CHECKING:
    from fedcxr.indexer.location import IndexedLedger
    from fedcxr.indexer.members import Members
    from fedcxr.ledger.submissions.proof import Proof
    from fedcxr.report.ledger.words import Names


@commands.command()
def prove(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] ROUND HOSPITAL",
            help="The run directory, the round, and the hospital: its address, the first digits of it, or "
            "its name in the run. Without a run, give --rpc, --contract and --store.",
        ),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; the default is to print the proof.")
    ] = None,
    rpc: Rpc = None,
    contract: Contract = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="The URL of the store that has the round's list.")
    ] = None,
    trust_run: TrustRun = False,
) -> None:
    """Write a proof that a hospital's submission is in a closed round, or that it has none there.

    The command is for federations that record one root a round (ledger.recording = "root"). The proof stands
    by itself:
    whoever reads the contract checks it with fedcxr ledger check-proof, without store, run or secret.

    RUN ROUND HOSPITAL in a run's directory; ROUND HOSPITAL with --rpc, --contract and --store. HOSPITAL is an
    address, its first digits, or a name in the run.
    """
    from fedcxr import files
    from fedcxr.indexer.round_list import prove as prove_place

    run, (number, who) = split_run(words, rpc, "ROUND", "HOSPITAL")
    location, names = location_of(run, rpc, contract, trust_run)

    def question(ledger: IndexedLedger, members: Members, names: Names) -> Proof:
        member = members.find(who, names.by_address)
        wanted = round_number(number)
        return prove_place(ledger, members, member, wanted, StoreChoice(run, store, trust_run).fetch)

    proof, names = ask_by_name(location, names, question)
    if out is None:
        say_json(proof.to_json())
        return
    files.write(out, proof.to_json())
    kind = "inclusion" if proof.submission else "omission"
    say(f"{out}: a proof of {kind} of {names(proof.hospital)} in round {proof.round}")


@commands.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(help="The proof, a file that fedcxr ledger prove wrote.")],
    run: Run = None,
    *,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """Check a proof of inclusion or omission against the contract's root; it takes no secret and no store.

    Give FILE and RUN, or FILE with --rpc. The contract is the one that the proof names, unless --contract
    insists on another. The exit code is 50 when the proof does not hold.
    """
    from fedcxr import bounded
    from fedcxr.errors import LedgerError, StoreError
    from fedcxr.indexer.round_list import check
    from fedcxr.ledger.submissions.proof import LONGEST, Proof

    try:
        proof = Proof.from_json(bounded.read(file, LONGEST).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{file}: cannot be read: {error}") from None
    except LedgerError as error:
        raise LedgerError(f"{file}: {error}") from None
    location, names = location_of(run, rpc, contract or (proof.contract if rpc else None), trust_run)
    try:
        record, names = ask_by_name(location, names, lambda ledger, members, _: check(ledger, members, proof))
    except LedgerError as error:
        raise type(error)(f"{file}: {error}") from None
    included = record.included is not None and proof.seat in record.included
    if as_json:
        facts = {"proven": True, "included": included, "asked": proof.seat in record.weights}
        say_json(as_json_text({**facts, "phase": record.phase, "proof": proof}))
        return
    of = f"{names(proof.hospital)} ({proof.hospital}, seat {proof.seat})"
    where = f"round {proof.round}, attempt {proof.attempt}, of {location.contract}"
    if proof.submission is None:
        asked = "though it was asked" if proof.seat in record.weights else "and was not asked"
        say(f"proven: {of} has no submission in {where}, {asked}")
        return
    message = proof.submission.message
    became = "is in its aggregate" if included else f"is not in an aggregate: the round is {record.phase}"
    say(f"proven: the submission {message.root.hex()} of {of} is in {where}, and {became}")
