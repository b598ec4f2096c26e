"""One finalized round against the ledger: its blobs, its sum, its model file and its line of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.blob_check import BlobResult, BlobTask, Opening
from fedcxr.audit.blob_pool import SharedSum
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.metrics_line import differences
from fedcxr.errors import FedcxrError, LayoutError, StoreError
from fedcxr.ledger.history import relays
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.privacy.envelope import EnvelopeContext
from fedcxr.update import fixed_point, model_file
from fedcxr.update.layout import Vector
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig

_LARGEST = 1 << 32  # bytes to make room for; the ledger's word on a size may be absurd
Advance = Callable[[int], None]  # bytes of an update that were checked


@dataclass
class RoundAudit:
    """The audit of one round: :meth:`start` sends its updates to the workers, :meth:`finish` concludes."""

    evidence: Evidence
    view: RoundView
    metrics: dict[str, HospitalMetrics] = field(default_factory=dict)
    _results: dict[str, Future[BlobResult]] = field(default_factory=dict)
    _never_came: set[str] = field(default_factory=set)
    _sum: SharedSum | None = None
    _started: bool = False

    @property
    def hospitals(self) -> list[str]:
        """Those whose updates are looked at: all that were accepted, or the one that was asked for."""
        asked = self.evidence.scope.hospital
        return [a for a in sorted(self.view.accepted) if asked in ("", a)]

    def start(self) -> None:
        """Have the workers check the updates, unless they do already."""
        if self._started:
            return
        self._started = True
        self._take_list()
        view, evidence = self.view, self.evidence
        if evidence.layout is not None and evidence.opens and not evidence.scope.hospital:
            self._sum = evidence.pool.borrow(evidence.layout.size)
        brought = relays(evidence.ledger, view.number) if view.excluded else {}
        for address in self.hospitals:
            # Where one root records all, the coordinator brought it.
            sender = brought.get(address, evidence.ledger.coordinator)
            if address in view.excluded and self._stayed_away(address, sender):
                self._never_came.add(address)
                continue
            update = view.accepted[address]
            evidence.named.add(update.root)
            task = BlobTask(update.root, min(update.size, _LARGEST), self._opening(address))
            self._results[address] = evidence.pool.submit(task)

    def _take_list(self) -> None:
        """Where the contract holds one root over all submissions, they are in a list in the store."""
        view, ledger = self.view, self.evidence.ledger
        if view.list_root == bytes(32):
            return
        data = self._blob("list of submissions", view.list_root)
        try:
            if data is not None:
                self.view = submission_list.fill(view, data, ledger.domain)
        except FedcxrError as error:
            self._find("list of submissions", "the one under the contract's root", str(error))
        for address in sorted(view.accepted.keys() - self.view.accepted.keys()):
            self._find("list of submissions", "every update that the contract accepted", "not in it", address)

    def finish(
        self,
        base: Vector | None,
        before: Vector | None,
        lines: Mapping[int, object] | None,
        advance: Advance,
    ) -> tuple[Vector | None, bool]:
        """Check everything that the ledger says of the round.

        Args:
            base: the model that the ledger holds as the round's base; None when nothing has it.
            before: the base of the round before; None in the first round, or when nothing has it.
            lines: of ``metrics.jsonl`` by round; None where an audit has none to go by.
            advance: told of each update's bytes.

        Returns:
            The model that the ledger holds as the round's result, None when nothing has it; and whether it
            was computed from the updates.
        """
        view, evidence = self.view, self.evidence
        round_config = self._round_config()
        if round_config is not None:
            self._check_exponents(round_config, base, before)
        total = self._total(advance)
        if total is not None and total.root != view.aggregate_root:
            self._find("aggregate root", view.aggregate_root.hex(), total.root.hex())
        model = None
        if total is not None and base is not None and round_config is not None:
            model = self._model(total, base, round_config)
        del total
        if not evidence.sealed:
            self._check_aggregate()
        if self._sum is not None:
            evidence.pool.give_back(self._sum)
        if lines is not None:
            self._check_line(lines)
        return evidence.model(view.number, view.model_digest, model), model is not None

    def _check_aggregate(self) -> None:
        """Where updates are open, the aggregate's bytes are in the store, for anyone to challenge."""
        root = self.view.aggregate_root
        self.evidence.named.add(root)
        try:
            self.evidence.store.get(root)
        except StoreError as error:
            self._find("aggregate", f"its bytes in the store, under {root.hex()}", str(error))

    def _check_line(self, lines: Mapping[int, object]) -> None:
        view, report = self.view, self.evidence.report
        if view.number not in lines:
            report.unchecked.append(f"round {view.number}: metrics.jsonl has no line of it")
            return
        asked = self.evidence.scope.hospital
        for where, expected, found, hospital in differences(lines[view.number], view, self.metrics):
            if asked in ("", hospital):
                self._find(where, expected, found, hospital)

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
            round_config = RoundConfig.from_bytes(data)
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

    def _opening(self, address: str) -> Opening | None:
        """How an update is opened; None without a key, or a layout to hold it to.

        An update that is in the sum is tried with every key; its header commits it to say the same to each.
        An exclusion is tried with the coordinator's, if it is at hand: it decides.
        """
        evidence, layout = self.evidence, self.evidence.layout
        if layout is None or not evidence.opens:
            return None
        context = EnvelopeContext(
            federation=evidence.ledger.federation.hex(),
            round=self.view.number,
            hospital=address,
            layout=layout.digest.hex(),
        )
        included = address in self.view.included
        keys: tuple[int, ...] | None = None
        if evidence.sealed:
            keys = tuple(range(len(evidence.keys))) if included else (0,)
        name = self._sum.name if included and self._sum is not None else ""
        return Opening(layout, context, self.view.weights[address], keys, name)

    def _total(self, advance: Advance) -> WeightedSum | None:
        """The sum over the included updates; None when it cannot be computed."""
        view, evidence = self.view, self.evidence
        complete = set(view.included) <= set(view.accepted)
        if not complete:
            self._find("included set", "only accepted updates", ", ".join(sorted(view.included)))
        for address in self.hospitals:
            evidence.report.updates += 1
            if address in self._never_came:
                continue
            self._check_metrics(address)
            result = self._results[address].result()
            advance(view.accepted[address].size)
            complete = self._judge(address, result) and complete
        if not complete or self._sum is None or self._sum.values is None or evidence.layout is None:
            return None
        total = WeightedSum(evidence.layout, self._sum.values)
        total.weight = sum(view.weights[address] for address in view.included)
        return total

    def _judge(self, address: str, result: BlobResult) -> bool:
        """What became of an update; whether the sum can still be complete."""
        view, report, included = self.view, self.evidence.report, address in self.view.included
        if result.error:
            self._find("blob", view.accepted[address].root.hex(), result.error, address)
        else:
            report.bytes += result.size
            if result.size != view.accepted[address].size:
                self._find("blob size", str(view.accepted[address].size), str(result.size), address)
        if self._opening(address) is None:
            why = "no key" if self.evidence.layout is not None else "layout.json is not the ledger's"
            said = f"round {view.number}, {address}: what is sealed in its update ({why})"
            report.unchecked.append(said)
            return False
        if result.error:
            return not included
        if not included:
            if address not in view.counted:
                report.notes.append(
                    f"round {view.number}: the committee did not approve of {address}'s update"
                )
            elif not result.refused:
                self._excluded(address)
            return True
        if result.refused:
            why = result.refused
            if not self._decides:
                why += " With the coordinator's key it may: then its hospital sealed it badly to the auditor."
            self._find("sealed update", "one that opens and adds", why, address)
        return not result.refused

    def _excluded(self, address: str) -> None:
        """An update that is left out although it opens and adds."""
        reason = self.view.excluded.get(address) or "no reason given"
        found = "one that opens and adds"
        if not self._decides:
            found += " with the auditor's key: the coordinator lies, or its hospital sealed it badly"
        self._find("excluded update", f"one that cannot be added ({reason})", found, address)

    def _stayed_away(self, address: str, sender: str) -> bool:
        """An update that somebody else than the coordinator submitted, and whose bytes nobody has.

        The coordinator may never have seen them; whether it has, the hospital's word is against its own.
        """
        accepted = self.view.accepted[address]
        if sender == self.evidence.ledger.coordinator or accepted.root in self.evidence.store:
            return False
        self.evidence.named.update((accepted.root, accepted.metrics))
        self.evidence.report.notes.append(
            f"round {self.view.number}: the update of {address} was brought to the contract by {sender}, and "
            f"excluded since its bytes never came ({self.view.excluded[address]})"
        )
        return True

    @property
    def _decides(self) -> bool:
        """Whether what opens here opens for the coordinator, whose word an exclusion is."""
        return (
            not self.evidence.sealed
            or self.evidence.keys[0].public.digest == self.evidence.ledger.coordinator_key_digest
        )

    def _check_metrics(self, address: str) -> None:
        data = self._blob("metrics", self.view.accepted[address].metrics, address)
        if data is None:
            return
        try:
            self.metrics[address] = HospitalMetrics.from_bytes(data)
        except FedcxrError as error:
            self._find("metrics", "what a hospital reports", str(error), address)

    def _blob(self, what: str, root: bytes, hospital: str = "") -> bytes | None:
        """A small blob, which is read here."""
        self.evidence.named.add(root)
        try:
            data = self.evidence.store.get(root).tobytes()
        except StoreError as error:
            self._find(what, root.hex(), str(error), hospital)
            return None
        self.evidence.small[root] = data
        return data

    def _find(self, where: str, expected: str, found: str, hospital: str = "") -> None:
        self.evidence.report.find(where, expected, found, self.view.number, hospital)
