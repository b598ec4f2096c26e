"""The sum of a round holds what counts, whatever was added before, and whatever the store does to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.errors import LayoutError
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import AcceptedUpdate, RoundView
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.kinds import PROTECTIONS
from fedcxr.privacy.protection import UpdateContext
from fedcxr.store.blobs import BlobStore
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, TensorSpec
from server.tally import Tally

LAYOUT = Layout((TensorSpec("w", (3000,), False, False),))
HOSPITALS = tuple(f"0x{number:040x}" for number in (1, 2, 3))
WEIGHT = 1000


def update(number: int) -> Ring:
    rng = np.random.default_rng(number)
    return rng.integers(-(2**20), 2**20, LAYOUT.size).astype(np.int32).view(np.uint32)


class Judged:
    """A round of three hospitals whose updates are in the store and accepted, and count when it is said."""

    def __init__(self, root: Path, protection: str) -> None:
        self.store = BlobStore(str(root))
        self.kind, self.key = PROTECTIONS[protection], EnvelopePrivateKey.generate("X25519")
        (reader,) = self.kind.readers([self.key])
        self.tally = Tally(LAYOUT, reader, self.store, federation="ab", longest=1 << 20)
        blobs = {a: self.sealed(a, update(n)) for n, a in enumerate(HOSPITALS)}
        self.view = RoundView(
            number=1,
            attempt=1,
            base=bytes(32),
            config_digest=bytes(32),
            deadline=0,
            participants=HOSPITALS,
            weights=dict.fromkeys(HOSPITALS, WEIGHT),
            seats={address: seat for seat, address in enumerate(HOSPITALS)},
            accepted={
                a: AcceptedUpdate(self.store.put(blob), 1, len(blob), bytes(32)) for a, blob in blobs.items()
            },
            status=RoundPhase.CLOSED,
        )

    def sealed(self, address: str, values: Ring) -> bytes:
        context = UpdateContext(
            federation="ab",
            round=1,
            hospital=address,
            layout=LAYOUT.digest.hex(),
            values=LAYOUT.size,
            weight=1,
        )
        return self.kind.protect(values, context, [self.key.public])

    def file(self, address: str) -> Path:
        return Path(self.store.path(self.view.accepted[address].root))

    def count(self, *addresses: str) -> dict[str, str]:
        self.view = replace(self.view, status=RoundPhase.VALIDATED, counted=addresses)
        return dict(self.tally.include_all(self.view))

    def assert_sum(self, *addresses: str) -> None:
        expected = WeightedSum(LAYOUT)
        for number, address in enumerate(HOSPITALS):
            if address in addresses:
                expected.add(update(number), WEIGHT)
        assert (self.tally.total.root, self.tally.total.weight) == (expected.root, expected.weight)
        assert sorted(self.tally.included) == sorted(addresses)


@pytest.fixture(params=["sealed", "open"])
def judged(request: pytest.FixtureRequest, tmp_path: Path) -> Judged:
    return Judged(tmp_path / "blobs", request.param)


def flip(judged: Judged, address: str) -> None:
    content = bytearray(judged.file(address).read_bytes())
    content[-1] ^= 1
    judged.file(address).write_bytes(content)


def remove(judged: Judged, address: str) -> None:
    judged.file(address).unlink()


def substitute(judged: Judged, address: str) -> None:
    """Anybody can seal to the coordinator: these bytes open, and are not those that were accepted."""
    judged.file(address).write_bytes(judged.sealed(address, update(9)))


@pytest.mark.parametrize("damage", [lambda judged, address: None, flip, remove, substitute])
def test_a_rejected_update_is_not_in_the_sum_whatever_became_of_its_bytes(
    judged: Judged, damage: Callable[[Judged, str], None]
) -> None:
    for address in HOSPITALS:
        judged.tally.show(judged.view, address)
    damage(judged, HOSPITALS[1])
    assert judged.count(HOSPITALS[0], HOSPITALS[2]) == {HOSPITALS[0]: "", HOSPITALS[2]: ""}
    judged.assert_sum(HOSPITALS[0], HOSPITALS[2])


@pytest.mark.parametrize("damage", [flip, remove, substitute])
def test_several_rejected_updates_leave_the_sum_where_bytes_are_lost(
    judged: Judged, damage: Callable[[Judged, str], None]
) -> None:
    for address in HOSPITALS:
        judged.tally.show(judged.view, address)
    damage(judged, HOSPITALS[0])
    assert judged.count(HOSPITALS[2]) == {HOSPITALS[2]: ""}
    judged.assert_sum(HOSPITALS[2])


@pytest.mark.parametrize("damage", [flip, remove, substitute])
def test_an_update_that_counts_is_added_as_it_was_accepted_or_excluded(
    judged: Judged, damage: Callable[[Judged, str], None]
) -> None:
    damage(judged, HOSPITALS[1])
    reasons = judged.count(*HOSPITALS)
    assert [bool(reason) for reason in reasons.values()] == [False, True, False]
    assert judged.tally.excluded.keys() == {HOSPITALS[1]}
    judged.assert_sum(HOSPITALS[0], HOSPITALS[2])


@pytest.mark.parametrize("damage", [remove, lambda judged, address: judged.file(address).write_bytes(b"cut")])
def test_an_update_whose_bytes_are_gone_since_it_was_added_is_excluded(
    judged: Judged, damage: Callable[[Judged, str], None]
) -> None:
    """Nobody could prove that it was added."""
    judged.tally.show(judged.view, HOSPITALS[0])
    take(judged, HOSPITALS[1])
    for address in HOSPITALS[:2]:
        damage(judged, address)
    reasons = judged.count(*HOSPITALS)
    assert [reason.startswith("excluded:") for reason in reasons.values()] == [True, True, False]
    judged.assert_sum(HOSPITALS[2])


def take(judged: Judged, address: str, values: Ring | None = None) -> bytes:
    """A reply comes in; its root."""
    root = judged.view.accepted[address].root
    if values is None:
        judged.tally.take(judged.file(address).read_bytes(), root, judged.view, address)
        return root
    blob = judged.sealed(address, values)
    root = judged.store.put(blob)
    judged.tally.take(blob, root, judged.view, address)
    return root


def test_what_came_in_and_counts_is_read_from_the_store_no_more(judged: Judged) -> None:
    for address in HOSPITALS:
        take(judged, address)
        flip(judged, address)
        assert judged.tally.include(judged.view, address) == ""
    assert judged.count(*HOSPITALS) == {}
    judged.assert_sum(*HOSPITALS)


@pytest.mark.parametrize("damage", [lambda judged, address: None, flip, remove, substitute])
def test_what_came_in_and_does_not_count_leaves_the_sum(
    judged: Judged, damage: Callable[[Judged, str], None]
) -> None:
    for address in HOSPITALS:
        take(judged, address)
    assert judged.tally.include(judged.view, HOSPITALS[0]) == ""
    damage(judged, HOSPITALS[1])
    assert judged.count(HOSPITALS[0], HOSPITALS[2]) == {HOSPITALS[2]: ""}
    judged.assert_sum(HOSPITALS[0], HOSPITALS[2])


@pytest.mark.parametrize("lost", [False, True])
def test_another_update_than_the_one_that_came_in_is_the_one_that_counts(judged: Judged, lost: bool) -> None:
    """Its hospital brought it to the contract itself."""
    take(judged, HOSPITALS[0])
    assert judged.tally.include(judged.view, HOSPITALS[0]) == ""
    other = take(judged, HOSPITALS[1], update(9))
    if lost:
        Path(judged.store.path(other)).unlink()
    assert judged.tally.include(judged.view, HOSPITALS[1]) == ""
    assert judged.count(*HOSPITALS[:2]) == {}
    judged.assert_sum(*HOSPITALS[:2])


def test_an_update_that_cannot_enter_the_sum_leaves_it_as_it_was(judged: Judged) -> None:
    take(judged, HOSPITALS[0])
    with pytest.raises(LayoutError):
        take(judged, HOSPITALS[1], update(1) + np.uint32(2**30))
    assert judged.count(HOSPITALS[0]) == {HOSPITALS[0]: ""}
    judged.assert_sum(HOSPITALS[0])


def test_a_weight_that_no_round_has_is_refused_before_anything_is_stored(judged: Judged) -> None:
    view = replace(judged.view, weights=dict.fromkeys(HOSPITALS, 5000))
    with pytest.raises(LayoutError, match="weights sum to 5000"):
        judged.tally.take(judged.file(HOSPITALS[0]).read_bytes(), bytes(32), view, HOSPITALS[0])
