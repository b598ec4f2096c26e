"""One finalized round against the ledger: its blobs, its sum, its model file and its line of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.metrics_line import differences
from fedcxr.errors import EnvelopeError, FedcxrError, LayoutError, ModelError, StoreError
from fedcxr.ledger.history import relays
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.envelope import EnvelopeContext
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import fixed_point, merkle, model_file
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig


@dataclass(frozen=True)
class Evidence:
    """What an audit goes by.

    Attributes:
        run: the directory.
        ledger: the contract on the chain as executed again.
        store: the blobs.
        layout: None when ``layout.json`` is not the ledger's; then no sum can be computed.
        keys: the coordinator's first, then the auditor's; those that are at hand.
        report: what findings are added to.
        named: roots of the blobs that the ledger names, as they are met.
        partitions: digests of ``partition.json`` that the rounds' configurations name, as they are met.
    """

    run: RunDirectory
    ledger: FederationViews
    store: BlobStore
    layout: Layout | None
    keys: Sequence[EnvelopePrivateKey]
    report: AuditReport
    named: set[bytes] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)

    def model(self, number: int, digest: bytes, computed: Vector | None = None) -> Vector | None:
        """The model whose digest the ledger holds, from computation or from its file; the file is compared.

        Returns:
            None when neither has it.
        """
        path = self.run.model(number)
        if not path.exists() and number not in (0, self.ledger.last_finalized):  # those two are findings
            self.report.notes.append(f"round {number}: its model file is not there (see store.keep_models)")
        if self.layout is None or not path.exists():
            return computed
        try:
            found = path.read_bytes()
            vector = model_file.read(path, self.layout) if computed is None else computed
        except (ModelError, OSError) as error:
            self.report.find(path.name, f"a model with digest {digest.hex()}", str(error), number)
            return computed
        if (actual := model_file.vector_digest(vector)) != digest:
            self.report.find(path.name, f"digest {digest.hex()}", f"digest {actual.hex()}", number)
            return None
        federation = self.ledger.federation
        expected = model_file.to_bytes(vector, self.layout, federation=federation, round_number=number)
        if found != expected:
            at = _first_difference(found, expected)
            said = f"{len(expected)} bytes with root {merkle.root(expected).hex()}"
            self.report.find(path.name, said, f"{len(found)} bytes that differ from byte {at} on", number)
        return vector


@dataclass
class RoundAudit:
    """The audit of one round."""

    evidence: Evidence
    view: RoundView
    metrics: dict[str, HospitalMetrics] = field(default_factory=dict)

    def check(self, base: Vector | None, before: Vector | None, line: object) -> tuple[Vector | None, bool]:
        """Check everything that the ledger says of the round.

        Args:
            base: the model that the ledger holds as the round's base; None when nothing has it.
            before: the base of the round before; None in the first round, or when nothing has it.
            line: of ``metrics.jsonl``; None when there is none.

        Returns:
            The model that the ledger holds as the round's result, None when nothing has it; and whether it
            was computed from the updates.
        """
        view, evidence = self.view, self.evidence
        round_config = self._round_config()
        if round_config is not None:
            self._check_exponents(round_config, base, before)
        total = self._sum()
        if total is not None and total.root != view.aggregate_root:
            self._find("aggregate root", view.aggregate_root.hex(), total.root.hex())
        model = None
        if total is not None and base is not None and round_config is not None:
            model = self._model(total, base, round_config)
        if line is None:
            evidence.report.unchecked.append(f"round {view.number}: metrics.jsonl has no line of it")
        else:
            for where, expected, found, hospital in differences(line, view, self.metrics):
                self._find(where, expected, found, hospital)
        return evidence.model(view.number, view.model_digest, model), model is not None

    def _model(self, total: WeightedSum, base: Vector, round_config: RoundConfig) -> Vector | None:
        """The model that follows from the base; None when it is not the ledger's."""
        try:
            model = total.model(base, round_config.exponents)
        except LayoutError as error:
            self._find("round configuration", "exponents that fit the layout", str(error))
            return None
        if (found := model_file.vector_digest(model)) != self.view.model_digest:
            self._find("model digest", self.view.model_digest.hex(), found.hex())
            return None
        return model

    def _round_config(self) -> RoundConfig | None:
        view, ledger = self.view, self.evidence.ledger
        data = self._blob("round configuration", view.config_digest)
        if data is None:
            return None
        try:
            round_config = RoundConfig.from_bytes(data.tobytes())
        except LayoutError as error:
            self._find("round configuration", "one that can be read", str(error))
            return None
        for what, expected, found in (
            ("round", view.number, round_config.round),
            ("config", ledger.config_digest.hex(), round_config.config),
            ("layout", ledger.layout_digest.hex(), round_config.layout),
        ):
            if found != expected:
                self._find(f"round configuration's {what}", str(expected), str(found))
        self.evidence.partitions.add(round_config.partition)
        return round_config

    def _check_exponents(self, round_config: RoundConfig, base: Vector | None, before: Vector | None) -> None:
        """They follow from two models: a coordinator free to choose could clip or coarsen the updates."""
        layout, number = self.evidence.layout, self.view.number
        if layout is None or base is None or (before is None and number > 1):
            why = "the models before it are not at hand"
            self.evidence.report.unchecked.append(f"round {number}: its exponents ({why})")
            return
        expected = fixed_point.choose_exponents(layout, base, None if before is None else base - before)
        if round_config.exponents != expected:
            self._find("round configuration's exponents", str(expected), str(round_config.exponents))

    def _sum(self) -> WeightedSum | None:
        """The sum over the included updates; None when it cannot be computed."""
        view, evidence = self.view, self.evidence
        if not set(view.included) <= set(view.accepted):
            self._find("included set", "only accepted updates", ", ".join(sorted(view.included)))
        layout = evidence.layout
        total = None if layout is None else WeightedSum(layout)
        complete = set(view.included) <= set(view.accepted)
        brought = relays(evidence.ledger, view.number) if view.excluded else {}
        for address in sorted(view.accepted):
            evidence.report.updates += 1
            if address in view.excluded and self._never_came(address, brought.get(address, "")):
                continue
            self._check_metrics(address)
            blob = self._update(address)
            included = address in view.included
            if total is None or layout is None or not evidence.keys:
                why = "no key" if layout is not None else "layout.json is not the ledger's"
                said = f"round {view.number}, {address}: what is sealed in its update ({why})"
                evidence.report.unchecked.append(said)
                complete = False
            elif blob is None:
                complete = complete and not included
            elif included:
                complete = self._included(blob, address, total) and complete
            else:
                self._excluded(blob, address, layout)
        return total if complete else None

    def _never_came(self, address: str, sender: str) -> bool:
        """An update that somebody else than the coordinator submitted, and whose bytes nobody has.

        The coordinator may never have seen them; whether it has, the hospital's word is against its own.
        """
        root = self.view.accepted[address].root
        if sender == self.evidence.ledger.coordinator or root in self.evidence.store:
            return False
        self.evidence.named.update((root, self.view.accepted[address].metrics))
        self.evidence.report.notes.append(
            f"round {self.view.number}: the update of {address} was brought to the contract by {sender}, and "
            f"excluded since its bytes never came ({self.view.excluded[address]})"
        )
        return True

    def _included(self, blob: NDArray[np.uint8], address: str, total: WeightedSum) -> bool:
        """Add an update with a key that opens it; its header commits it to say the same to each.

        Returns:
            Whether it could be added.
        """
        for key in self.evidence.keys:
            why = self._add(blob, address, total, key)
            if not why:
                return True
        if not self._has_coordinator_key:
            why += " With the coordinator's key it may: then its hospital sealed it badly to the auditor."
        self._find("sealed update", "one that opens and adds", why, address)
        return False

    def _excluded(self, blob: NDArray[np.uint8], address: str, layout: Layout) -> None:
        """Try the reason for an exclusion, with the coordinator's key if it is at hand: it decides."""
        if self._add(blob, address, WeightedSum(layout), self.evidence.keys[0]):
            return
        reason = self.view.excluded.get(address) or "no reason given"
        found = "one that opens and adds"
        if not self._has_coordinator_key:
            found += " with the auditor's key: the coordinator lies, or its hospital sealed it badly"
        self._find("excluded update", f"one that cannot be added ({reason})", found, address)

    @property
    def _has_coordinator_key(self) -> bool:
        return self.evidence.keys[0].public.digest == self.evidence.ledger.coordinator_key_digest

    def _add(self, blob: NDArray[np.uint8], address: str, total: WeightedSum, key: EnvelopePrivateKey) -> str:
        """Open an update and add it; why it cannot be, empty when it was."""
        context = EnvelopeContext(
            federation=self.evidence.ledger.federation.hex(),
            round=self.view.number,
            hospital=address,
            layout=total.layout.digest.hex(),
        )
        try:
            total.add_blob(blob, context, key, self.view.weights[address])
        except (EnvelopeError, LayoutError) as error:
            return str(error)
        return ""

    def _update(self, address: str) -> NDArray[np.uint8] | None:
        accepted = self.view.accepted[address]
        blob = self._blob("blob", accepted.root, address)
        if blob is not None:
            self.evidence.report.bytes += blob.nbytes
            if blob.nbytes != accepted.size:
                self._find("blob size", str(accepted.size), str(blob.nbytes), address)
        return blob

    def _check_metrics(self, address: str) -> None:
        data = self._blob("metrics", self.view.accepted[address].metrics, address)
        if data is None:
            return
        try:
            self.metrics[address] = HospitalMetrics.from_bytes(data.tobytes())
        except FedcxrError as error:
            self._find("metrics", "what a hospital reports", str(error), address)

    def _blob(self, what: str, root: bytes, hospital: str = "") -> NDArray[Any] | None:
        self.evidence.named.add(root)
        try:
            return self.evidence.store.get(root)
        except StoreError as error:
            self._find(what, root.hex(), str(error), hospital)
            return None

    def _find(self, where: str, expected: str, found: str, hospital: str = "") -> None:
        self.evidence.report.find(where, expected, found, self.view.number, hospital)


def _first_difference(a: bytes, b: bytes) -> int:
    """The first offset at which two different byte strings differ."""
    size = min(len(a), len(b))
    different = np.frombuffer(a, np.uint8, size) != np.frombuffer(b, np.uint8, size)
    return int(different.argmax()) if different.any() else size
