"""Replay a run from its ledger and its store, and compare.

Nothing that the server says of itself is believed. The chain's file is re-executed from its first block (so
that every transaction, and with it every signature, is verified again by the contract's own code); from
there on only the contract's words count. Each update's bytes must have the root that its hospital signed;
the sum is computed again from the updates, in the same integers; and each model must follow from the one
before it, up to the released file, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fedcxr import config as configuration
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.findings import AuditReport, Finding
from fedcxr.errors import (
    BlobCorruptError,
    BlobMissingError,
    EnvelopeError,
    FedcxrError,
    LayoutError,
    LedgerError,
    ModelError,
)
from fedcxr.ledger import replay
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import RoundView
from fedcxr.privacy.envelope import EnvelopeContext
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import merkle, model_file
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig

Progress = Callable[[str, int, int], None]  # what, done, total


def audit(
    run: RunDirectory, key: EnvelopePrivateKey | None, progress: Progress = lambda what, done, total: None
) -> AuditReport:
    """Verify every finalized round of a run; the run is only read.

    Args:
        run: the directory.
        key: the coordinator's or the auditor's envelope key. Without one the stored bytes are checked, and
            the sums are listed as unchecked.
        progress: told of each round.

    Raises:
        LedgerError: the run has no ledger, or one that cannot even be read.
        StoreError: no run here.
    """
    facts = run.read_facts()
    if not facts.contract:
        raise LedgerError(f"{run.root} was run with ledger.backend = off: there is nothing to audit.")
    report = AuditReport(federation=facts.federation, contract=facts.contract)
    with replay.verify(run.chain_path) as replayed:
        report.findings += [Finding(f.where, f.expected, f.found) for f in replayed.findings]
        if replayed.w3 is None:
            report.unchecked.append("everything else: the chain cannot be re-executed")
            return report
        try:
            ledger = FederationLedger.attach(replayed.w3, facts.contract)
            _Audit(run, ledger, key, report).run(progress)
        except LedgerError as error:
            report.findings.append(
                Finding("ledger.json", "the federation's contract", f"{facts.contract}: {error}")
            )
    return report


@dataclass
class _Audit:
    """One audit in progress."""

    run_directory: RunDirectory
    ledger: FederationLedger
    key: EnvelopePrivateKey | None
    report: AuditReport
    store: BlobStore = field(init=False)
    layout: Layout = field(init=False)

    def run(self, progress: Progress) -> None:
        report, ledger, run = self.report, self.ledger, self.run_directory
        if report.federation != ledger.federation.hex():
            self._find("ledger.json federation", ledger.federation.hex(), report.federation)
        if (code := ledger.code_difference()) is not None:
            self._find("the contract's code", "the artifact's bytecode", code)
        self._check_config()
        vector = self._start()
        if vector is None:
            return
        last = ledger.last_finalized
        for number in range(1, last + 1):
            progress("rounds", number - 1, last)
            vector = self._round(number, vector)
            report.rounds += 1
        progress("rounds", last, last)
        if vector is None:
            report.unchecked.append("the released model: the sums before it could not be recomputed")
        else:
            report.released = model_file.vector_digest(vector).hex()
        if not run.model(last).exists():
            self._find(
                run.model(last).name, "the released model", "no such file", number=last if last else None
            )

    def _check_config(self) -> None:
        run = self.run_directory
        try:
            digest = configuration.load(run.config_path).digest().hex()
        except FedcxrError as error:
            digest = str(error)
        if digest != self.ledger.config_digest.hex():
            self._find("config.toml", self.ledger.config_digest.hex(), digest)

    def _start(self) -> Vector | None:
        """Layout and first model, held against the contract; None when there is nothing to start from."""
        run, ledger = self.run_directory, self.ledger
        try:
            self.store = run.blob_store()
            self.layout = run.read_layout()
        except FedcxrError as error:
            self._find("layout.json", ledger.layout_digest.hex(), str(error))
            return None
        if self.layout.digest != ledger.layout_digest:
            self._find("layout.json", ledger.layout_digest.hex(), self.layout.digest.hex())
            return None
        try:
            vector = model_file.read(run.model(0), self.layout)
        except ModelError as error:
            self._find(run.model(0).name, ledger.genesis_digest.hex(), str(error))
            return None
        if (found := model_file.vector_digest(vector)) != ledger.genesis_digest:
            self._find(run.model(0).name, ledger.genesis_digest.hex(), found.hex())
            return None
        self._check_file(0, vector)
        return vector

    def _round(self, number: int, base: Vector | None) -> Vector | None:
        """Check one finalized round; the model that it must have released, or None when it cannot be told."""
        view = self.ledger.round(number)
        if base is not None and (found := model_file.vector_digest(base)) != view.base:
            self._find("base digest", view.base.hex(), found.hex(), number)
        round_config = self._round_config(view)
        total = WeightedSum(self.layout)
        complete = round_config is not None
        if not set(view.included) <= set(view.accepted):
            self._find("included set", "only accepted updates", ", ".join(sorted(view.included)), number)
        for address in sorted(view.accepted):
            self.report.updates += 1
            self._check_metrics(view, address)
            added = self._add(view, address, total)
            if address in view.included:
                complete = complete and added is True
            elif added is True:
                self._find(
                    "excluded update",
                    f"one that cannot be added ({view.excluded.get(address, 'no reason given')})",
                    "one that opens and adds",
                    number,
                    address,
                )
        if not complete or round_config is None:
            return None
        if total.root != view.aggregate_root:
            self._find("aggregate root", view.aggregate_root.hex(), total.root.hex(), number)
        if base is None:
            return None
        model = total.model(base, round_config.exponents)
        if (found := model_file.vector_digest(model)) != view.model_digest:
            self._find("model digest", view.model_digest.hex(), found.hex(), number)
        if self.run_directory.model(number).exists():
            self._check_file(number, model)
        return model

    def _round_config(self, view: RoundView) -> RoundConfig | None:
        try:
            round_config = RoundConfig.from_bytes(self.store.get(view.config_digest).tobytes())
        except FedcxrError as error:
            self._find("round configuration", view.config_digest.hex(), str(error), view.number)
            return None
        expected = (view.number, self.ledger.config_digest.hex(), self.layout.digest.hex())
        found = (round_config.round, round_config.config, round_config.layout)
        if found != expected:
            self._find("round configuration", str(expected), str(found), view.number)
        return round_config

    def _add(self, view: RoundView, address: str, total: WeightedSum) -> bool | None:
        """Add an included update to the sum, or try an excluded one on a sum of its own.

        True: it adds. False: it does not. None: it cannot be told without a key.
        """
        accepted = view.accepted[address]
        included = address in view.included
        try:
            blob = self.store.get(accepted.root)
        except (BlobMissingError, BlobCorruptError) as error:
            self._find("blob", accepted.root.hex(), str(error), view.number, address)
            return False
        self.report.bytes += blob.nbytes
        if blob.nbytes != accepted.size:
            self._find("blob size", str(accepted.size), str(blob.nbytes), view.number, address)
        if self.key is None:
            self.report.unchecked.append(
                f"round {view.number}, {address}: what is sealed in its update (no key)"
            )
            return None
        context = EnvelopeContext(
            federation=self.report.federation,
            round=view.number,
            hospital=address,
            layout=self.layout.digest.hex(),
        )
        target = total if included else WeightedSum(self.layout)
        try:
            target.add_sealed(blob, context, self.key, view.weights[address])
        except (EnvelopeError, LayoutError) as error:
            if included:
                self._find("sealed update", "one that opens and adds", str(error), view.number, address)
            return False
        return True

    def _check_metrics(self, view: RoundView, address: str) -> None:
        root = view.accepted[address].metrics
        try:
            HospitalMetrics.from_bytes(self.store.get(root).tobytes())
        except FedcxrError as error:
            self._find("metrics", root.hex(), str(error), view.number, address)

    def _check_file(self, number: int, vector: Vector) -> None:
        """Compare a model file with the bytes that it must have."""
        path = self.run_directory.model(number)
        expected = model_file.to_bytes(
            vector, self.layout, federation=self.ledger.federation, round_number=number
        )
        found = path.read_bytes()
        if found != expected:
            at = next(
                (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
                min(len(found), len(expected)),
            )
            self._find(
                path.name,
                f"{len(expected)} bytes with root {merkle.root(expected).hex()}",
                f"{len(found)} bytes that differ from byte {at} on",
                number or None,
            )

    def _find(
        self, where: str, expected: str, found: str, number: int | None = None, hospital: str = ""
    ) -> None:
        self.report.findings.append(Finding(where, expected, found, number, hospital))
