"""Replay a run from its ledger and its store, and compare.

Nothing that the server says of itself is believed. The chain's file is re-executed from its first block (so
that every transaction, and with it every signature, is verified again by the contract's own code), or, where
the chain is somebody else's, its events are proven from its headers; from there on only the contract's words
count. Each update's bytes must have the root that its hospital signed; the sum is computed again from the
updates, in the same integers; and each model must follow from the one before it, up to the released file,
byte for byte. A damaged file is a finding and never an exception: the audit goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.audit.blob_pool import BlobPool, workers_for
from fedcxr.audit.conduct import check_conduct
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import PARTIES, SO_FAR, AuditReport
from fedcxr.audit.first_model import FirstModelCheck
from fedcxr.audit.journal import check_journal
from fedcxr.audit.ledger_source import LedgerSource, RunLedger
from fedcxr.audit.masked_round import context_of
from fedcxr.audit.memory import UNPROVEN, AuditMemory, compare
from fedcxr.audit.model_maker import ModelMaker
from fedcxr.audit.openings import check_openings, what_it_binds
from fedcxr.audit.participants import participants
from fedcxr.audit.privacy_claims import PrivacyClaims
from fedcxr.audit.protected import recorded
from fedcxr.audit.round_audit import RoundAudit
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources, Sources
from fedcxr.audit.storage import check_round_storage
from fedcxr.errors import EnvelopeError, LedgerError
from fedcxr.ledger.deployment_parameters import differences
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.round_rules import RoundRules
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Vector

if TYPE_CHECKING:
    from fedcxr.config import Config

Progress = Callable[[str, int, int], None]  # what, done, total
_IN_FLIGHT = 2  # rounds whose updates workers may have: one is concluded while they check the next


@dataclass(frozen=True)
class Request:
    """What an audit is asked for.

    Attributes:
        keys: envelope keys of the coordinator, the auditor, or both. Without any the stored bytes are
            checked, and the sums are listed as unchecked.
        journals: of hospitals, each ``journal.jsonl``, to hold against the ledger.
        scope: rounds and hospital; by default everything.
        memory: of earlier audits, which this one is held to; None for none.
        pretrained: file of the weights that the first model is made of, where the store does not have them.
        workers: processes that check blobs; None for as many as the bytes are worth.
    """

    keys: Sequence[EnvelopePrivateKey] = ()
    journals: Sequence[Path] = ()
    scope: Scope = field(default_factory=Scope)
    memory: AuditMemory | None = None
    pretrained: Path | None = None
    workers: int | None = None


def audit(
    run: RunDirectory,
    keys: Sequence[EnvelopePrivateKey],
    *,
    journals: Sequence[Path] = (),
    scope: Scope | None = None,
    progress: Progress = lambda what, done, total: None,
) -> AuditReport:
    """Verify every finalized round of a run with an embedded chain; the run is only read.

    Raises:
        LedgerError: the run has no ledger.
        StoreError: no run here, or a journal cannot be read.
        EnvelopeError: no key is the coordinator's or the auditor's of this federation.
    """
    request = Request(keys, journals, scope or Scope())
    return conduct_audit(RunLedger(run), RunSources(run), request, progress)


def conduct_audit(
    ledger_source: LedgerSource,
    sources: Sources,
    request: Request,
    progress: Progress = lambda what, done, total: None,
    keep: Callable[[Evidence], None] = lambda evidence: None,
) -> AuditReport:
    """Verify what is asked for.

    Args:
        ledger_source: where the contract is.
        sources: where everything else is.
        request: what to look at, and with which keys.
        progress: told of blocks, and of bytes of updates.
        keep: shown what the audit went by before that is closed.

    Raises:
        LedgerError: there is no ledger, or it does not answer.
        StoreError: no run here, or a journal or what earlier audits have kept cannot be read.
        EnvelopeError: no key is the coordinator's or the auditor's of this federation.
        ConfigError: the rounds asked for are not there.
    """
    report = AuditReport()
    memory, whole = request.memory or AuditMemory(None), request.scope.whole
    with ModelMaker() as maker:
        if request.scope.first == 1 and not memory.has_made_any:  # then this one has to make a model
            maker.prepare()
        with ledger_source.open(report, progress) as ledger:
            if ledger is None:
                return report
            sound = not report.findings  # a chain that does not hold is none to remember
            contract = ledger.domain.chain_id, ledger.address
            earlier = memory.recall(*contract)
            inquiry = _Audit(ledger, ledger_source, sources, request, report, maker)
            evidence = inquiry.check(progress, keep)
            for journal in request.journals:
                came, context = evidence.never_came, partial(context_of, evidence)
                check_journal(journal, ledger, report, came, context, stated=evidence.stated)
            if request.memory is not None:
                consistent = compare(earlier, ledger_source.chain, report, whole=whole)
                if ledger_source.head_is_a_word:
                    report.notes.append(UNPROVEN)
                elif consistent and sound:
                    memory.keep(ledger_source.chain, *contract, report, whole=whole)
    return report


@dataclass
class _Audit:
    """One audit in progress, from the moment that there is a contract to go by."""

    ledger: FederationViews
    ledger_source: LedgerSource
    sources: Sources
    request: Request
    report: AuditReport
    maker: ModelMaker

    def check(self, progress: Progress, keep: Callable[[Evidence], None]) -> Evidence:
        """Check all that was asked for; what it went by."""
        report, ledger, sources, scope = self.report, self.ledger, self.sources, self.request.scope
        keys = self._usable_keys()
        if (code := ledger.code_difference()) is not None:
            report.find("the contract", "one that the artifact's bytecode created", code)
        last = ledger.last_finalized
        config = sources.config(ledger, report)
        self._check_founding(config)
        url = sources.store_url(config, ledger, report)
        views = self._views(scope.rounds(last))
        layout = sources.layout(ledger, report)
        if layout is not None and (found := ledger.update_size) != 4 * layout.size:
            report.find("the contract's update_size", str(4 * layout.size), str(found))
        # Where one root records all, the sizes are in a list that is read later.
        each = 4 * layout.size if layout is not None else 0
        size = sum(
            sum(update.size for update in view.accepted.values()) or each * len(view.counted)
            for view in views
        )
        workers = workers_for(size) if self.request.workers is None else self.request.workers
        protection, colluder_parts, withholds = recorded(ledger, config, url)
        removal = sources.removal(ledger, report)
        with BlobPool(url, protection, keys, workers) as pool:
            evidence = Evidence(
                ledger=ledger,
                store=BlobStore(url, make=False),
                pool=pool,
                layout=layout,
                models=sources.models(last),
                keys=keys,
                protection=protection,
                readers=protection.readers(keys),
                scope=scope,
                report=report,
                claims=PrivacyClaims(config, report),
                pruned=removal.rounds,
                colluder_parts=colluder_parts,
                withholds=withholds,
            )
            computed = self._rounds(evidence, config, views, size, progress)
        if config is not None:
            check_openings(ledger, RoundRules(config), scope, last, report)
        check_conduct(EventViews.of(ledger), scope, last, report)
        report.notes.append(what_it_binds(ledger))
        report.notes += participants(ledger, views, scope)
        if views:
            report.notes.append(PARTIES)
        sources.conclude(evidence, last)
        removal.conclude(self.ledger_source.chain, ledger, report)
        report.unchecked += scope.left_out(last)
        if last < report.planned:
            report.notes.append(f"{SO_FAR}{last} of {report.planned} rounds are finalized")
        if last == 0:
            report.unchecked.append("the released model: no round is finalized yet")
        elif computed and scope.whole:
            report.released = ledger.model_digest.hex()
        else:
            report.unchecked.append("the released model: not every sum before it could be recomputed")
        keep(evidence)
        return evidence

    def _check_founding(self, config: Config | None) -> None:
        """The contract was founded with what the configuration says."""
        if config is None:
            return
        report = self.report
        report.planned = config.federation.total_rounds
        try:
            founded = (self.ledger.deployment_parameters, self.ledger.bounds)
            for name, (wanted, found) in differences(*founded, config).items():
                report.find(f"the contract's {name}", str(wanted), str(found))
        except LedgerError as error:
            report.find("the contract's rules", "on record", str(error))

    def _views(self, rounds: range) -> list[RoundView]:
        views = [self.ledger.round(number) for number in rounds]
        if self.ledger_source.storage_is_a_word:
            for view in views:
                check_round_storage(self.ledger, view, self.report)
        return views

    def _rounds(
        self,
        evidence: Evidence,
        config: Config | None,
        views: Sequence[RoundView],
        size: int,
        progress: Progress,
    ) -> bool:
        """Check the rounds in their order; whether all models were computed from where it started."""
        lines = self.sources.lines(self.ledger.last_finalized, self.report)
        first = views[0].number if views else 1
        done = 0

        def advance(checked: int) -> None:
            nonlocal done
            done += checked
            progress("bytes", done, size)

        audits = [RoundAudit(evidence, view) for view in views]
        for ahead in audits[:_IN_FLIGHT]:  # workers check while the first model is made
            ahead.start()
        memory = self.request.memory or AuditMemory(None)
        beginning = FirstModelCheck(evidence, config, self.request.pretrained, memory, self.maker)
        model, before = self._models_before(evidence, beginning, first)
        computed = model is not None
        for place, current in enumerate(audits):
            for ahead in audits[place : place + _IN_FLIGHT]:
                ahead.start()
            result, summed = current.finish(model, before, lines, advance)
            before, model = model, result
            computed = computed and summed
            self.report.rounds += 1
        beginning.conclude()
        evidence.claims.conclude()
        if lines:
            whose = "scores, times, bytes and gas are the coordinator's own word"
            self.report.notes.append(f"metrics.jsonl, summary.md: {whose}")
        return computed

    def _models_before(
        self, evidence: Evidence, beginning: FirstModelCheck, first: int
    ) -> tuple[Vector | None, Vector | None]:
        """The model that the first round starts from, and the one before it."""
        if first == 1:
            return beginning.begin(), None
        ledger = self.ledger

        def model(number: int) -> Vector | None:
            if number == 0:
                return evidence.genesis()
            return evidence.model(number, ledger.round(number).model_digest)

        before = model(first - 2)
        return model(first - 1), before

    def _usable_keys(self) -> list[EnvelopePrivateKey]:
        """The keys that updates are sealed to, the coordinator's first.

        Raises:
            EnvelopeError: there are keys, but strangers' only: with them every update would look broken.
        """
        keys = self.request.keys
        holders = [self.ledger.coordinator_key_digest, self.ledger.auditor_key_digest]
        usable = [key for key in keys if key.public.digest in holders]
        if keys and not usable:
            raise EnvelopeError("the key is neither the coordinator's nor the auditor's of this federation.")
        if len(usable) < len(keys):
            self.report.notes.append("a key that is neither the coordinator's nor the auditor's is not used")
        return sorted(usable, key=lambda key: holders.index(key.public.digest))
