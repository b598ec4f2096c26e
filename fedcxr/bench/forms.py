"""What each form of an update takes, on the updates of a run: bytes, and seconds to protect and to read.

The updates are those that hospitals sent in that run, opened with the run's own key: how many bits integers
need depends on what was trained, and noise would tell nothing of it. A form with other exponents than the
run's gets the same deltas in its own steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.kinds import protection_recorded
from fedcxr.privacy.protection import UpdateContext
from fedcxr.privacy.sealed import Sealed
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.seeds import derive_seed
from fedcxr.store.blobs import BlobStore
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.submissions import with_submissions
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Form
from fedcxr.update.forms.kinds import FORMS, form_named
from fedcxr.update.kept_memory import MEMORY
from fedcxr.update.layout import Layout


@dataclass(frozen=True)
class FormCost:
    """A form over the updates of one round; means of all of them.

    Attributes:
        round: 1-based.
        form: its name.
        updates: how many.
        values: of each.
        megabytes: of an update's blob.
        ratio: of its bytes to the plain form's.
        encode_seconds: of a processor, from a delta to the integers.
        protect_seconds: from the integers to a sealed blob and its root.
        read_seconds: from a blob to its root and to what is added.
    """

    round: int
    form: str
    updates: int
    values: int
    megabytes: float
    ratio: float
    encode_seconds: float
    protect_seconds: float
    read_seconds: float


def bench_forms(run: RunDirectory, rounds: Sequence[int] = ()) -> list[FormCost]:
    """Measure every form on the updates of a run.

    Args:
        run: one that is not going on, with its coordinator's key.
        rounds: to look at; empty for all that are finalized.

    Raises:
        StoreError, EnvelopeError: an update is not there, or cannot be opened.
        ChainError: the chain cannot be read.
    """
    layout, store = run.read_layout(), run.blob_store()
    costs = []
    with reading_ledger(run) as ledger:
        for number in rounds or range(1, ledger.last_finalized + 1):
            view = with_submissions(ledger.round(number), store, ledger.domain)
            updates = list(_updates(run, ledger, store, layout, view))
            costs += [_cost(form, number, layout, updates) for form in FORMS.values()]
    return costs


def as_json(costs: Sequence[FormCost]) -> str:
    """The figures for machines."""
    return json.dumps([asdict(cost) for cost in costs], indent=2)


def _updates(
    run: RunDirectory, ledger: FederationViews, store: BlobStore, layout: Layout, view: RoundView
) -> Iterator[tuple[Ring, int]]:
    """The updates in a round's sum, each with its weight."""
    protection = protection_recorded(ledger.open_updates, run.config.federation.update_form)
    key = Identity.load(run.keys / "coordinator.json").envelope_key
    (reader,) = protection.readers([key])
    for address in view.included:
        weight = view.weights[address]
        context = UpdateContext(
            ledger.federation.hex(), view.number, address, layout.digest.hex(), layout.size, weight
        )
        blob = store.get(view.accepted[address].root, protection.longest(layout.size))
        yield reader.read(blob, context).copy(), weight


def _cost(form: Form, number: int, layout: Layout, updates: Sequence[tuple[Ring, int]]) -> FormCost:
    plain = form_named("plain")
    # A step of the form in steps of the run's: its exponents are so much lower.
    steps = [form.limit.bit_length() - plain.limit.bit_length()] * len(layout.tensors)
    sizes, times, kind, key = [], [], Sealed().of(form), EnvelopePrivateKey.generate("X25519")
    (reader,) = kind.readers([key])
    for update, weight in updates:
        context = UpdateContext("00" * 32, number, "", layout.digest.hex(), layout.size, weight)
        delta = (update.view(np.int32) // np.int32(weight)).astype(np.float32)
        seed = derive_seed(0, "bench", number, weight)
        started = [time.process_time()]
        integers, _ = form.encode(delta, layout, steps, weight, seed)
        started.append(time.process_time())
        blob = kind.protect(integers, context, [key.public])
        merkle.root(blob)
        started.append(time.process_time())
        merkle.root(blob)
        reader.read(blob, context, MEMORY.vector(layout.size))
        started.append(time.process_time())
        sizes.append(len(blob))
        times.append(np.diff(started))
    encode, protect, read = np.mean(times, axis=0).tolist()
    return FormCost(
        round=number,
        form=form.name,
        updates=len(updates),
        values=layout.size,
        megabytes=float(np.mean(sizes)) / 1e6,
        ratio=float(np.mean(sizes)) / plain.longest(layout.size),
        encode_seconds=encode,
        protect_seconds=protect,
        read_seconds=read,
    )
