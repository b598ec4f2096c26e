"""The words of the contract's enumerations stand in its order."""

import re
from pathlib import Path

import pytest

from fedcxr.ledger.deployment_parameters import ADMISSIONS, RECORDINGS, WEIGHTINGS
from fedcxr.ledger.phase import BEGUN_BY, RoundPhase
from fedcxr.ledger.recorded import Recorded
from fedcxr.ledger.rules import CHANGES
from fedcxr.ledger.submissions.recording import KINDS

SOURCE = Path(__file__).resolve().parents[2] / "contracts" / "src"


def words_of(enumeration: str) -> list[str]:
    """The values of an enumeration in the contract's source, in lower case."""
    sources = "".join(path.read_text() for path in sorted(SOURCE.glob("*.sol")))
    (body,) = re.findall(rf"enum {enumeration} \{{([^}}]*)\}}", sources)
    return [name.lower() for name in re.findall(r"\b([A-Z]\w+)\b", re.sub(r"//.*", "", body))]


@pytest.mark.parametrize(
    ("enumeration", "words"),
    [
        ("Phase", tuple(RoundPhase)),
        ("Weighting", WEIGHTINGS),
        ("Admission", ADMISSIONS),
        ("Recording", RECORDINGS),
        ("Change", CHANGES),
    ],
)
def test_words_stand_in_the_order_of_the_contracts_enum(enumeration: str, words: tuple[str, ...]) -> None:
    assert words_of(enumeration) == list(words)


def test_every_way_to_record_has_its_calls() -> None:
    assert {kind: made.kind for kind, made in KINDS.items()} == {kind: kind for kind in Recorded}


def test_phases_have_the_contracts_numbers() -> None:
    names = words_of("Phase")
    assert [RoundPhase.numbered(number) for number in range(len(names))] == list(RoundPhase)
    assert [phase.number for phase in RoundPhase] == list(range(len(names)))
    with pytest.raises(IndexError):
        RoundPhase.numbered(len(names))


def test_every_phase_but_the_first_is_begun_by_an_event() -> None:
    assert list(BEGUN_BY.values()) == list(RoundPhase)[1:]
    assert [phase.value for phase in RoundPhase if phase.in_progress] == ["open", "closed", "validated"]
