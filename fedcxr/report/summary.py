"""The file ``RUN/summary.md``: a run's results for people, with the commands that check them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from fedcxr import bounded, files, json_text
from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.errors import StoreError
from fedcxr.evaluation.comparison import Comparison, Kind
from fedcxr.evaluation.scores import Evaluation
from fedcxr.masked_rounds.rare_labels import MOVERS
from fedcxr.privacy.secagg.parameters import FEW
from fedcxr.report import markdown
from fedcxr.report.comparison_table import comparison_table, own_table
from fedcxr.report.curves import draw_curves
from fedcxr.report.pictures import picture_title
from fedcxr.report.round_table import round_table
from fedcxr.report.scores import hospital_table, label_table
from fedcxr.report.tables import count, figure
from fedcxr.round_lines import RoundLine, read_rounds
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.training_labels import knowing_hospitals, never_trained

CURVES = "auroc.png"
COMPARISON = Path("baselines", "comparison.json")


def write_comparison(run: RunDirectory, comparison: Comparison) -> Path:
    """Write ``RUN/baselines/comparison.json``, which the next summary shows."""
    path = run.root / COMPARISON
    files.write(path, comparison.to_json() + "\n")
    return path


def read_comparison(run: RunDirectory) -> Comparison | None:
    """Read the comparison that :func:`write_comparison` wrote; None where there is none.

    Raises:
        StoreError: it cannot be read.
        DataError: it is damaged.
    """
    path = run.root / COMPARISON
    try:
        return Comparison.from_json(bounded.read(path, json_text.LONGEST).decode())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from None


def write_summary(run: RunDirectory) -> Path:
    """Write ``summary.md`` and its picture from the run directory's files, after any round.

    Raises:
        StoreError: a file of the run is damaged, or the summary cannot be written.
    """
    config, records, comparison = run.config, read_rounds(run), read_comparison(run)
    history = {record.round: record.evaluation for record in records if record.evaluation}
    sections = [_opening(config, records), _untrained(never_trained(run)), _rare(run, records)]
    if history:
        references = {}
        if comparison and (pooled := comparison.of_kind(Kind.POOLED)[0].evaluation.macro.value) is not None:
            references["pooled"] = pooled
        draw_curves(history, run.root / CURVES, title=picture_title(config), references=references)
        sections.append(_results(history[max(history)], max(history)))
    elif records:
        sections.append("No released model was evaluated: the run has no validation set.\n")
    if comparison:
        sections += ["## Against the baselines\n", comparison_table(comparison).markdown()]
        if (own := own_table(comparison)).rows:
            sections.append(own.markdown())
    if records:
        sections += ["## Rounds\n", round_table(records).markdown(), _exclusions(records)]
    sections.append(_check(run))
    files.write(run.summary_path, "\n".join(section for section in sections if section))
    return run.summary_path


def _opening(config: Config, records: tuple[RoundLine, ...]) -> str:
    lines = [f"# {config.name}\n"]
    if config.data.phantom:
        lines.append("**The images are SYNTHETIC**; the figures say nothing about patients.\n")
    training = config.training
    done, asked = len(records), config.federation.total_rounds
    state = "" if done == asked else " (unfinished: the same command continues it)"
    first = ""
    if before := config.federation.pretrain_rounds:
        epochs = count(training.pretrain_epochs or training.local_epochs, "epoch")
        first = f"; the first {before} without labels, {epochs}"
    last = "; in the last, only BatchNorm's statistics move" if config.federation.calibrate else ""
    facts = [
        f"rounds: {done} of {asked}{state}, {count(training.local_epochs, 'local epoch')} each{first}{last}",
        f"partition of the patients: {config.partition.scheme}",
        f"model: {config.model.name}, {config.data.size} px, seed {config.seed}",
        f"computed on {training.device} in {training.precision}, {training.memory_format}, "
        f"{count(training.threads, 'thread')} a hospital",
        f"configuration digest: `{config.digest().hex()}`",
    ]
    if config.privacy.envelope == "masked":
        facts.append(
            "updates: masked, nobody reads one; with the coordinator may collude "
            f"{config.privacy.colluders:.0%} of the hospitals"
        )
        if (fewest := min((len(record.included) for record in records), default=FEW)) < FEW:
            facts.append(f"**in a sum of {fewest} each sees the sum of the two others**")
    if config.differential_privacy.on:
        facts.append(_spent(config, records))
    if records:
        newest = records[-1]
        facts.append(f"last released model: round {newest.round}, digest {markdown.code(newest.model)}")
        facts.append(f"image passes: {sum(record.passes for record in records):,}, of all hospitals")
    return "\n".join([*lines, *(f"- {fact}" for fact in facts)]) + "\n"


def _spent(config: Config, records: tuple[RoundLine, ...]) -> str:
    """What of the hospitals' patients' privacy has been spent, by what they signed."""
    last = {
        name: hospital.privacy
        for record in records
        for name, hospital in record.hospitals.items()
        if hospital.privacy is not None
    }
    spent = ", ".join(
        f"{markdown.words(name)} {said.get('epsilon', math.nan):.2f} at {said.get('delta', math.nan):.1e}"
        for name, said in sorted(last.items())
    )
    so_far = f"; spent so far: {spent}" if spent else ""
    return (
        "differential privacy by patient, each hospital for its own, with nobody else trusted: epsilon "
        f"{config.differential_privacy.epsilon:g} at most in all rounds{so_far}"
    )


def _untrained(labels: tuple[str, ...]) -> str:
    return never_trained_warning(labels) + "\n" if labels else ""


def _rare(run: RunDirectory, records: tuple[RoundLine, ...]) -> str:
    """Which labels too few hospitals have: withheld, or where updates are masked, not hidden all the same."""
    if run.config.federation.withholds:
        return _withheld(run, records)
    return _moved_by_few(run) if run.config.privacy.envelope == "masked" else ""


def _withheld(run: RunDirectory, records: tuple[RoundLine, ...]) -> str:
    rounds, untrained = Counter(label for record in records for label in record.withheld), never_trained(run)
    named = [
        label if rounds[label] == len(records) else f"{label} ({rounds[label]} of {len(records)} rounds)"
        for label in LABELS
        if label in rounds and label not in untrained  # of which more is said already
    ]
    if not named:
        return ""
    return (
        f"**Withheld: {', '.join(named)}.** So few of a round's hospitals have images that speak of a label "
        "that the sum would not hide them: nobody moves its rows of the model, which stay what they were.\n"
    )


def _moved_by_few(run: RunDirectory) -> str:
    """Which labels' rows so few hospitals can move that their sum does not hide them."""
    known = knowing_hospitals(run)
    if known is None:
        return "Which labels only few hospitals have is not known here: their rows are not hidden in a sum.\n"
    few = [f"{label} ({count(n, 'hospital')})" for label, n in known.items() if 0 < n < MOVERS]
    if not few:
        return ""
    return (
        f"**Not hidden by the masks: {', '.join(few)}.** Only images with a label move its rows of the "
        f"model, and fewer than {MOVERS} hospitals have any: the rows' sum is theirs alone.\n"
    )


def never_trained_warning(labels: tuple[str, ...]) -> str:
    """The sentence on labels that no hospital knew."""
    return (
        f"**Never trained: {', '.join(labels)}.** No training image of any hospital has a known value of "
        "these labels; the model gives them a probability all the same, and it means nothing."
    )


def _results(evaluation: Evaluation, round_number: int) -> str:
    parts = [
        f"## After round {round_number}\n",
        f"Mean AUROC {figure(evaluation.macro)} over {len(evaluation.macro.labels)} labels; "
        f"{figure(evaluation.competition)} over {len(evaluation.competition.labels)} of the five "
        "competition tasks.\n",
        f"![AUROC per round]({CURVES})\n",
        label_table(evaluation).markdown(),
    ]
    if evaluation.hospitals:
        parts.append(hospital_table(evaluation).markdown())
    return "\n".join(parts)


def _exclusions(records: tuple[RoundLine, ...]) -> str:
    lines = [
        f"- round {record.round}, {markdown.words(address)}: {markdown.words(why)}"
        for record in records
        for address, why in record.excluded.items()
    ]
    return (
        "\n".join(["Accepted by the contract and left out of the model:", "", *lines]) + "\n" if lines else ""
    )


def _check(run: RunDirectory) -> str:
    name = run.root
    return (
        "## Check it\n\n"
        f"`fedcxr audit {name}` recomputes every released model from the ledger and the store; "
        f"`fedcxr predict {name} --data ROOT --csv FILE --out P.csv` uses the last one.\n"
    )
