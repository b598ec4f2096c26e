"""What masking an update costs a hospital, and taking the masks off a sum costs whoever adds, by the parts.

The parts are those of docs/secure-aggregation.md. No round is masked yet: this measures what one will cost.
Beside it stands what Flower's SecAgg+ spends on the masks of the same vector.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.common.secure_aggregation import ndarrays_arithmetic, quantization
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.secagg import mask, shamir
from fedcxr.privacy.secagg.parameters import RoundNumbers
from fedcxr.privacy.secagg.seeds import (
    Participant,
    pair_commitment,
    pair_seed,
    self_commitment,
    share_commitment,
    tag,
)
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring

Say = Callable[[str], None]
_COLLUDERS = 3_400  # in 1/10,000
_REPEATS = 3
_FIXED = 704  # bytes of a header that do not grow with the neighbours
_FLOWER_RANGE = 1 << 32


@dataclass(frozen=True)
class SecAggBench:
    """The figures of ``fedcxr bench secagg``; seconds of one thread, medians.

    Attributes:
        hospitals: of the round.
        parameters: words of an update.
        protect_seconds: of a hospital: pair seeds, self-mask, shares, commitments, sealing, and all masks.
        mask_seconds: of it, a mask.
        unmask_seconds_a_survivor: of whoever adds: joining the shares of a seed and taking off its mask.
        payload_over_float32: bytes that travel up over those of the float32 vector.
        bit_identical: whether the sum has the bits of the plain one, for every number of missing hospitals
            that the round may have.
        flower_masks_seconds: quantizing and masking the same vector by Flower's SecAgg+, with as many masks.
        flower_over_ours: of that, over ``protect_seconds``.
    """

    hospitals: int
    parameters: int
    protect_seconds: float
    mask_seconds: float
    unmask_seconds_a_survivor: float
    payload_over_float32: float
    bit_identical: bool
    flower_masks_seconds: float
    flower_over_ours: float


@dataclass(frozen=True)
class _Hospital:
    who: Participant
    mask_key: X25519PrivateKey
    envelope_key: EnvelopePrivateKey


def bench_secagg(say: Say, hospitals: int = 10, parameters: int = 20_800_000) -> SecAggBench:
    """Measure a hospital's part and an adder's; under a minute for ten hospitals.

    Raises:
        FederationError: so few or so many hospitals have no masked round.
    """
    numbers = RoundNumbers.of(hospitals, hospitals, _COLLUDERS)
    rng = np.random.default_rng(0)
    context = hashlib.sha256(b"bench").digest()
    everyone = [
        _Hospital(
            Participant(seat, rng.bytes(20)),
            X25519PrivateKey.generate(),
            EnvelopePrivateKey.generate("MLKEM768_X25519"),
        )
        for seat in range(hospitals)
    ]
    update = np.rint(rng.standard_normal(parameters, np.float32) * np.float32(300)).astype(np.int32)
    say(f"masking an update for {hospitals} hospitals")
    took, header, shares = [], 0, dict[int, bytes]()
    for _ in range(_REPEATS):
        vector = update.view(np.uint32).copy()
        started = time.perf_counter()
        header, shares = _protect(vector, everyone[0], everyone, numbers, context)
        took.append(time.perf_counter() - started)
    protect = statistics.median(took)
    say("taking masks off a sum")
    one = _seconds(lambda: mask.apply(vector, [bytes(32)], []))
    unmask = one + _seconds(lambda: shamir.join(shares, numbers.threshold))
    say("comparing the bits of sums")
    identical = all(_identical(missing, numbers, everyone, context) for missing in range(numbers.missing + 1))
    say("Flower's SecAgg+ on the same vector")
    flower = _seconds(lambda: _flower(update, hospitals))
    return SecAggBench(
        hospitals=hospitals,
        parameters=parameters,
        protect_seconds=protect,
        mask_seconds=one,
        unmask_seconds_a_survivor=unmask,
        payload_over_float32=(header + 4 * parameters) / (4 * parameters),
        bit_identical=identical,
        flower_masks_seconds=flower,
        flower_over_ours=flower / protect,
    )


def as_json(bench: SecAggBench) -> str:
    """The figures for machines."""
    return json.dumps(asdict(bench), indent=2)


def _pairs(me: _Hospital, others: list[_Hospital], context: bytes) -> dict[int, bytes]:
    return {
        other.who.seat: pair_seed(
            me.mask_key, me.who, other.who, other.mask_key.public_key().public_bytes_raw(), context
        )
        for other in others
    }


def _protect(
    vector: Ring, me: _Hospital, everyone: list[_Hospital], numbers: RoundNumbers, context: bytes
) -> tuple[int, dict[int, bytes]]:
    """Mask a vector in place; bytes of the header, in whole leaves, and shares of the self-mask's seed."""
    seat, neighbours = me.who.seat, [other for other in everyone if other is not me]
    pairs, own = _pairs(me, neighbours, context), os.urandom(32)
    shares = shamir.split(own, pairs, numbers.threshold)
    pieces = [self_commitment(context, seat, own)]
    for other in neighbours:
        holder = other.who.seat
        info = tag("fedcxr/masked/share/seal/1") + context + seat.to_bytes(2) + holder.to_bytes(2)
        pieces += [
            pair_commitment(context, seat, holder, pairs[holder]),
            share_commitment(context, seat, holder, shares[holder]),
            other.envelope_key.public.seal(shares[holder], info),
        ]
    mask.apply(vector, *_signed(seat, own, pairs))
    header = _FIXED + sum(map(len, pieces[1:]))
    return -(-header // merkle.LEAF_SIZE) * merkle.LEAF_SIZE, shares


def _signed(seat: int, own: bytes, pairs: dict[int, bytes]) -> tuple[list[bytes], list[bytes]]:
    """Seeds of the masks that are added to a hospital's update, and of those that are taken off."""
    plus = [own, *(seed for other, seed in pairs.items() if other > seat)]
    return plus, [seed for other, seed in pairs.items() if other < seat]


def _identical(missing: int, numbers: RoundNumbers, everyone: list[_Hospital], context: bytes) -> bool:
    """Whether the unmasked sum of those who are not missing has the bits of the plain sum."""
    rng = np.random.default_rng(missing)
    plain, total = np.zeros(10_001, np.uint32), np.zeros(10_001, np.uint32)
    accepted, off = everyone[missing:], list[bytes]()
    left: tuple[list[bytes], list[bytes]] = [], []
    for me in accepted:
        update = rng.integers(0, 2**32, plain.size, dtype=np.uint32)
        plain += update
        pairs = _pairs(me, [other for other in everyone if other is not me], context)
        own = os.urandom(32)
        mask.apply(update, *_signed(me.who.seat, own, pairs))
        total += update
        shares = shamir.split(own, pairs, numbers.threshold)
        off.append(shamir.join(shares, numbers.threshold))
        gone = {seat: seed for seat, seed in pairs.items() if seat < missing}
        for place, seeds in zip(left, _signed(me.who.seat, b"", gone), strict=True):
            place.extend(seed for seed in seeds if seed)
    mask.apply(total, left[1], [*off, *left[0]])
    return bool(np.array_equal(plain, total)) and not np.array_equal(plain, np.zeros_like(plain))


def _flower(update: np.ndarray[tuple[int], np.dtype[np.int32]], hospitals: int) -> None:
    """What Flower's SecAgg+ does with a vector on a client: quantize it, and add a mask for each neighbour.

    Its generator is seeded by 32 bits, into which the 256 of the shared key are folded.
    """
    vectors = quantization.quantize([update.astype(np.float64)], 8.0, 1 << 22)
    for seed in range(hospitals):
        noise = pseudo_rand_gen(seed.to_bytes(32), _FLOWER_RANGE, [update.shape])
        vectors = ndarrays_arithmetic.parameters_addition(vectors, noise)
        vectors = ndarrays_arithmetic.parameters_mod(vectors, _FLOWER_RANGE)


def _seconds(work: Callable[[], object]) -> float:
    """The median of a few times."""
    took = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return statistics.median(took)
