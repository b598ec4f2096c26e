"""The garbage of a run's store: files that nothing needs, found and removed on request only.

A killed process leaves temporary files, and blobs that never came to the contract; an aborted attempt
leaves blobs that count for nothing. All else is evidence: without the updates of a finalized round nobody can
recompute its model, nor challenge it. They alone may be asked to go, and only those that are in the sum: what
was accepted and left out stays, since that is what somebody may still have to be shown, and so do the small
blobs, by which the audit proves everything else, the published seeds of masked rounds among them.
``fedcxr.store.pruned`` is what the run says of it then.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcxr import bounded, files, json_text
from fedcxr.errors import StoreError
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.views import FederationViews
from fedcxr.store.blobs import BlobStore
from fedcxr.store.configuration import get_configuration
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.submissions import listed_submissions, with_submissions
from fedcxr.update.layout import LONGEST, Layout

Why = Literal[
    "half written", "unnamed by the ledger", "of an aborted attempt", "of an update in a released sum"
]

_ROOT = re.compile(r"[0-9a-f]{64}")
_LONGEST_KEPT = 8 << 20  # bytes of a masked round's answers, as of its published seeds


@dataclass(frozen=True)
class Waste:
    """One file that may be removed, and why.

    Attributes:
        name: of a blob within the store, or of a file within the run.
        size: bytes.
        why: it is not needed.
        blob: whether it is in the store.
    """

    name: str
    size: int
    why: Why
    blob: bool


@dataclass(frozen=True)
class Attempts:
    """The roots of blobs that the ledger names, by the outcome of the attempt that they belong to.

    Attributes:
        founding: what the federation was founded on: configuration, layout and first model, with
            what no round trains and the pretrained weights.
        kept: of finalized rounds, by round.
        updates: of these, those of updates in the sum, by round.
        current: of the attempt that is in progress.
        aborted: of attempts that were given up.
    """

    founding: frozenset[bytes]
    kept: Mapping[int, frozenset[bytes]]
    updates: Mapping[int, frozenset[bytes]]
    current: frozenset[bytes]
    aborted: frozenset[bytes]


def disputable(ledger: FederationViews, round_number: int, *, unmasks: bool) -> bool:
    """Whether the court may still have to be shown a finalized round's updates; then they must stay.

    It hears no challenge of a sum of sealed updates, nor of masked ones where it is of an earlier fedcxr; a
    dispute of one root takes the list of submissions, which always stays.

    Args:
        ledger: the contract.
        round_number: of the round.
        unmasks: whether the federation's updates are masked.
    """
    heard = ledger.open_updates or (unmasks and ledger.court_has("challengeMasked"))
    return heard and DisputeCourt(ledger.w3, ledger.court).disputable(result_of(ledger, round_number))


def find_waste(
    run: RunDirectory,
    store: BlobStore,
    attempts: Attempts,
    *,
    pruned: Collection[int] = (),
    alone: bool = True,
) -> list[Waste]:
    """Find all files of the run and its store that may be removed.

    Args:
        run: the run.
        store: its blobs.
        attempts: what the ledger names, by :func:`read_attempts`.
        pruned: finalized rounds whose updates are not wanted any more.
        alone: whether the store serves this run only; else what this ledger does not name may be another's.

    Raises:
        StoreError: the store cannot be listed, or what names the seeds of masked rounds cannot be read.
    """
    old = frozenset[bytes]().union(*(attempts.updates.get(n, frozenset()) for n in pruned))
    keep = (attempts.founding | attempts.current | _published_seeds(run)).union(
        *(roots - attempts.updates[n] if n in pruned else roots for n, roots in attempts.kept.items())
    )
    waste = []
    for name, size in store.sizes().items():
        why = _why(name, keep, old, attempts, alone=alone)
        if why:
            waste.append(Waste(name, size, why, blob=True))
    inside = run.root / "blobs"
    for path in sorted(run.root.rglob(f"*{files.TEMPORARY}")):
        if path.is_file() and inside not in path.parents:
            name = path.relative_to(run.root).as_posix()
            waste.append(Waste(name, path.stat().st_size, "half written", blob=False))
    return waste


def remove(run: RunDirectory, store: BlobStore, waste: Waste) -> None:
    """Remove one thing; that it is gone already is no error.

    Raises:
        StoreError: it cannot be removed.
    """
    if waste.blob:
        store.remove(waste.name)
        return
    path = run.root / waste.name
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise files.unwritable(path, error) from None


def read_attempts(ledger: FederationViews, store: BlobStore) -> Attempts:
    """Read which blobs the ledger names, attempt by attempt.

    Every 32 bytes of an event may be a blob's name: which are is decided by the store, so that a new event
    of the contract's cannot make this forget one. Where one root records a round, its list in the store says
    the rest.

    Raises:
        ChainError: the chain cannot be read.
        StoreError, LayoutError, FederationError: the layout, or a list that the ledger names, is missing or
            damaged; then nothing may go.
    """
    kept: dict[int, frozenset[bytes]] = {}
    updates: dict[int, frozenset[bytes]] = {}
    aborted: set[bytes] = set()
    founding = frozenset(w for event in ledger.events("FederationCreated") for w in _words(event["args"]))
    if frozen := Layout.from_json(store.get(ledger.layout_digest, LONGEST).tobytes().decode()).frozen:
        founding |= {bytes.fromhex(frozen)}
    if store.size(ledger.config_digest) is not None:
        named = get_configuration(store, ledger.config_digest).model.pretrained_digest
        founding |= {bytes.fromhex(named)} if named else set()
    last = ledger.last_finalized
    seeds = DisputeCourt(ledger.w3, ledger.court).all_seeds_published()
    for round_number in range(1, last + 2):
        attempts = [_named(attempt, store) for attempt in ledger.round_events(round_number).attempts]
        aborted.update(*attempts[:-1])
        kept[round_number] = attempts[-1] if attempts else frozenset()
        kept[round_number] |= {root for (number, _), root in seeds if number == round_number}
        if round_number <= last:
            updates[round_number] = _in_the_sum(ledger, store, round_number)
    latest = kept.pop(last + 1)
    if ledger.round_in_progress:
        return Attempts(founding, kept, updates, latest, frozenset(aborted))
    return Attempts(founding, kept, updates, frozenset(), frozenset(aborted | latest))


def _published_seeds(run: RunDirectory) -> frozenset[bytes]:
    """The roots of masked rounds' seeds without an event: by the rounds' lines, and before there is one.

    Raises:
        StoreError: the run's lines cannot be read.
    """
    named = [line.get("seeds") for line in run.metrics.read()]
    try:
        kept = json_text.parse(bounded.read(run.unmasking_path, _LONGEST_KEPT), _LONGEST_KEPT)
        named.append(kept.get("seeds"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{run.unmasking_path}: damaged: {error!s:.200}",
            advice="It may name the seeds of a masked round. Resume the run first, or remove the file.",
        ) from None
    return frozenset(bytes.fromhex(root) for root in named if isinstance(root, str) and _ROOT.fullmatch(root))


def _in_the_sum(ledger: FederationViews, store: BlobStore, round_number: int) -> frozenset[bytes]:
    """The roots of a finalized round's updates that are in its sum, and that nothing else of it has."""
    view = with_submissions(ledger.round(round_number), store, ledger.domain)
    accepted = view.accepted.items()
    others = {update.root for address, update in accepted if address not in view.included}
    return frozenset(view.accepted[a].root for a in view.included) - others - {view.aggregate_root}


def _named(attempt: RoundEvents, store: BlobStore) -> frozenset[bytes]:
    roots = {word for event in attempt.events for word in _words(event["args"])}
    for committed in attempt.of("SubmissionsCommitted"):
        for signed in listed_submissions(store, bytes(committed["listRoot"])):
            roots |= {signed.message.root, signed.message.metrics}
    return frozenset(roots)


def _words(value: object) -> Iterator[bytes]:
    """All values of 32 bytes in an event."""
    if isinstance(value, bytes):
        if len(value) == 32:
            yield bytes(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _words(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _words(inner)


def _why(
    name: str, keep: frozenset[bytes], old: frozenset[bytes], attempts: Attempts, *, alone: bool
) -> Why | None:
    if name.endswith(files.TEMPORARY):
        return "half written" if alone else None
    try:
        root = bytes.fromhex(Path(name).name)
    except ValueError:
        return None  # not ours: a person put it there
    if root in keep:
        return None
    if root in old:
        return "of an update in a released sum"
    if root in attempts.aborted:
        return "of an aborted attempt"
    return "unnamed by the ledger" if alone and not attempts.current else None
