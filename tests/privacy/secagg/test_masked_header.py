"""Headers of masked updates: one form, held to the attempt; the masked vector says nothing of the update."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedcxr.bench.secagg import Party
from fedcxr.errors import EnvelopeError, FederationError
from fedcxr.privacy.masked import Masked, MaskedReader, read_header
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import (
    ENTRIES,
    PAIRS,
    HeaderFacts,
    HistoryEntry,
    MaskedHeader,
    check_header,
    header_leaves,
)
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.update.merkle import LEAF_SIZE

VALUES = 3_000


@pytest.fixture(scope="module")
def party() -> Party:
    return Party(5, VALUES)


@pytest.fixture(scope="module")
def blob(party: Party) -> bytes:
    return party.protect(np.arange(VALUES, dtype=np.uint32), party.mask(1))


def test_a_header_is_read_back_and_its_blob_holds_the_masked_vector(party: Party, blob: bytes) -> None:
    header = read_header(blob)
    assert MaskedHeader.from_bytes(header.to_bytes()) == header
    assert len(blob) == header.facts.size == header_leaves(4, 1169) * LEAF_SIZE + 4 * VALUES
    check_header(party.attempt, 1, header.facts)
    vector = MaskedReader().read(blob, party.context)
    assert np.array_equal(vector, np.frombuffer(blob[-4 * VALUES :], "<u4"))


@pytest.mark.parametrize("at", [0, 20, 49, 51, 53, 54, 60, 100, 130, PAIRS - 1, LEAF_SIZE * 2 - 1])
def test_any_other_byte_is_another_header_or_none(party: Party, blob: bytes, at: int) -> None:
    changed = bytearray(blob)
    changed[at] ^= 1
    with pytest.raises((EnvelopeError, FederationError)):
        check_header(party.attempt, 1, read_header(bytes(changed)).facts)


def test_a_header_of_another_seat_or_attempt_is_not_this_ones(party: Party, blob: bytes) -> None:
    facts = read_header(blob).facts
    with pytest.raises(EnvelopeError, match="has seat 1, where the ledger has 2"):
        check_header(party.attempt, 2, facts)
    with pytest.raises(EnvelopeError, match="has context"):
        check_header(replace(party.attempt, attempt=2), 1, facts)
    with pytest.raises(EnvelopeError, match="another attempt"):
        MaskedReader().read(blob, replace(party.context, masks=bytes(32)))
    with pytest.raises(EnvelopeError, match="not before this one"):
        check_header(party.attempt, 1, replace(facts, history=(HistoryEntry(1, bytes(32)),)))


def test_a_history_has_one_form() -> None:
    entries = tuple(HistoryEntry(k + 1, bytes([k] * 32), bytes([k % 2] * 32)) for k in range(ENTRIES))
    facts = HeaderFacts(bytes(32), 3, 4, 81, VALUES, bytes(32), entries)
    assert HeaderFacts.from_bytes(facts.to_bytes()) == facts
    for wrong in (entries[::-1], (*entries[:2], entries[1])):
        with pytest.raises(EnvelopeError, match="one form"):
            HeaderFacts.from_bytes(replace(facts, history=wrong).to_bytes())
    with pytest.raises(EnvelopeError, match="room for 24"):
        replace(facts, history=(*entries, HistoryEntry(99, bytes(32)))).to_bytes()
    flagged = bytearray(facts.to_bytes())
    flagged[128 + 7] |= 2  # a flag of no meaning
    with pytest.raises(EnvelopeError, match="history"):
        HeaderFacts.from_bytes(bytes(flagged))


def test_commitments_lie_in_the_leaves_that_are_said(party: Party, blob: bytes) -> None:
    header = read_header(blob)
    leaves = {k: blob[k * LEAF_SIZE :][:LEAF_SIZE] for k in range(header.facts.leaves)}
    for index in range(4):
        few = {place: leaves[place] for place in header.facts.places(index)}
        assert header.facts.commitments(few, index) == header.commitments[index]


def test_a_masked_vector_is_noise() -> None:
    """χ² over the bytes, and the correlation with what is masked."""
    values = 1 << 20
    party = Party(3, values)
    update = np.rint(np.random.default_rng(0).standard_normal(values) * 300).astype(np.int32)
    masked = MaskedReader().read(party.protect(update.view(np.uint32).copy(), party.mask(0)), party.context)
    counts = np.bincount(masked.view(np.uint8), minlength=256)
    chi_square = float(((counts - masked.nbytes / 256) ** 2).sum() / (masked.nbytes / 256))
    assert chi_square < 330.5  # p = 0.001 for 255 degrees of freedom
    assert abs(np.corrcoef(masked.view(np.int32), update)[0, 1]) < 4e-3  # four deviations of a million words


def test_a_mask_is_taken_off_again(party: Party) -> None:
    update = np.random.default_rng(1).integers(0, 2**32, VALUES, dtype=np.uint32)
    vector, one = update.copy(), party.mask(2)
    one.put_on(vector)
    assert not np.array_equal(vector, update)
    one.take_off(vector)
    assert np.array_equal(vector, update)


def test_only_the_owner_of_a_key_masks_with_it(party: Party) -> None:
    stranger = Party(5, VALUES).identities[0].envelope_key.mask_key
    assert stranger is not None
    with pytest.raises(FederationError, match="mask key of seat 1 on the ledger is another one"):
        OutgoingMask(party.attempt, 1, stranger, bytes(32))


def test_an_update_without_its_mask_is_not_protected(party: Party) -> None:
    with pytest.raises(EnvelopeError, match="masked for one attempt"):
        Masked().protect(np.zeros(VALUES, np.uint32), party.context, [])
    with pytest.raises(EnvelopeError, match="nobody is shown"):
        MaskedReader().show(b"", party.context)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"participants": lambda p: p[::-1]}, "order of their seats"),
        ({"participants": lambda p: (p[0], replace(p[1], address=p[0].address), *p[2:])}, "one account"),
        ({"attempt": lambda a: 2**32}, "no such number"),
        ({"chain_id": lambda c: 2**64}, "more than eight bytes"),
    ],
)
def test_an_attempt_that_has_no_context_is_refused(
    party: Party, changes: dict[str, object], said: str
) -> None:
    made = {name: change(getattr(party.attempt, name)) for name, change in changes.items()}  # type: ignore[operator]
    with pytest.raises(FederationError, match=said):
        replace(party.attempt, **made)


def test_a_context_depends_on_all_that_a_hospital_is_shown(party: Party) -> None:
    attempt = party.attempt
    other = Party(5, VALUES).attempt.participants
    last = attempt.participants[-1]
    ways: list[MaskedAttempt] = [
        replace(attempt, federation=bytes([1] * 32)),
        replace(attempt, chain_id=2),
        replace(attempt, contract=bytes(20)),
        replace(attempt, round=2),
        replace(attempt, attempt=2),
        replace(attempt, base=bytes([1] * 32)),
        replace(attempt, config_digest=bytes([1] * 32)),
        replace(attempt, layout=bytes([1] * 32)),
        replace(attempt, values=VALUES + 1),
        replace(attempt, participants=(*attempt.participants[:-1], replace(last, weight=11))),
        replace(attempt, participants=(*attempt.participants[:-1], replace(last, seat=9))),
        replace(attempt, participants=(*attempt.participants[:-1], replace(last, key=other[-1].key))),
    ]
    assert len({attempt.context, *(way.context for way in ways)}) == len(ways) + 1
    assert len(attempt.preimage) == 254 + 58 * 5
