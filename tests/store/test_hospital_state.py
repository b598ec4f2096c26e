"""A hospital's memory on disk: a round starts from the one before it, however often it is trained."""

from pathlib import Path

import pytest
import torch

from fedcxr.errors import StoreError
from fedcxr.store.hospital_state import HospitalState


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"teacher.weight": torch.full((2, 3), value), "queue.owners": torch.tensor([1, 2])}


def value(found: dict[str, torch.Tensor]) -> float:
    return float(found["teacher.weight"][0, 0])


def test_a_round_starts_from_the_last_before_it_and_never_from_its_own(tmp_path: Path) -> None:
    state = HospitalState(tmp_path / "state")
    assert state.before(1) == {}
    for number in (1, 2, 4):  # of round 3 this hospital was not
        state.write(number, tensors(number))
    assert value(state.before(5)) == 4
    assert value(state.before(4)) == 2
    assert state.rounds == [2, 4]
    state.write(4, tensors(4.5))
    assert value(state.before(4)) == 2
    assert value(state.last()) == 4.5
    assert state.rounds == [2, 4]


def test_files_of_rounds_that_a_chain_which_was_put_back_never_had_are_removed(tmp_path: Path) -> None:
    state = HospitalState(tmp_path / "state")
    for number in (1, 2, 3):
        state.write(number, tensors(number))
    state.write(2, tensors(2))
    assert state.rounds == [2]


def test_a_hospital_that_remembers_nothing_has_no_files(tmp_path: Path) -> None:
    state = HospitalState(tmp_path / "state")
    state.write(1, {})
    assert not state.folder.exists()
    state.write(2, tensors(2))
    state.write(3, {})  # a phase without a teacher: what the one before it left is not taken up again
    assert state.before(4) == {}


def test_what_was_kept_under_keys_that_were_rotated_is_found(tmp_path: Path) -> None:
    HospitalState(tmp_path / "old").write(1, tensors(1))
    state = HospitalState(tmp_path / "new", (tmp_path / "old",))
    assert value(state.before(2)) == 1
    state.write(2, tensors(2))
    assert value(state.before(3)) == 2
    assert HospitalState(tmp_path / "old").rounds == [1]


@pytest.mark.parametrize("damage", ["cut", "other round", "garbage"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    state = HospitalState(tmp_path / "state")
    state.write(1, tensors(1))
    path = tmp_path / "state" / "0001.safetensors"
    if damage == "other round":
        path.rename(path.with_name("0002.safetensors"))
    else:
        path.write_bytes(path.read_bytes()[:-3] if damage == "cut" else b"garbage")
    with pytest.raises(StoreError, match=r"000[12]\.safetensors"):
        state.before(3)
