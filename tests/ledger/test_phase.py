"""The phases of a round are the contract's."""

import re
from pathlib import Path

import pytest

from fedcxr.ledger.phase import BEGUN_BY, RoundPhase

SOURCE = Path(__file__).resolve().parents[2] / "contracts" / "src"


def test_phases_stand_in_the_order_of_the_contracts_enum() -> None:
    sources = "".join(path.read_text() for path in sorted(SOURCE.glob("*.sol")))
    (body,) = re.findall(r"enum Phase \{([^}]*)\}", sources)
    names = re.findall(r"\b([A-Z]\w+)\b", re.sub(r"//.*", "", body))
    assert [name.lower() for name in names] == list(RoundPhase)
    assert [RoundPhase.numbered(number) for number in range(len(names))] == list(RoundPhase)
    assert [phase.number for phase in RoundPhase] == list(range(len(names)))
    with pytest.raises(IndexError):
        RoundPhase.numbered(len(names))


def test_every_phase_but_the_first_is_begun_by_an_event() -> None:
    assert list(BEGUN_BY.values()) == list(RoundPhase)[1:]
    assert [phase.value for phase in RoundPhase if phase.in_progress] == ["open", "closed", "validated"]
