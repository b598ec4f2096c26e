"""The lines of ``metrics.jsonl``: what became of each finalized round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fedcxr.errors import FederationError, StoreError
from fedcxr.evaluation.scores import Evaluation
from fedcxr.ledger.protocol import AcceptedUpdate
from fedcxr.store.blobs import BlobStore
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics


def round_line(
    number: int,
    model: bytes,
    *,
    included: Sequence[str],
    excluded: Mapping[str, str],
    metrics: Mapping[str, HospitalMetrics],
    names: Mapping[str, str],
    evaluation: Evaluation | None,
    cost: Mapping[str, Any],
) -> dict[str, Any]:
    """One round's line.

    Args:
        number: of the round.
        model: digest of the released model.
        included, excluded: addresses.
        metrics: of the hospitals that sent some, by address.
        names: of the hospitals, by address; one that is not there goes by its address.
        evaluation: None when there is nothing to evaluate on.
        cost: the fields about time, bytes and gas; None in them where nobody measured.
    """
    return {
        "round": number,
        "model": model.hex(),
        **cost,
        "included": sorted(included),
        "excluded": dict(excluded),
        "hospitals": {names.get(a, a): {"address": a, **asdict(m)} for a, m in sorted(metrics.items())},
        "evaluation": None if evaluation is None else evaluation.to_dict(),
    }


def write_line(run: RunDirectory, line: Mapping[str, Any]) -> None:
    """Put a round's line in its place; what a resumed run repeats, it replaces."""
    lines = {int(earlier["round"]): earlier for earlier in run.read_metrics()}
    if sorted(lines) == list(range(1, line["round"])):
        run.append_metrics(line)
    else:
        lines[line["round"]] = dict(line)
        run.rewrite_metrics(lines[number] for number in sorted(lines))


def stored_metrics(store: BlobStore, update: AcceptedUpdate) -> HospitalMetrics:
    """The metrics behind an accepted update.

    Raises:
        StoreError: the store does not have them.
        FederationError: they are none.
    """
    return HospitalMetrics.from_bytes(store.get(update.metrics).tobytes())


def all_stored_metrics(
    store: BlobStore, accepted: Mapping[str, AcceptedUpdate]
) -> dict[str, HospitalMetrics]:
    """The metrics of a round's accepted updates, as far as they can be read."""
    found = {}
    for address, update in accepted.items():
        try:
            found[address] = stored_metrics(store, update)
        except (StoreError, FederationError):
            continue  # the audit names it
    return found
