"""One finalized round against the ledger: its blobs, its sum, its model file and its line of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.aggregation.kinds import aggregator_of
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.masked_round import MaskedRound
from fedcxr.audit.metrics_line import differences, seeds_named
from fedcxr.audit.rare_labels import check_rare_labels, check_withheld_rows
from fedcxr.audit.round_configuration import disagreements
from fedcxr.audit.round_updates import Advance, RoundUpdates
from fedcxr.errors import EnvelopeError, FedcxrError, LayoutError, StoreError
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.masked_rounds.rare_labels import withheld_names
from fedcxr.privacy.open import plain_vector
from fedcxr.round_lines import FaultyLine, RoundLine
from fedcxr.update import model_file
from fedcxr.update.layout import Vector
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import LONGEST, RoundConfig


@dataclass
class RoundAudit:
    """The audit of one round: :meth:`start` sends its updates to the workers, :meth:`finish` concludes."""

    evidence: Evidence
    view: RoundView
    _updates: RoundUpdates | None = None
    _masked: MaskedRound | None = None  # where updates are masked

    def start(self) -> RoundUpdates:
        """Have the workers check the updates, unless they do already."""
        if self._updates is None:
            self._take_list()
            if self.evidence.protection.unmasks:
                self._masked = MaskedRound.of(self.evidence, self.view)
            masks = b"" if self._masked is None else self._masked.attempt.context
            self._updates = RoundUpdates(self.evidence, self.view, masks)
            self._updates.start()
        return self._updates

    def _take_list(self) -> None:
        """Where the contract holds one root over all submissions, they are in a list in the store."""
        view, ledger = self.view, self.evidence.ledger
        if not view.listed:
            return
        data = self._blob("list of submissions", view.list_root, submission_list.LONGEST)
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
        lines: Mapping[int, RoundLine | FaultyLine] | None,
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
        updates = self.start()
        view, evidence = self.view, self.evidence
        round_config = self._round_config()
        if round_config is not None:
            self._check_exponents(round_config, base, before)
            check_rare_labels(evidence, view, round_config)
        total = updates.total(advance)
        if self._masked is not None:
            total = self._masked.finish(total, updates.headers, seeds_named(lines, view.number))
        summed = total is not None
        if total is None and updates.removed and evidence.protection.challengeable:
            total = self._claimed()
        if total is not None and total.root != view.aggregate_root:
            self._find("aggregate root", view.aggregate_root.hex(), total.root.hex())
        if total is not None and round_config is not None:
            check_withheld_rows(evidence, view.number, total, round_config)
        model = None
        if total is not None and base is not None and round_config is not None:
            model = self._model(total, base, round_config)
        del total  # before the buffer that it adds into is lent to the next round
        updates.close()
        evidence.claims.take(view.number, updates.metrics)
        masked = evidence.protection.unmasks and evidence.ledger.court_has("challengeMasked")
        if evidence.protection.challengeable or masked:
            self._check_aggregate()
        if lines is not None:
            self._check_line(lines, updates.metrics, round_config)
        return evidence.model(view.number, view.model_digest, model), summed and model is not None

    def _claimed(self) -> Aggregator | None:
        """The sum as the ledger has it, where its updates were removed and it is in the store in the clear.

        What follows from it is not what hospitals sent; but a model that does not follow from it is found.
        """
        view, layout, longest = self.view, self.evidence.layout, self.evidence.longest_update
        if layout is None:
            return None
        try:
            vector = plain_vector(self.evidence.store.get(view.aggregate_root, longest))
            layout.check(vector)
        except (StoreError, EnvelopeError, LayoutError):
            return None  # a finding of :meth:`_check_aggregate`, or of whoever challenges the round
        total = aggregator_of(layout, vector)
        total.weight = sum(view.weights[address] for address in view.included)
        return total

    def _check_aggregate(self) -> None:
        """Where the court hears of sums, the aggregate's bytes are in the store, for anyone to challenge."""
        root = self.view.aggregate_root
        self.evidence.named.add(root)
        try:
            self.evidence.store.get(root, self.evidence.longest_update)
        except StoreError as error:
            self._find("aggregate", f"its bytes in the store, under {root.hex()}", str(error))

    def _check_line(
        self,
        lines: Mapping[int, RoundLine | FaultyLine],
        metrics: Mapping[str, HospitalMetrics],
        round_config: RoundConfig | None,
    ) -> None:
        view, report = self.view, self.evidence.report
        if view.number not in lines:
            report.unchecked.append(f"round {view.number}: metrics.jsonl has no line of it")
            return
        asked = self.evidence.scope.hospital
        withheld = None if round_config is None else withheld_names(round_config)
        for where, expected, found, hospital in differences(lines[view.number], view, metrics, withheld):
            if asked in ("", hospital):
                self._find(where, expected, found, hospital)

    def _model(self, total: Aggregator, base: Vector, round_config: RoundConfig) -> Vector | None:
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
        data = self._blob("round configuration", view.config_digest, LONGEST)
        if data is None:
            return None
        try:
            round_config = RoundConfig.from_bytes(data)
        except LayoutError as error:
            self._find("round configuration", "one that can be read", str(error))
            return None
        for what, expected, found in disagreements(round_config, view.number, ledger):
            self._find(f"round configuration's {what}", expected, found)
        self.evidence.partitions.add(round_config.partition)
        return round_config

    def _check_exponents(self, round_config: RoundConfig, base: Vector | None, before: Vector | None) -> None:
        """They follow from two models: a coordinator free to choose could clip or coarsen the updates."""
        layout, number = self.evidence.layout, self.view.number
        if layout is None or base is None or (before is None and number > 1):
            why = "the models before it are not at hand"
            self.evidence.report.unchecked.append(f"round {number}: its exponents ({why})")
            return
        moved = None if before is None else base - before
        by_form = [form.exponents(layout, base, moved) for form in self.evidence.protection.forms]
        if round_config.exponents not in by_form:
            self._find("round configuration's exponents", str(by_form[0]), str(round_config.exponents))

    def _blob(self, what: str, root: bytes, longest: int) -> bytes | None:
        return self.evidence.read_small(what, root, longest, self.view.number)

    def _find(self, where: str, expected: str, found: str, hospital: str = "") -> None:
        self.evidence.report.find(where, expected, found, self.view.number, hospital)
