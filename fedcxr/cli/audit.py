"""``fedcxr audit``: verify a run from its ledger and store, or what somebody else's audit put on file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, ConfigFile, PretrainedFile, TrustRun
from fedcxr.cli.run_group import USUAL, RunGroup, UsualCommand
from fedcxr.terminal import say_json

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from fedcxr.api.audit import Verification
    from fedcxr.audit.findings import AuditReport
    from fedcxr.audit.ledger_source import LedgerSource
    from fedcxr.audit.sources import Sources
    from fedcxr.store.run_directory import RunDirectory


audit_app = typer.Typer(cls=RunGroup, help="Verify a run from its ledger and store.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")


@audit_app.callback()
def callback() -> None:
    """Verify a run from its ledger and store: fedcxr audit RUN, or with --rpc, --contract and --store."""


@audit_app.command(USUAL, cls=UsualCommand)
def audit(
    run: Annotated[
        Path | None,
        typer.Argument(help="The run directory; without one, give --rpc, --contract and --store."),
    ] = None,
    as_json: AsJson = False,
    key: Annotated[
        Path | None,
        typer.Option(
            help="The key file of the coordinator or the auditor; the default is those in the run's keys/."
        ),
    ] = None,
    journal: Annotated[
        list[Path] | None,
        typer.Option(
            help="Compare this hospital's journal.jsonl with the ledger. It may be given many times."
        ),
    ] = None,
    rounds: Annotated[str, typer.Option(help="Audit only these rounds: 3-7, or a single round: 5.")] = "",
    hospital: Annotated[
        str, typer.Option(help="Audit only the updates of the hospital with this ledger address.")
    ] = "",
    rpc: Annotated[
        str, typer.Option(help="The chain's JSON-RPC endpoint; the audit proves its events.")
    ] = "",
    contract: Annotated[str, typer.Option(help="The contract's address, with --rpc and without a run.")] = "",
    store: Annotated[
        str, typer.Option(help="The blob store's URL; the default is the one in the run directory.")
    ] = "",
    trust_run: TrustRun = False,
    head: Annotated[
        str,
        typer.Option(help="The hash of the chain's head, with --rpc, from somebody else than the endpoint."),
    ] = "",
    genesis: Annotated[
        Path | None, typer.Option(help="The file of the first model, where the store does not have it.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The released model's file, to compare, without a run.")
    ] = None,
    config: ConfigFile = None,
    pretrained: PretrainedFile = None,
    export: Annotated[
        Path | None, typer.Option(help="Write a signed export to this zip; fedcxr audit verify checks it.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(help="The key file that signs the export; the default is the run's keys/auditor.json."),
    ] = None,
) -> None:
    """Recompute a run from its ledger and store, and say what is not as it must be.

    With --rpc, --contract and --store no run directory is needed: what a third party can check without a
    secret is checked, and the rest is listed as unchecked.

    The exit code is 0 when the released model is proven, 90 when something was found, and 91 when nothing was
    found but the released model could not be recomputed, or when nobody but the endpoint (--rpc) names the
    head of its chain.
    """
    from datetime import UTC, datetime

    from fedcxr import files
    from fedcxr.api.audit import Audit, audit_keys
    from fedcxr.audit.audit import Request, conduct_audit
    from fedcxr.audit.export.export import Exhibits
    from fedcxr.audit.export.export import export as write_export
    from fedcxr.audit.scope import Scope

    ledger, sources, directory = _places(run, trust_run, rpc, contract, store, head, genesis, model, config)
    keys, unreadable = audit_keys(directory, key)
    request = Request(keys, journal or (), Scope.parse(rounds, hospital), pretrained)
    exhibits = Exhibits(ledger)
    account = _signer(directory, sign) if export else None
    with _Bar(hidden=as_json) as bar:
        report = conduct_audit(ledger, sources, request, bar.show, exhibits.keep if export else _keep_nothing)
    report.unchecked += unreadable
    if export and account:
        data = write_export(report, exhibits, request.scope, account, lambda: f"{datetime.now(UTC):%FT%TZ}")
        files.write(export, data)
    if as_json:
        say_json(report.to_json())
    else:
        _print(report)
    Audit.of(report, str(run or contract)).require_proof()


@audit_app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="The export, a zip that fedcxr audit --export wrote.")],
    signer: Annotated[str, typer.Option(help="The address that must have signed the export.")] = "",
    head: Annotated[
        str,
        typer.Option(
            help="The hash of the chain's head, from elsewhere: auditors who joined on that chain may sign."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Verify an audit's export offline: signature, digests, events, and that its verdict fits them.

    The exit code is 0 when somebody whom you know by --signer or --head states that the released model is
    proven, 90 when the export was changed, does not fit together or has findings, and 91 when the audit
    proved nothing, or the signer may be anybody.
    """
    import json
    from dataclasses import asdict

    from fedcxr.api.audit import Verification, verified
    from fedcxr.audit.findings import PARTIES, in_short
    from fedcxr.terminal.console import Console

    result = verified(file, signer, head)
    found = Verification.of(result, str(file))
    if as_json:
        say_json(json.dumps({"authentic": result.authentic, **asdict(result)}, indent=2))
    else:
        console = Console()
        for mark, style, what, lines in (
            ("✗", "red", "", [*found.problems, *found.findings]),
            ("?", "yellow", "unchecked: ", _who_signed(found)),
            ("?", "yellow", "unchecked: ", in_short(found.unchecked)),
            ("✓", "green", "proven: ", found.proves),
            ("·", "dim", "stated: ", found.states),
            ("·", "dim", "not known: ", [PARTIES] if found.states else []),
        ):
            for line in lines:
                console.say((mark, style), f" {what}{line}")
    found.require_proof()


def _who_signed(found: Verification) -> list[str]:
    """What is to be said of an export whose signer the reader does not know."""
    if found.known_as or not found.authentic:
        return []
    return [f"who {found.signer} is, whose word all of this is: --signer or --head says whom you trust"]


def _keep_nothing(evidence: object) -> None:
    del evidence


def _signer(run: RunDirectory | None, sign: Path | None) -> LocalAccount:
    """The account that signs an export.

    Raises:
        ConfigError: no key file is given, and there is no run that has one.
        StoreError: it is damaged.
    """
    from fedcxr.errors import ConfigError
    from fedcxr.store.identity import Identity

    usual = run.keys / "auditor.json" if run else None
    path = sign or usual
    if path is None or not path.exists():
        raise ConfigError("--export wants the key file of whoever signs it: --sign FILE.")
    return Identity.load(path).account


def _places(
    run: Path | None,
    trust_run: bool,
    rpc: str,
    contract: str,
    store: str,
    head: str,
    genesis: Path | None,
    model: Path | None,
    config: Path | None,
) -> tuple[LedgerSource, Sources, RunDirectory | None]:
    """Where ledger and files are, from the options.

    Raises:
        ConfigError: they do not say.
    """
    from fedcxr.api.audit import head_hash, ledger_of
    from fedcxr.audit.findings import AuditReport
    from fedcxr.audit.ledger_source import EndpointLedger, read_facts
    from fedcxr.audit.sources import RunSources, StoreSources
    from fedcxr.errors import ConfigError, StoreError
    from fedcxr.store.run_directory import RunDirectory

    trusted = head_hash(head)
    if run is None:
        if not (rpc and contract and store):
            raise ConfigError("give a run directory, or --rpc, --contract and --store.")
        return EndpointLedger(rpc, contract, trusted), StoreSources(store, genesis, model, config), None
    if contract or genesis or model or config:
        raise ConfigError(
            "--contract, --genesis, --model and --config are for an audit without a run directory."
        )
    directory = RunDirectory(run, trust_run)
    if not rpc:
        if head:
            raise ConfigError("--head goes with --rpc.")
        return ledger_of(directory), RunSources(directory, store), directory
    report = AuditReport()
    facts = read_facts(directory, report)
    if facts is None:
        raise StoreError(str(report.findings[0]))
    return EndpointLedger(rpc, facts.contract, trusted, facts), RunSources(directory, store), directory


class _Bar:
    """A bar on standard error: blocks of a chain, then bytes of updates."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from fedcxr.terminal.console import Console, described

        columns = (described(), BarColumn(), TextColumn("{task.fields[shown]}"))
        console = Console(stderr=True)
        self._bar = Progress(
            *columns,
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=hidden or not console.is_interactive,
        )
        self._task = self._bar.add_task("auditing", total=None, shown="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        shown = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if what == "bytes" else f"{done:,} of {total:,}"
        self._bar.update(self._task, description=f"auditing {what}", completed=done, total=total, shown=shown)


def _print(report: AuditReport) -> None:
    from fedcxr.audit.findings import PARTIES, in_short
    from fedcxr.report.tables import count
    from fedcxr.terminal.console import Console

    console = Console()
    for finding in report.findings:
        console.say(("✗", "red"), f" {finding}")
    for unchecked in in_short(report.unchecked):
        console.say(("?", "yellow"), f" unchecked: {unchecked}")
    for note in report.notes:
        if note != PARTIES:
            console.say((f"· {note}", "dim"))
    if report.clean:
        rounds = count(report.rounds, "round")
        if report.unfinished:
            rounds = f"{report.rounds} of {count(report.planned, 'round')}"
        if report.complete:
            verdict, but = f"✓ clean{' so far' if report.unfinished else ''}", ""
        elif report.proven:
            verdict, but = "✓ the released model is proven", ", but for what is unchecked above"
        else:
            console.say(("nothing found, and the released model is not proven; see above", "yellow"))
            verdict, but = "", "looked at"
        console.say(
            (verdict, "green"),
            f"{but}: {rounds}, {count(report.updates, 'update')}, "
            f"{report.bytes / 1e6:,.0f} MB; released model {report.released or '(not recomputed)'}",
        )
    if PARTIES in report.notes:
        console.say((f"· not known: {PARTIES}", "dim"))
