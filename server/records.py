"""The lines of ``metrics.jsonl`` as the coordinator writes them, also those that one before it owed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from fedcxr.evaluation.scores import Evaluation
from fedcxr.ledger.protocol import Ledger, RoundView
from fedcxr.masked_rounds.rare_labels import withheld_names
from fedcxr.round_lines import HospitalLine, RoundLine, write_round
from fedcxr.run.stored_metrics import all_stored_metrics
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.submissions import with_submissions
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import LONGEST, RoundConfig
from server.masked_round import kept_seeds_root
from server.registration import HospitalNode
from server.round import Round

logger = logging.getLogger(__name__)


class RoundRecords:
    """Puts finalized rounds on record."""

    def __init__(self, run: RunDirectory, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._store = run.blob_store()
        self._gas: Counter[str] = Counter()  # on record already

    def write(
        self,
        current: Round,
        digest: bytes,
        seconds: float,
        evaluation: Evaluation | None,
        members: Mapping[str, HospitalNode],
    ) -> RoundLine:
        """Put a round on record that has just been finalized.

        Args:
            current: the round.
            digest: of its model.
            seconds: that it took, without evaluation.
            evaluation: of the model.
            members: of the federation, by address.

        Raises:
            StoreError: it cannot be written.
        """
        gas = dict(Counter(self._ledger.gas_used) - self._gas)
        self._gas = Counter(self._ledger.gas_used)
        parts = current.cost.time.parts
        asked = current.view.participants  # a key that was rotated in mid-round is no participant's any more
        metrics = {address: of for address, of in current.metrics.items() if address in asked}
        line = RoundLine(
            round=current.view.number,
            model=digest.hex(),
            seconds=seconds,
            ledger_seconds=parts.get("ledger", 0.0),
            verify_seconds=parts.get("verifying", 0.0),
            parts=parts,
            work=dict(current.cost.work),
            bytes_up=current.cost.bytes_up,
            bytes_down=current.cost.bytes_down,
            gas=gas,
            included=tuple(sorted(current.tally.included)),
            excluded=current.tally.excluded,
            hospitals=_entries(metrics, members),
            evaluation=evaluation,
            seeds="" if current.masked is None else current.masked.seeds_root.hex(),
            withheld=withheld_names(current.config),
        )
        write_round(self._run, line)
        return line

    def complete(
        self, last: int, members: Mapping[str, HospitalNode], score: Callable[[int], Evaluation | None]
    ) -> None:
        """Write the lines that a coordinator before this one did not live to write; their cost is unknown.

        Args:
            last: round that is finalized.
            members: of the federation, by address.
            score: evaluates the model of a round, where that is there and there is something to evaluate on.

        Raises:
            StoreError: one cannot be written.
        """
        for number in sorted(set(range(1, last + 1)) - self._run.metrics.rounds):
            view = with_submissions(self._ledger.round(number), self._store, self._ledger.domain)
            line = RoundLine(
                round=number,
                model=view.model_digest.hex(),
                included=tuple(sorted(view.included)),
                excluded=view.excluded,
                hospitals=_entries(all_stored_metrics(self._store, view.accepted), members),
                evaluation=score(number),
                seeds=kept_seeds_root(self._run.unmasking_path, number),
                withheld=self._withheld(view),
            )
            write_round(self._run, line)
            logger.info("round %d was finalized, but not on record: its line is written now", number)

    def _withheld(self, view: RoundView) -> tuple[str, ...]:
        """The names of the labels that a finalized round withheld, by its configuration in the store."""
        if not self._run.config.federation.withholds:
            return ()
        config = self._store.get(view.config_digest, LONGEST).tobytes()
        return withheld_names(RoundConfig.from_bytes(config))


def _entries(
    metrics: Mapping[str, HospitalMetrics], members: Mapping[str, HospitalNode]
) -> dict[str, HospitalLine]:
    """What a round's line says of hospitals, by name; one that did not come back goes by its address."""
    return {
        members[address].name if address in members else address: HospitalLine.of(address, one)
        for address, one in sorted(metrics.items())
    }
