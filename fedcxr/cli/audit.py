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

    from fedcxr.audit.ledger_source import LedgerSource
    from fedcxr.audit.sources import Sources
    from fedcxr.store.run_directory import RunDirectory


Since = Annotated[
    str,
    typer.Option(
        metavar="HEAD|FILE.zip",
        help="An earlier audit: the hash of the head that the chain had, or its export. A chain that does "
        "not contain it is a finding.",
    ),
]
State = Annotated[
    str,
    typer.Option(
        metavar="DIR|off",
        help="The folder in which audits are remembered; the default is $FEDCXR_STATE, or fedcxr in "
        "$XDG_STATE_HOME (~/.local/state).",
    ),
]

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
    pruned: Annotated[
        Path | None,
        typer.Option(help="The pruned.json of a run whose updates were removed, without the run."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="The run's metrics.jsonl, without the run: of masked rounds it names the published seeds."
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write a signed export to this zip; fedcxr audit verify checks it.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(help="The key file that signs the export; the default is the run's keys/auditor.json."),
    ] = None,
    since: Since = "",
    state: State = "",
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
    from fedcxr.api.audit_memory import memory_of
    from fedcxr.audit.audit import Request, conduct_audit
    from fedcxr.audit.export.export import Exhibits
    from fedcxr.audit.export.export import export as write_export
    from fedcxr.audit.scope import Scope
    from fedcxr.cli.audit_printing import Bar, print_report

    ledger, sources, directory = _places(
        run, trust_run, rpc, contract, store, head, genesis, model, config, pruned, metrics
    )
    keys, unreadable = audit_keys(directory, key)
    memory = memory_of(directory, state=state, since=since)
    request = Request(keys, journal or (), Scope.parse(rounds, hospital), memory, pretrained)
    exhibits = Exhibits(ledger)
    account = _signer(directory, sign) if export else None
    with Bar(hidden=as_json) as bar:
        report = conduct_audit(ledger, sources, request, bar.show, exhibits.keep if export else _keep_nothing)
    report.unchecked += unreadable
    if export and account:
        data = write_export(report, exhibits, request.scope, account, lambda: f"{datetime.now(UTC):%FT%TZ}")
        files.write(export, data)
    if as_json:
        say_json(report.to_json())
    else:
        print_report(report)
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
    since: Since = "",
    state: State = "",
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
    from fedcxr.api.audit_memory import memory_of
    from fedcxr.cli.audit_printing import print_verification

    result = verified(file, signer, head, memory_of(state=state, since=since))
    found = Verification.of(result, str(file))
    if as_json:
        say_json(
            json.dumps({**asdict(found), "authentic": found.authentic, "report": result.report}, indent=2)
        )
    else:
        print_verification(found)
    found.require_proof()


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
    pruned: Path | None,
    metrics: Path | None,
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
        sources = StoreSources(store, genesis, model, config, pruned, metrics)
        return EndpointLedger(rpc, contract, trusted), sources, None
    if contract or genesis or model or config or pruned or metrics:
        raise ConfigError(
            "--contract, --genesis, --model, --config, --pruned and --metrics are for an audit without a run "
            "directory."
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
