"""What masking an update costs a hospital, and unmasking a sum costs whoever adds.

Everything but the ledger and the network is the code of a masked round. Beside it stands what Flower's
SecAgg+ spends on the masks of the same vector.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from flwr.common.secure_aggregation import ndarrays_arithmetic, quantization
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.masked_rounds.answers import SEED, SHARE, Answer, Answers, Seeds, entry, statement
from fedcxr.privacy.masked import Masked, MaskedReader, read_header
from fedcxr.privacy.protection import UpdateContext
from fedcxr.privacy.secagg import mask
from fedcxr.privacy.secagg.attempt import MaskedAttempt, MaskingHospital
from fedcxr.privacy.secagg.header import MaskedHeader
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.privacy.secagg.parameters import RoundNumbers
from fedcxr.privacy.secagg.seeds import share_info
from fedcxr.store.identity import Identity
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, TensorSpec

Say = Callable[[str], None]
_COLLUDERS = 3_400  # in 1/10,000
_REPEATS = 3
_FLOWER_RANGE = 1 << 32
_WEIGHT = 10
DOMAIN = Domain(1, "0x" + "11" * 20)


@dataclass(frozen=True)
class SecAggBench:
    """The figures of ``fedcxr bench secagg``; seconds of one thread, medians.

    Attributes:
        hospitals: of the round.
        parameters: words of an update.
        protect_seconds: of a hospital: pair seeds, self-mask, shares, commitments, sealing, all masks, and
            the bytes that leave.
        mask_seconds: of it, a mask.
        answer_bytes: that a hospital sends in the second trip.
        unmask_seconds_a_survivor: of whoever adds: reading the answers, joining the shares, taking the masks
            off and looking at the sum, where nobody is missing.
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
    answer_bytes: int
    unmask_seconds_a_survivor: float
    payload_over_float32: float
    bit_identical: bool
    flower_masks_seconds: float
    flower_over_ours: float


class Party:
    """Hospitals with their keys, and one attempt that all of them see.

    Attributes:
        identities: of the hospitals, by seat.
        attempt: the one.
        context: of each update.
    """

    def __init__(self, hospitals: int, values: int) -> None:
        self.identities = [Identity.fresh("MLKEM768_X25519", masks=True) for _ in range(hospitals)]
        self.attempt = MaskedAttempt(
            federation=bytes(32),
            chain_id=DOMAIN.chain_id,
            contract=bytes.fromhex(DOMAIN.contract[2:]),
            round=1,
            attempt=1,
            base=bytes(32),
            config_digest=bytes(32),
            layout=bytes(32),
            values=values,
            numbers=RoundNumbers.of(hospitals, hospitals, _COLLUDERS),
            participants=tuple(
                MaskingHospital(
                    seat,
                    bytes.fromhex(identity.account.address[2:]),
                    _WEIGHT,
                    identity.envelope_key.public,
                )
                for seat, identity in enumerate(self.identities)
            ),
        )
        self.context = UpdateContext("", 1, "", "", values, _WEIGHT, self.attempt.context)

    def mask(self, seat: int) -> OutgoingMask:
        """A fresh mask of the hospital in a seat."""
        own = self.identities[seat].envelope_key.mask_key
        assert own is not None
        return OutgoingMask(self.attempt, seat, own, os.urandom(32))

    def protect(self, update: Ring, mask: OutgoingMask) -> bytes:
        """An update as it leaves; ``update`` is changed."""
        return Masked().protect(update, self.context, [], mask=mask)

    def unmask(self, blobs: Mapping[int, bytes], masks: Mapping[int, OutgoingMask]) -> Seeds:
        """What follows from the answers of all whose updates are there."""
        accepted = tuple(blobs)
        headers = {seat: read_header(blob) for seat, blob in blobs.items()}
        answers = Answers(self.attempt, accepted, headers, DOMAIN)
        for seat in accepted:
            answers.take(self.answer(seat, accepted, headers, masks[seat]))
        return answers.seeds()

    def answer(
        self, seat: int, accepted: Sequence[int], headers: Mapping[int, MaskedHeader], mask: OutgoingMask
    ) -> Answer:
        """What the hospital in a seat answers for a set."""
        identity, context, entries = self.identities[seat], self.attempt.context, []
        for other in (each.seat for each in self.attempt.neighbours(seat)):
            if other in accepted:
                sealed = headers[other].commitments[seat - (other < seat)].sealed
                share = identity.envelope_key.open(sealed, share_info(context, other, seat))
                entries.append(entry(SHARE, share))
            else:
                entries.append(entry(SEED, mask.pair_seeds[other]))
        released = b"".join(entries)
        said = statement(self.attempt, identity.account.address, accepted, (1, bytes(32)), released)
        return Answer(seat, Signed(said, sign(identity.account, said, DOMAIN)), released)


def bench_secagg(say: Say, hospitals: int = 10, parameters: int = 20_800_000) -> SecAggBench:
    """Measure a hospital's part and an adder's; under a minute for ten hospitals.

    Raises:
        FederationError: so few or so many hospitals have no masked round.
    """
    party = Party(hospitals, parameters)
    rng = np.random.default_rng(0)
    update = np.rint(rng.standard_normal(parameters, np.float32) * np.float32(300)).astype(np.int32)
    say(f"masking an update for {hospitals} hospitals")
    took, blob = [], b""
    for _ in range(_REPEATS):
        vector = update.view(np.uint32).copy()
        started = time.perf_counter()
        blob = party.protect(vector, party.mask(0))
        took.append(time.perf_counter() - started)
    protect = statistics.median(took)
    say("taking masks off a sum")
    one = _seconds(lambda: mask.apply(vector, [bytes(32)], []))
    unmask, answer = _unmasking(hospitals, parameters)
    say("comparing the bits of sums")
    numbers = party.attempt.numbers
    identical = all(_identical(missing, hospitals) for missing in range(numbers.missing + 1))
    say("Flower's SecAgg+ on the same vector")
    flower = _seconds(lambda: _flower(update, hospitals))
    return SecAggBench(
        hospitals=hospitals,
        parameters=parameters,
        protect_seconds=protect,
        mask_seconds=one,
        answer_bytes=answer,
        unmask_seconds_a_survivor=unmask,
        payload_over_float32=len(blob) / (4 * parameters),
        bit_identical=identical,
        flower_masks_seconds=flower,
        flower_over_ours=flower / protect,
    )


def as_json(bench: SecAggBench) -> str:
    """The figures for machines."""
    return json.dumps(asdict(bench), indent=2)


def _unmasking(hospitals: int, parameters: int) -> tuple[float, int]:
    """Seconds for each survivor of unmasking a sum of this length, and bytes of an answer.

    The sum is one of small updates, of which only the first words are masked by their hospitals: what is
    measured takes masks off all of it.
    """
    party = Party(hospitals, 1 << 10)
    masks = {seat: party.mask(seat) for seat in range(hospitals)}
    blobs = {seat: party.protect(np.zeros(1 << 10, np.uint32), one) for seat, one in masks.items()}
    seeds = party.unmask(blobs, masks)
    total = np.zeros(parameters, np.uint32)
    for seed in seeds.added:
        mask.apply(total, [seed], [])
    summed = MaskedSum(Layout((TensorSpec("w", (parameters,), False, False),)), total)
    summed.weight = _WEIGHT * hospitals
    started = time.perf_counter()
    again = party.unmask(blobs, masks)
    summed.unmask(again.added, again.taken_off)
    return (time.perf_counter() - started) / hospitals, 34 * party.attempt.degree


def _identical(missing: int, hospitals: int) -> bool:
    """Whether the unmasked sum of those who are not missing has the bits of the plain sum."""
    values = 10_001
    party = Party(hospitals, values)
    rng = np.random.default_rng(missing)
    plain = np.zeros(values, np.uint32)
    summed = MaskedSum(Layout((TensorSpec("w", (values,), False, False),)))
    masks = {seat: party.mask(seat) for seat in range(missing, hospitals)}
    blobs = {}
    for seat, one in masks.items():
        update = rng.integers(-300, 300, values, dtype=np.int32).view(np.uint32)
        plain += update
        blobs[seat] = party.protect(update, one)
        summed.add(MaskedReader().read(blobs[seat], party.context), _WEIGHT)
    masked = summed.total.copy()
    seeds = party.unmask(blobs, masks)
    summed.unmask(seeds.added, seeds.taken_off)
    return np.array_equal(plain, summed.total) and not np.array_equal(plain, masked)


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
