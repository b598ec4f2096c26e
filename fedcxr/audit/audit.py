"""Replay a run from its ledger and its store, and compare.

Nothing that the server says of itself is believed. The chain's file is re-executed from its first block (so
that every transaction, and with it every signature, is verified again by the contract's own code); from
there on only the contract's words count. Each update's bytes must have the root that its hospital signed;
the sum is computed again from the updates, in the same integers; and each model must follow from the one
before it, up to the released file, byte for byte. A damaged file is a finding and never an exception: the
audit goes on with what is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr import config as configuration
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.journal import check_journal
from fedcxr.audit.metrics_line import read_lines
from fedcxr.audit.round_audit import Evidence, RoundAudit
from fedcxr.errors import ChainError, EnvelopeError, FedcxrError, LayoutError, LedgerError, StoreError
from fedcxr.ledger import replay
from fedcxr.ledger.history import aborted_attempts, not_asked
from fedcxr.ledger.replay import Replayed
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import LedgerFacts, RunDirectory
from fedcxr.update import merkle
from fedcxr.update.layout import Layout, Vector

Progress = Callable[[str, int, int], None]  # what, done, total


def audit(
    run: RunDirectory,
    keys: Sequence[EnvelopePrivateKey],
    *,
    journals: Sequence[Path] = (),
    progress: Progress = lambda what, done, total: None,
) -> AuditReport:
    """Verify every finalized round of a run; the run is only read.

    Args:
        run: the directory.
        keys: envelope keys of the coordinator, the auditor, or both. Without any the stored bytes are
            checked, and the sums are listed as unchecked.
        journals: of hospitals, each ``journal.jsonl``, to hold against the ledger.
        progress: told of each round.

    Raises:
        LedgerError: the run has no ledger.
        StoreError: no run here, or a journal cannot be read.
        EnvelopeError: no key is the coordinator's or the auditor's of this federation.
    """
    report = AuditReport()
    facts = _facts(run, report)
    if facts is None:
        report.unchecked.append("everything else: nothing says which contract the run is about")
        return report
    report.federation, report.contract = facts.federation, facts.contract
    with contextlib.ExitStack() as stack:
        try:
            replayed = stack.enter_context(replay.verify(run.chain_path))
        except ChainError as error:
            report.find(run.chain_path.name, "the federation's chain", str(error))
            replayed = Replayed()
        for finding in replayed.findings:
            report.find(finding.where, finding.expected, finding.found)
        if replayed.w3 is None:
            report.unchecked.append("everything else: the chain cannot be executed again")
            return report
        if (chain_id := replayed.w3.eth.chain_id) != facts.chain_id:
            report.find("ledger.json chain_id", str(chain_id), str(facts.chain_id))
        try:
            ledger = FederationViews.attach(replayed.w3, facts.contract)
            if facts.contract != ledger.address:  # in another case: its checksum says that a letter changed
                report.find("ledger.json contract", ledger.address, facts.contract)
            if facts.federation != ledger.federation.hex():
                report.find("ledger.json federation", ledger.federation.hex(), facts.federation)
        except LedgerError as error:
            report.find("ledger.json contract", "the federation's contract", f"{facts.contract}: {error}")
            report.unchecked.append("everything else: there is no contract to hold the run against")
            return report
        _Audit(run, ledger, keys, report).check(progress)
        for journal in journals:
            check_journal(journal, ledger, report)
    return report


def _facts(run: RunDirectory, report: AuditReport) -> LedgerFacts | None:
    """What the run says its contract is; None when that cannot be read."""
    place = run.root / "ledger.json"
    if not place.exists() and not run.chain_path.exists():
        RunDirectory.open(run.root)  # raises where there is no run at all
        raise LedgerError(f"{run.root} has no ledger yet: its federation was never founded.")
    try:
        facts = run.read_facts()
    except StoreError as error:
        report.find(place.name, "the federation's contract", str(error))
        return None
    if facts.contract:
        return facts
    if not run.chain_path.exists():
        raise LedgerError(f"{run.root} was run with ledger.backend = off: there is nothing to audit.")
    report.find(place.name, "the federation's contract", "none, though there is a chain")
    return None


@dataclass
class _Audit:
    """One audit in progress, from the moment that there is a contract to go by."""

    run: RunDirectory
    ledger: FederationViews
    keys: Sequence[EnvelopePrivateKey]
    report: AuditReport

    def check(self, progress: Progress) -> None:
        report, ledger, run = self.report, self.ledger, self.run
        keys = self._usable_keys()
        if (code := ledger.code_difference()) is not None:
            report.find("the contract", "one that the artifact's bytecode created", code)
        store = self._store()
        evidence = Evidence(run, ledger, store, self._layout(), keys, report)
        if not run.model(0).exists():
            report.find(run.model(0).name, f"digest {ledger.genesis_digest.hex()}", "no such file", 0)
        model = evidence.model(0, ledger.genesis_digest)
        before: Vector | None = None  # the model before `model`
        proven = model is not None
        lines = read_lines(run.metrics_path, report)
        last = ledger.last_finalized
        for number in range(1, last + 1):
            progress("rounds", number - 1, last)
            view = ledger.round(number)
            result, computed = RoundAudit(evidence, view).check(model, before, lines.get(number))
            before, model = model, result
            proven = proven and computed
            report.rounds += 1
        progress("rounds", last, last)
        for number in sorted(lines.keys() - set(range(1, last + 1))):
            report.find(run.metrics_path.name, f"rounds 1 to {last}", f"a line of round {number}")
        if lines:
            whose = "scores, times, bytes and gas are the coordinator's own word"
            report.notes.append(f"metrics.jsonl, summary.md: {whose}")
        self._check_history(last)
        self._check_refusals(last)
        self._check_partition(evidence)
        if last == 0:
            report.unchecked.append("the released model: no round is finalized yet")
        elif proven:
            report.released = ledger.model_digest.hex()
        else:
            report.unchecked.append("the released model: not every sum before it could be recomputed")
        self._check_models(last)
        self._check_surplus(evidence)

    def _usable_keys(self) -> list[EnvelopePrivateKey]:
        """The keys that updates are sealed to, the coordinator's first.

        Raises:
            EnvelopeError: there are keys, but strangers' only: with them every update would look broken.
        """
        holders = [self.ledger.coordinator_key_digest, self.ledger.auditor_key_digest]
        usable = [key for key in self.keys if key.public.digest in holders]
        if self.keys and not usable:
            raise EnvelopeError("the key is neither the coordinator's nor the auditor's of this federation.")
        if len(usable) < len(self.keys):
            self.report.notes.append("a key that is neither the coordinator's nor the auditor's is not used")
        return sorted(usable, key=lambda key: holders.index(key.public.digest))

    def _store(self) -> BlobStore:
        """The blobs: where the configuration says, if it is the ledger's; else where they are by default."""
        default, expected = str(self.run.root / "blobs"), self.ledger.config_digest
        try:
            config = configuration.load(self.run.config_path)
        except FedcxrError as error:
            self.report.find("config.toml", expected.hex(), str(error))
            return BlobStore(default, make=False)
        if config.digest() != expected:
            self.report.find("config.toml", expected.hex(), config.digest().hex())
            return BlobStore(default, make=False)
        return BlobStore(config.store.url or default, make=False)

    def _layout(self) -> Layout | None:
        """The layout, if the file's very bytes are those that the ledger holds."""
        path, expected = self.run.layout_path, self.ledger.layout_digest
        try:
            data = path.read_bytes()
            if (found := merkle.root(data)) == expected:
                return Layout.from_json(data.decode())
            self.report.find(path.name, expected.hex(), found.hex())
        except (OSError, UnicodeDecodeError, LayoutError) as error:
            self.report.find(path.name, expected.hex(), str(error))
        self.report.unchecked.append("sums and model files: layout.json is not the ledger's")
        return None

    def _check_refusals(self, last: int) -> None:
        """A hospital's signed word that it was handed a model which is not the round's base.

        It may be a lie, or a bit that flipped on its way; either way somebody has to look into it.
        """
        for number in range(1, last + 2):  # also of a round that never got to its end
            for hospital, digests in self.ledger.refusals(number).items():
                try:
                    base = self.ledger.round(number).base.hex()
                except LedgerError as error:  # nobody keeps a hospital from refusing what was never opened
                    base = str(error)
                for seen in digests:
                    if seen.hex() == base:
                        said = f"round {number}: {hospital} refused the very model that the ledger holds"
                        self.report.notes.append(said)
                    else:
                        self.report.find("base model as handed out", base, seen.hex(), number, hospital)

    def _check_history(self, last: int) -> None:
        """Who was not asked, and what was given up: the coordinator's to decide, and everyone's to know.

        An update that was accepted in an attempt that was given up may have been read by then; to leave its
        hospital out of the next attempt is a finding.
        """
        ledger, report = self.ledger, self.report
        for number in range(1, last + 2):
            for attempt in aborted_attempts(ledger, number):
                said = f"round {number}, attempt {attempt.attempt}: given up ({attempt.reason})"
                report.notes.append(f"{said}, with {len(attempt.accepted)} updates accepted")
                if number > last:
                    continue
                for hospital in sorted(set(attempt.accepted) - set(ledger.round(number).participants)):
                    expected = f"asked again, for attempt {attempt.attempt} had accepted its update"
                    report.find("participants", expected, "not asked", number, hospital)
            if number <= last:
                for hospital in not_asked(ledger, number):
                    report.notes.append(f"round {number}: {hospital} was registered, but not asked")

    def _check_partition(self, evidence: Evidence) -> None:
        """``partition.json`` is what the rounds' configurations name."""
        try:
            found = self.run.partition_digest()
        except StoreError as error:
            found = str(error)
        for expected in sorted(evidence.partitions - {found}):
            self.report.find(
                self.run.partition_path.name, expected or "no such file", found or "no such file"
            )

    def _check_models(self, last: int) -> None:
        """The released file must be there, and none that no round released."""
        run, report = self.run, self.report
        if last and not run.model(last).exists():
            report.find(run.model(last).name, "the released model", "no such file", last)
        known = {run.model(number).name for number in range(last + 1)}
        pending = run.model(last + 1).name
        for path in sorted(run.models.glob("*.safetensors")):
            if path.name == pending and self.ledger.round_in_progress == last + 1:
                report.unchecked.append(f"{path.name}: its round is not finalized")
            elif path.name not in known:
                report.find(path.name, "no such file: no round released it", f"{path.stat().st_size} bytes")

    def _check_surplus(self, evidence: Evidence) -> None:
        """Blobs that no finalized round names (rejected, aborted, still open) must still be what they say.

        Only in the run's own directory: a store of its own may serve other federations too.
        """
        blobs = self.run.root / "blobs"
        names = sorted(p.relative_to(blobs).as_posix() for p in blobs.rglob("*") if p.is_file())
        named = {f"{root.hex()[:2]}/{root.hex()}" for root in evidence.named}
        store = BlobStore(str(blobs), make=False)
        for name in names:
            if name in named or name.endswith(".tmp"):  # a process that died leaves the latter
                continue
            try:
                root = bytes.fromhex(name[3:])
                if name != f"{root.hex()[:2]}/{root.hex()}":
                    raise ValueError  # noqa: TRY301
                store.get(root)
            except ValueError:
                self.report.find(f"blobs/{name}", "a blob under its root", "a file with another name")
            except StoreError as error:
                self.report.find(f"blobs/{name}", root.hex(), str(error))
