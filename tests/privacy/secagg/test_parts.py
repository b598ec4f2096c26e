"""Seeds, masks, shares and numbers of secure aggregation, against the page and against naive ones."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from fedcxr.errors import FederationError
from fedcxr.privacy.secagg import mask, shamir
from fedcxr.privacy.secagg.parameters import PARTS, RoundNumbers
from fedcxr.privacy.secagg.seeds import (
    Participant,
    pair_commitment,
    pair_seed,
    self_commitment,
    share_commitment,
    tag,
)
from fedcxr.update.fixed_point import Ring

PAGE = Path(__file__).parents[3] / "docs" / "secure-aggregation.md"
CONTEXT = hashlib.sha256(b"an attempt").digest()
SEEDS = [hashlib.sha256(bytes([n])).digest() for n in range(6)]
SHARE = 3_400  # 0.34, the default of privacy.colluders


def naive(seed: bytes, words: int) -> Ring:
    """A mask block by block."""
    blocks = b""
    for counter in range(-(-words // 4)):
        encryptor = Cipher(AES256(seed), ECB()).encryptor()
        blocks += encryptor.update(counter.to_bytes(16)) + encryptor.finalize()
    return np.frombuffer(blocks, "<u4")[:words]


@pytest.mark.parametrize("words", [0, 1, 3, 4, 1000, 2**18 - 1, 2**18, 2**18 + 5])
def test_a_mask_is_a_keystream_and_a_word_of_it_is_one_block(words: int) -> None:
    vector = np.arange(words, dtype=np.uint32)
    mask.apply(vector, SEEDS[:1], [])
    expected = naive(SEEDS[0], min(words, 1000))
    assert np.array_equal(vector[: expected.size] - np.arange(expected.size, dtype=np.uint32), expected)
    for place in {0, words // 2, words - 1} if words else set():
        assert (int(vector[place]) - place) % 2**32 == mask.word(SEEDS[0], place)


def test_what_is_added_is_taken_off_again_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    update = rng.integers(0, 2**32, 2**18 + 77, dtype=np.uint32)
    masked = update.copy()
    mask.apply(masked, SEEDS[:3], SEEDS[3:])
    assert not np.array_equal(masked, update)
    mask.apply(masked, SEEDS[:2:-1], SEEDS[2::-1])
    assert np.array_equal(masked, update)


def test_a_masked_vector_looks_like_noise() -> None:
    """Of an update whose bytes are anything but uniform; chi-square over bytes, p > 0.001."""
    rng = np.random.default_rng(0)
    update = np.rint(rng.standard_normal(1_000_000) * 50).astype(np.int32).view(np.uint32)
    masked = update.copy()
    mask.apply(masked, SEEDS[:1], SEEDS[1:2])

    def chi_square(vector: Ring) -> float:
        counts = np.bincount(vector.view(np.uint8), minlength=256)
        expected = vector.nbytes / 256
        return float(((counts - expected) ** 2 / expected).sum())

    assert chi_square(update) > 1e6
    assert chi_square(masked) < 330.5  # 255 degrees of freedom, p = 0.001
    correlation = np.corrcoef(update.view(np.int32), masked.view(np.int32))[0, 1]
    assert abs(correlation) < 4e-3  # four standard deviations of a million values


def test_both_ends_have_one_seed_and_another_in_another_attempt_or_between_others() -> None:
    keys = [X25519PrivateKey.generate() for _ in range(3)]
    ends = [Participant(seat, seat.to_bytes(20)) for seat in (7, 3, 300)]
    public = [key.public_key().public_bytes_raw() for key in keys]
    seeds = {
        pair_seed(keys[i], ends[i], ends[j], public[j], context)
        for i, j in itertools.permutations(range(3), 2)
        for context in (CONTEXT, bytes(32))
    }
    assert len(seeds) == 6
    copied = pair_seed(keys[0], ends[0], Participant(9, bytes(20)), public[1], CONTEXT)
    assert copied not in seeds, "a copied key has seeds of its own"


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\1" + bytes(31),
        bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ],
)
def test_a_mask_key_of_low_order_is_none(point: bytes) -> None:
    me, other = Participant(0, bytes(20)), Participant(1, bytes(20))
    with pytest.raises(FederationError, match="the mask key of seat 1 is none"):
        pair_seed(X25519PrivateKey.generate(), me, other, point, CONTEXT)


def test_commitments_are_those_of_the_page() -> None:
    seed, share = SEEDS[0], b"\0" + SEEDS[1]
    page = PAGE.read_text(encoding="utf-8")
    for made, words, rest in (
        (self_commitment(CONTEXT, 5, seed), "fedcxr/masked/self/commit/1", b"\0\5" + seed),
        (pair_commitment(CONTEXT, 260, 5, seed), "fedcxr/masked/pair/commit/1", b"\0\5\1\4" + seed),
        (share_commitment(CONTEXT, 260, 5, share), "fedcxr/masked/share/commit/1", b"\1\4\0\5" + share),
    ):
        assert f'tag("{words}")' in page
        assert made == hashlib.sha256(tag(words) + CONTEXT + rest).digest()
    assert pair_commitment(CONTEXT, 5, 260, seed) == pair_commitment(CONTEXT, 260, 5, seed)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 9), st.data())
def test_any_t_shares_give_the_seed(seed: bytes, threshold: int, data: st.DataObject) -> None:
    holders = data.draw(st.lists(st.integers(0, 4095), min_size=threshold, max_size=12, unique=True))
    shares = shamir.split(seed, holders, threshold)
    chosen = data.draw(st.permutations(holders))[:threshold]
    assert shamir.join({seat: shares[seat] for seat in chosen}, threshold) == seed
    if threshold > 1:
        with pytest.raises(FederationError, match="shares of a seed, where"):
            shamir.join({seat: shares[seat] for seat in chosen[1:]}, threshold)


def test_fewer_than_t_shares_fit_every_seed() -> None:
    """For each other seed there is a share that makes it of the same t − 1 shares: they say nothing."""
    shares = shamir.split(SEEDS[0], [1, 2, 3], 3)
    for other in SEEDS[1:]:
        # The polynomial through (0, other) and the two shares, at the third holder's place.
        points = [(0, int.from_bytes(other)), *((s + 1, int.from_bytes(shares[s])) for s in (1, 2))]
        value = 0
        for x, y in points:
            above = below = 1
            for at, _ in points:
                if at != x:
                    above, below = above * (4 - at), below * (x - at)
            value += y * above * pow(below, -1, shamir.PRIME)
        forged = {**shares, 3: (value % shamir.PRIME).to_bytes(33)}
        assert shamir.join(forged, 3) == other


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (shamir.PRIME.to_bytes(33), "the share of seat 2 is none"),
        (b"\xff" * 33, "the share of seat 2 is none"),
        (bytes(32), "the share of seat 2 is none"),
        (b"", "the share of seat 2 is none"),
    ],
)
def test_a_share_that_is_none_is_named(share: bytes, said: str) -> None:
    shares = shamir.split(SEEDS[0], [2, 4, 6], 2) | {2: share}
    with pytest.raises(FederationError, match=said):
        shamir.join(shares, 2)


def test_shares_of_a_number_that_is_no_seed_are_told() -> None:
    beyond = (2**256 + 5).to_bytes(33)
    with pytest.raises(FederationError, match="of no seed"):
        shamir.join({2: beyond}, 1)


def test_the_prime_is_one_and_the_first_above_all_seeds() -> None:
    assert all(pow(base, shamir.PRIME - 1, shamir.PRIME) == 1 for base in (2, 3, 5, 7, 11, 13))
    for number in range(2**256 + 1, shamir.PRIME, 2):
        assert pow(3, number - 1, number) != 1


def test_the_numbers_are_those_of_the_page() -> None:
    rows = [
        [int(cell) for cell in line.strip("|").split("|") if cell.strip()]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and set(line) <= set("| 0123456789")
    ]
    told = [row for row in rows if len(row) == 7]
    assert len(told) == 8
    for n, c, m, t, missing, _, honest in told:
        numbers = RoundNumbers.of(n, n, SHARE)
        assert (numbers.colluders, numbers.smallest, numbers.threshold) == (c, m, t)
        assert (numbers.missing, numbers.smallest - numbers.colluders) == (missing, honest)


@pytest.mark.parametrize("n", range(3, 51))
def test_two_honest_hospitals_are_in_every_sum(n: int) -> None:
    for parts in (0, 1_000, SHARE, 4_999):
        try:
            numbers = RoundNumbers.of(n, n, parts)
        except FederationError:
            continue
        assert numbers.colluders < numbers.threshold <= n - 1
        assert 3 <= numbers.smallest <= n
        assert numbers.fewest_honest >= 2


@pytest.mark.parametrize(
    ("n", "hospitals", "parts"), [(2, 2, 0), (51, 51, SHARE), (3, 10, SHARE), (5, 4, 0), (4, 4, PARTS)]
)
def test_where_no_numbers_hide_an_update_the_round_is_refused(n: int, hospitals: int, parts: int) -> None:
    with pytest.raises(FederationError):
        RoundNumbers.of(n, hospitals, parts)
