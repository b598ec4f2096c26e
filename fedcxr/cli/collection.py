"""What ``fedcxr store gc`` does and says, once it is decided what may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fedcxr.api.pruning import pruned_of
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.kinds import protection_named
from fedcxr.report.tables import count
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store import garbage
from fedcxr.store.garbage import Attempts, Waste
from fedcxr.store.run_directory import RunDirectory
from fedcxr.terminal.console import Console


@dataclass(frozen=True)
class Collection:
    """One collection of garbage.

    Attributes:
        directory: of the run.
        dry_run: whether nothing is removed.
        alone: whether the reader states that no other run keeps blobs in ``store.url``.
    """

    directory: RunDirectory
    dry_run: bool
    alone: bool

    def run(self, *, before: int | None, statement: str) -> None:
        """Remove what may go.

        What goes of finalized rounds is on record before the first file is gone, so that a run whose removal
        was cut short never looks like one that lost something.

        Args:
            before: the updates of finalized rounds below this one go too; None for those of all rounds.
            statement: hex SHA-256 of the audit that was kept of them; empty where there is none.
        """
        blobs = self.directory.blob_store()
        with reading_ledger(self.directory) as ledger:
            attempts = garbage.read_attempts(ledger, blobs)
            asked = [n for n in sorted(attempts.kept) if before is None or n < before]
            pinned = [n for n in asked if garbage.disputable(ledger, n, unmasks=self._unmasks)]
            going = [n for n in asked if n not in pinned]
            waste = garbage.find_waste(
                self.directory,
                blobs,
                attempts,
                pruned=going,
                alone=self.alone or not self.directory.config.store.url,
            )
            if going and not self.dry_run:
                self._put_on_record(ledger, going, statement)
            for thing in waste:
                Console().say(f"{thing.name}  {thing.size:,} bytes, {thing.why}")
                if not self.dry_run:
                    garbage.remove(self.directory, blobs, thing)
        self._say(attempts, pinned, going, before or 1, waste)

    @property
    def _unmasks(self) -> bool:
        """Whether the run's updates are masked."""
        return protection_named(self.directory.config.privacy.envelope).unmasks

    def _put_on_record(self, ledger: FederationViews, rounds: Sequence[int], statement: str) -> None:
        said = pruned_of(self.directory, ledger)
        said.with_rounds(rounds, statement or said.statement).write(self.directory.root)

    def _say(
        self,
        attempts: Attempts,
        pinned: Sequence[int],
        going: Sequence[int],
        before: int,
        waste: Sequence[Waste],
    ) -> None:
        console = Console()
        if pinned:
            said = f"{count(len(pinned), 'round')} before {before} can still be challenged: kept."
            console.say((said, "yellow"))
        if going and self._unmasks:
            console.say(
                "the seeds of masked rounds stay, with what hospitals signed: which set each answered for is "
                "still checked. Whether the seeds are those that were committed to, and the sums, nobody can "
                "check any more."
            )
        if attempts.current:
            console.say(("a round is open: blobs that the ledger does not name yet are kept.", "yellow"))
        by_why = Counter(thing.why for thing in waste)
        told = "; ".join(f"{number} {why}" for why, number in sorted(by_why.items()))
        verb = "would be removed" if self.dry_run else "removed"
        console.say(f"{sum(t.size for t in waste):,} bytes {verb}" + (f": {told}" if told else ""))
