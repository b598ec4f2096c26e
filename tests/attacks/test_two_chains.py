"""A coordinator with two chains, on which one attempt has two sets: what it learns from the answers.

It knows the keys of one hospital that colludes. Whatever it shows to whom, what it can unmask is a sum of two
honest updates or more, as docs/secure-aggregation.md proves ("Two chains").
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from masked_party import MaskedParty, header_of, opened_share, released, vector_of

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.privacy.secagg import mask, shamir
from fedcxr.privacy.secagg.attempt import MaskedAttempt, sign_of
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.privacy.secagg.seeds import self_commitment

COLLUDER, HONEST = 3, (0, 1, 2, 4)
SETS = ((0, 1, 2, 3), (0, 1, 2, 4))
Released = tuple[Mapping[int, bytes], Mapping[int, bytes]]  # shares and pair seeds, by neighbour


@pytest.fixture(scope="module")
def answers(sent: MaskedParty, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Released]:
    """What each honest hospital answers on each chain that has it in its set, had it seen no other one."""
    found = {}
    for chain, accepted in enumerate(SETS):
        with sent.branch(tmp_path_factory.mktemp("chains") / str(chain)) as party:
            party.close(accepted)
            for index in set(accepted) - {COLLUDER}:
                home = shutil.copytree(party.directory(index), tmp_path_factory.mktemp("homes") / str(index))
                reply = Hospital(HospitalDisk(home)).unmask(party.request(index))
                found[index, chain] = released(reply, party.attempt())
    return found


class Knowledge:
    """What the coordinator and the hospital that colludes know together."""

    def __init__(self, party: MaskedParty, given: Iterable[tuple[int, Released]]) -> None:
        attempt = party.attempt()
        own = party.identity(COLLUDER).envelope_key.mask_key
        assert own is not None
        theirs = OutgoingMask(attempt, COLLUDER, own, bytes(32)).pair_seeds
        self.pairs = {frozenset((COLLUDER, other)): seed for other, seed in theirs.items()}
        shares: dict[int, dict[int, bytes]] = {}
        for owner in HONEST:
            share = opened_share(party, COLLUDER, owner, party.updates[owner])
            assert share is not None
            shares[owner] = {COLLUDER: share}
        for index, (of_others, seeds) in given:
            for owner, share in of_others.items():
                shares.setdefault(owner, {})[index] = share
            self.pairs |= {frozenset((index, other)): seed for other, seed in seeds.items()}
        needed = attempt.numbers.threshold
        self.own = {owner: shamir.join(held, needed) for owner, held in shares.items() if len(held) >= needed}
        for owner, seed in self.own.items():
            committed = header_of(party.updates[owner]).facts.self_commitment if owner != COLLUDER else b""
            assert owner == COLLUDER or self_commitment(attempt.context, owner, seed) == committed

    def sums(self) -> list[set[int]]:
        """Honest hospitals whose sum can be unmasked: unknown seeds hang them together, each b is known."""
        left, found = set(HONEST), []
        while left:
            component, grown = set[int](), {left.pop()}
            while grown:
                component |= grown
                grown = {b for a in component for b in HONEST if b not in component and not self._known(a, b)}
            left -= component
            if component <= self.own.keys():
                found.append(component)
        return found

    def _known(self, a: int, b: int) -> bool:
        return frozenset((a, b)) in self.pairs


def unmasked(party: MaskedParty, known: Knowledge, members: Iterable[int]) -> np.ndarray:
    """The sum of honest updates, with every mask taken off that is known."""
    total = np.zeros(party.layout.size, np.uint32)
    for index in members:
        total += vector_of(party.updates[index])
        mask.apply(total, [], [known.own[index]])
        for pair, seed in known.pairs.items():
            if index in pair:
                (other,) = pair - {index}
                plus, minus = ([], [seed]) if sign_of(index, other) > 0 else ([seed], [])
                mask.apply(total, plus, minus)
    return total


def plain(party: MaskedParty, index: int) -> np.ndarray:
    """A hospital's update, which it alone can unmask."""
    own = party.identity(index).envelope_key.mask_key
    recorded = party.disk(index).masked_record(party.ledger.views.federation.hex()).of(1)
    assert own is not None
    assert recorded is not None
    vector = vector_of(party.updates[index])
    OutgoingMask(party.attempt(), index, own, recorded.self_seed).take_off(vector)
    return vector


def test_two_chains_lift_nobody(sent: MaskedParty, answers: dict[tuple[int, int], Released]) -> None:
    attempt: MaskedAttempt = sent.attempt()
    assert attempt.numbers.fewest_honest == 2
    sizes = set()
    choices = [[chain for chain in (0, 1, None) if chain is None or (i, chain) in answers] for i in HONEST]
    for shown in itertools.product(*choices):
        asked = [(i, answers[i, chain]) for i, chain in zip(HONEST, shown, strict=True) if chain is not None]
        known = Knowledge(sent, asked)
        for members in known.sums():
            sizes.add(len(members))
            assert len(members) >= 2, shown
            expected = sum((plain(sent, index) for index in members), np.zeros(sent.layout.size, np.uint32))
            assert np.array_equal(unmasked(sent, known, members), expected), "what is counted as known is"
    assert sizes, "some sums are known: those of one set"


def test_one_answer_more_and_one_would_be_lifted(
    sent: MaskedParty, answers: dict[tuple[int, int], Released]
) -> None:
    """Had hospitals answered for both sets, single updates would be known: the test above sees it."""
    both = [(i, answers[i, chain]) for i in HONEST for chain in (0, 1) if (i, chain) in answers]
    alone = [members for members in Knowledge(sent, both).sums() if len(members) == 1]
    assert alone
