"""A hospital masks among those that people named to it, and for no set that has too few of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from masked_party import MaskedParty

from fedcxr.errors import ConfigError, RuleError
from fedcxr.messages import RefusalReply, UpdateReply
from fedcxr.store.hospital_settings import HospitalSettings

ALL, FOUR = range(5), (0, 1, 2, 3)


@pytest.fixture
def party(joined: MaskedParty, tmp_path: Path) -> Iterator[MaskedParty]:
    with joined.branch(tmp_path / "party") as branch:
        yield branch


def others(party: MaskedParty, *indices: int) -> tuple[str, ...]:
    return tuple(party.address(index) for index in indices)


def test_an_attempt_with_fewer_known_ones_than_asked_for_is_refused(party: MaskedParty) -> None:
    """One stranger may collude, and all the same four known ones are asked for."""
    party.limit(0, known=others(party, 0, 1, 2, 3), known_least=3)
    party.limit(1, known=others(party, 0, 1, 2, 3), known_least=4)  # itself does not count
    party.open(ALL)
    assert isinstance(party.train(0), UpdateReply)
    assert isinstance(party.train(1), RefusalReply)


def test_a_set_with_fewer_known_ones_than_asked_for_is_not_unmasked(party: MaskedParty) -> None:
    party.limit(0, known=others(party, *ALL), known_least=4)
    party.limit(1, known=others(party, *ALL), known_least=3)
    party.open(ALL)
    party.collect(ALL)
    party.close(FOUR)
    before = (party.directory(0) / "masked.json").read_bytes()
    with pytest.raises(RuleError, match=r"the set: 3 of the other hospitals .* asks for 4"):
        party.unmask(0)
    assert (party.directory(0) / "masked.json").read_bytes() == before, "nothing is released"
    party.unmask(1)


def test_whom_a_known_one_was_rotated_to_is_known(party: MaskedParty, tmp_path: Path) -> None:
    party.limit(0, known=others(party, 1, 2, 3), known_least=3)
    party.rotate(1, tmp_path / "order.json")
    party.open(ALL)
    assert isinstance(party.train(0), UpdateReply)


@pytest.mark.parametrize(
    "limits",
    ["known_least = 1", 'known = ["0xA", "0xB"]\nknown_least = 3', 'known = ["0xA"]\nknown_least = 0'],
)
def test_more_known_ones_than_are_listed_are_no_limit(limits: str, tmp_path: Path) -> None:
    path = tmp_path / "hospital.toml"
    path.write_text(f'name = "north"\nledger = "off"\n[data]\nroot = "x"\n[limits]\n{limits}\n')
    with pytest.raises(ConfigError, match="known_least"):
        HospitalSettings.load(path)
