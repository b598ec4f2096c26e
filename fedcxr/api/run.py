"""One run of a federation: simulated, continued, or opened to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.config import Config, load
from fedcxr.errors import FedcxrError
from fedcxr.report.tables import count
from fedcxr.round_lines import read_rounds
from fedcxr.store.pruned import pruned_rounds
from fedcxr.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from pandas import DataFrame

    from fedcxr.api.audit import Audit
    from fedcxr.api.prediction import Predictions, Progress
    from server.events import Event, Observer


@dataclass(frozen=True, repr=False)
class Run:
    """A run directory that exists.

    Attributes:
        root: the directory.
        trusted: whether the program, the endpoint and the store that its configuration names are used.
    """

    root: Path
    trusted: bool = field(default=False, compare=False)

    @property
    def config(self) -> Config:
        """The configuration, with every measurement made."""
        return self._directory.config

    @property
    def last_round(self) -> int:
        """The last round on record; 0 before the first."""
        return self._directory.last_round

    @property
    def complete(self) -> bool:
        """Every round that the configuration asks for is on record."""
        return self.last_round == self.config.federation.total_rounds

    @property
    def pruned(self) -> tuple[int, ...]:
        """Rounds whose updates were removed (``fedcxr store gc``): no audit recomputes their models any more.

        Raises:
            StoreError: the file that says so is damaged.
        """
        return pruned_rounds(self.root)

    def __repr__(self) -> str:
        """Where the run is, and how far it has come."""
        try:
            done = f"{self.last_round} of {count(self.config.federation.total_rounds, 'round')}"
            return f"Run({str(self.root)!r}, {done}, {'complete' if self.complete else 'incomplete'})"
        except FedcxrError:  # it was moved or damaged since: whatever reads it says how
            return f"Run({str(self.root)!r}, not readable)"

    def rounds(self) -> DataFrame:
        """The finalized rounds: a row a round, which is the index.

        Columns: ``model`` (hex digest), ``seconds`` with its parts ``ledger_seconds`` and ``verify_seconds``,
        ``bytes_up``, ``bytes_down``, ``gas``, ``included`` and ``excluded`` (hospitals), ``auroc`` with
        ``low`` and ``high`` (the mean over all labels that are defined), ``competition_auroc``. What nobody
        measured is NaN.

        Raises:
            StoreError: a line of ``metrics.jsonl`` is not a round's.
        """
        from pandas import DataFrame, Index

        rows, numbers = [], []
        for line in read_rounds(self._directory):
            found = line.evaluation
            numbers.append(line.round)
            rows.append(
                {
                    "model": line.model,
                    "seconds": line.seconds,
                    "ledger_seconds": line.ledger_seconds,
                    "verify_seconds": line.verify_seconds,
                    "bytes_up": line.bytes_up,
                    "bytes_down": line.bytes_down,
                    "gas": None if line.gas is None else sum(line.gas.values()),
                    "included": len(line.included),
                    "excluded": len(line.excluded),
                    "auroc": found and found.macro.value,
                    "low": found and found.macro.low,
                    "high": found and found.macro.high,
                    "competition_auroc": found and found.competition.value,
                }
            )
        return DataFrame(rows, Index(numbers, name="round"), columns=_ROUND_COLUMNS)

    def hospitals(self) -> DataFrame:
        """What each hospital signed of its training: a row a round and hospital, which are the index.

        Columns: ``address``, ``included`` (whether its update is in the model), ``images``, ``passes``,
        ``steps``, ``seconds``, ``protect_seconds``, ``loss``, ``saturated``, and ``loss.TERM`` for each term
        of the objective.

        Raises:
            StoreError: a line of ``metrics.jsonl`` is not a round's.
        """
        from pandas import DataFrame, MultiIndex

        rows, index = [], []
        for line in read_rounds(self._directory):
            for name, hospital in line.hospitals.items():
                index.append((line.round, name))
                figures = {figure: getattr(hospital, figure) for figure in _HOSPITAL_FIGURES}
                terms = {f"loss.{term}": value for term, value in hospital.terms.items()}
                included = hospital.address in line.included
                rows.append({"address": hospital.address, "included": included, **figures, **terms})
        columns = None if rows else ["address", "included", *_HOSPITAL_FIGURES]
        named = MultiIndex.from_tuples(index, names=["round", "hospital"]) if index else None
        return DataFrame(rows, named, columns=columns)

    def metrics(self) -> DataFrame:
        """The scores of every released model: a row a round, a set of validation patients, and a label.

        Columns: ``round``, ``hospital`` (whose validation patients; "all" for everybody's), ``label``,
        ``auroc`` with its 95 % interval ``low`` to ``high`` (NaN where it is undefined), ``positives`` and
        ``negatives`` (studies).

        Raises:
            StoreError: a line of ``metrics.jsonl`` is not a round's.
        """
        from pandas import DataFrame

        rows = []
        for line in read_rounds(self._directory):
            if line.evaluation is None:
                continue
            for hospital, scores in {"all": line.evaluation, **line.evaluation.hospitals}.items():
                for score in scores.labels:
                    figures = (score.value, score.low, score.high, score.positives, score.negatives)
                    rows.append((line.round, hospital, score.label, *figures))
        frame = DataFrame(rows, columns=_METRIC_COLUMNS)
        return frame.astype(dict.fromkeys(("auroc", "low", "high"), float))

    def resume(self, *, observer: Observer | None = None, progress: Progress | None = None) -> Run:
        """Carry the run to its end in this process; a complete one is left as it is.

        Args:
            observer: as :func:`simulate` has it.
            progress: as :func:`simulate` has it.

        Raises:
            FedcxrError: what ended it; the same call continues.
        """
        return simulate(self.config, self.root, observer=observer, progress=progress)

    def audit(
        self,
        *,
        key: str | Path | None = None,
        journals: Iterable[str | Path] = (),
        rounds: str = "",
        hospital: str = "",
        progress: Progress | None = None,
        since: str = "",
        state: str = "",
    ) -> Audit:
        """Recompute the run from its own chain and store, and say what is not as it must be.

        Args:
            key: key file of the coordinator or auditor; None for those in the run's ``keys/``.
            journals: ``journal.jsonl`` of hospitals, to hold against the ledger.
            rounds: only these, as in ``3-7``, or one; empty for all.
            hospital: only this hospital's updates, by ledger address; empty for all.
            progress: told of blocks, and of bytes of updates.
            since: an earlier audit, whose chain this one has to contain: a head's hash, or an export.
            state: folder in which audits are remembered; ``off`` for none, and empty for the usual one.

        Raises:
            ConfigError: ``rounds``, ``hospital`` or ``since`` is none.
            LedgerError: the run has no ledger.
            StoreError: a journal, ``key`` or what earlier audits kept cannot be read.
            EnvelopeError: no key is the coordinator's or the auditor's of this federation.
        """
        from fedcxr.api.audit import audit
        from fedcxr.api.audit_memory import memory_of
        from fedcxr.audit.scope import Scope

        return audit(
            self._directory,
            key=None if key is None else Path(key),
            journals=[Path(journal) for journal in journals],
            scope=Scope.parse(rounds, hospital),
            memory=memory_of(self._directory, state=state, since=since),
            progress=progress or _pass_over,
        )

    def predict(
        self,
        images: str | Path | Iterable[str | Path],
        *,
        data: str | Path | None = None,
        round: int | None = None,  # noqa: A002 (the command line's word)
        hospital: str | Path | None = None,
        cache: str | Path | None = None,
        overrides: Iterable[str] | Mapping[str, object] = (),
        progress: Progress | None = None,
    ) -> Predictions:
        """Predict with a released model; a study's probability is the highest of its views.

        Args:
            images: a CSV, of which the column Path alone is read; or the path of a JPEG or PNG image, or
                several such paths: each image is then a row of its own.
            data: the data set's folder, or the one that holds it: a CSV needs it. Images that are not found
                as they stand are looked for there.
            round: the model's; None for the last.
            hospital: the directory of a hospital whose own normalisation is used (``model.norm = "local"``).
            cache: a folder that keeps the decoded images; None throws them away.
            overrides: keys of ``training`` and ``evaluation``, as :func:`fedcxr.load_config` takes them.
            progress: told of ``decode`` and ``predict``, in images.

        Raises:
            StoreError: there is no such model, or its file is not the one on record.
            ConfigError: a key cannot be set here, ``hospital`` is missing or of no use, or a CSV is given
                without ``data``.
            DataError: the CSV or an image cannot be read, or is not there.
        """
        from fedcxr.api.prediction import predict

        return predict(
            self._directory,
            data=None if data is None else Path(data),
            csv=Path(images) if isinstance(images, str | Path) else [Path(image) for image in images],
            round_number=round,
            hospital=None if hospital is None else Path(hospital),
            cache=None if cache is None else Path(cache),
            overrides=overrides,
            progress=progress,
        )

    @property
    def _directory(self) -> RunDirectory:
        return RunDirectory(self.root, self.trusted)


def open_run(root: str | Path, *, trust_run: bool = False) -> Run:
    """A run that exists, to read, to audit, to predict with, or to continue.

    Args:
        root: the run directory.
        trust_run: use the program, the endpoint and the store that the run's configuration names, with your
            keys and variables; only for runs of people whom you trust.

    Raises:
        StoreError: there is none.
    """
    return Run(RunDirectory.open(Path(root)).root, trust_run)


def simulate(
    config: Config | str | Path,
    out: str | Path,
    *,
    workers: int = 1,
    observer: Observer | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a federation of simulated hospitals on this machine.

    An unfinished run of the same configuration at ``out`` is continued; a complete one is left as it is.
    Nothing is printed; the run's log is ``run.log``.

    Args:
        config: what to run, or the TOML file that says it.
        out: the run directory.
        workers: hospitals that train at once, each in a process of its own; with one, they train in this
            process, one after the other. The model is the same.
        observer: called with each event of :mod:`server.events`: a hospital's answer, a finalized round.
        progress: told of what comes before the first round: what, done, total.

    Raises:
        FedcxrError: what ended it; the same call continues.
    """
    from server.grids import simulation

    if not isinstance(config, Config):
        config = load(config)
    carry = partial(simulation.on_local_grid, observer=observer or _ignore, workers=workers)
    return Run(simulation.simulate(config, Path(out), carry, progress or _pass_over).root, trusted=True)


def _ignore(event: Event) -> None:
    del event


def _pass_over(what: str, done: int, total: int) -> None:
    del what, done, total


_ROUND_COLUMNS = [
    "model",
    "seconds",
    "ledger_seconds",
    "verify_seconds",
    "bytes_up",
    "bytes_down",
    "gas",
    "included",
    "excluded",
    "auroc",
    "low",
    "high",
    "competition_auroc",
]
_HOSPITAL_FIGURES = ("images", "passes", "steps", "seconds", "protect_seconds", "loss", "saturated")
_METRIC_COLUMNS = ["round", "hospital", "label", "auroc", "low", "high", "positives", "negatives"]
