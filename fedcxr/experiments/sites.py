"""The table of leaving one site out: scores on the site that a model never saw, and on those it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedcxr import bounded, files, json_text
from fedcxr.errors import DataError
from fedcxr.evaluation.scores import Evaluation, explain
from fedcxr.report.scores import bootstrap_note
from fedcxr.report.tables import Table, figure


@dataclass(frozen=True)
class SiteResult:
    """The scores of one model that was trained without one site.

    Attributes:
        unseen: the model on all studies of the site.
        seen: the same model on the validation studies of the sites that it was trained on.
        model: digest of the released model, hex.
    """

    unseen: Evaluation
    seen: Evaluation
    model: str


def write_result(result: SiteResult, path: Path) -> None:
    """Write a result as JSON; raises StoreError where it cannot be."""
    files.write(path, _ADAPTER.dump_json(result, indent=1).decode() + "\n")


def read_result(path: Path) -> SiteResult:
    """Read :func:`write_result` back.

    Raises:
        DataError: it is no result; names the field.
    """
    try:
        return _ADAPTER.validate_json(bounded.read(path, json_text.LONGEST))
    except ValidationError as error:
        raise DataError(f"{path}: not a site's result: {explain(error)}; remove it to score again.") from None


def site_table(results: Mapping[str, SiteResult], *, title: str) -> Table:
    """The table of sites left out, a row each."""
    rows = [
        (
            site,
            f"{found.unseen.studies:,}",
            f"{figure(found.unseen.macro)} ({len(found.unseen.macro.labels)})",
            f"{figure(found.unseen.competition)} ({len(found.unseen.competition.labels)})",
            f"{figure(found.seen.macro)} ({len(found.seen.macro.labels)})",
            found.model[:12],
        )
        for site, found in results.items()
    ]
    notes = [
        "Each model is trained by all other sites and scored on all studies of the site that none of them "
        "holds. In brackets: over how many labels a mean goes; sites differ in which have both classes, so "
        "columns are not to be subtracted."
    ]
    if results:
        notes.append(_interval_note(results))
    return Table(
        title=title,
        header=(
            "site left out",
            "studies",
            "unseen: mean AUROC",
            "unseen: five tasks",
            "seen sites: mean AUROC",
            "model",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _interval_note(results: Mapping[str, SiteResult]) -> str:
    named = [
        (f"{site}'s {what}", score)
        for site, found in results.items()
        for what, score in (
            ("unseen mean", found.unseen.macro),
            ("unseen five", found.unseen.competition),
            ("seen mean", found.seen.macro),
        )
    ]
    return bootstrap_note(next(iter(results.values())).unseen.bootstrap, named)


_ADAPTER = TypeAdapter(SiteResult)
