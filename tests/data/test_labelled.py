"""Whose labels are read where not everybody's are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcxr.data.labelled import labelled

PATIENTS = np.array([f"patient{number % 700:05d}" for number in range(1000)])


def drawn(patients: NDArray[np.str_], share: float, seed: int) -> NDArray[np.bool_]:
    """Where something is known of every image."""
    return labelled(patients, share, seed, np.ones(len(patients), np.bool_))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_one_of_patients_and_of_whole_ones(share: float) -> None:
    chosen = drawn(PATIENTS, share, 3)
    by_patient = {patient: set(chosen[patient == PATIENTS]) for patient in np.unique(PATIENTS)}
    assert all(len(kept) == 1 for kept in by_patient.values())
    count = sum(kept == {np.True_} for kept in by_patient.values())
    assert abs(count - share * 700) < 4 * np.sqrt(700 * share * (1 - share))


def test_a_smaller_share_is_part_of_a_larger_one_and_all_is_all() -> None:
    few, more, everyone = (drawn(PATIENTS, share, 3) for share in (0.01, 0.1, 1.0))
    assert 0 < few.sum() < more.sum() < everyone.sum() == len(PATIENTS)
    assert not (few & ~more).any()
    assert (few != drawn(PATIENTS, 0.01, 4)).any()


def test_hospitals_that_pool_their_patients_read_the_same_labels() -> None:
    apart = np.concatenate([drawn(PATIENTS[:500], 0.1, 3), drawn(PATIENTS[500:], 0.1, 3)])
    np.testing.assert_array_equal(drawn(PATIENTS, 0.1, 3), apart)


@pytest.mark.parametrize("patients", [["a", "b", "c"], ["a", "a", "b"], ["a", "b"], ["a"]])
def test_a_hospital_keeps_two_images_where_it_has_them(patients: list[str]) -> None:
    chosen = drawn(np.array(patients), 0.0, 1)
    assert chosen.sum() >= min(2, len(patients))
    assert chosen.sum() <= 3


@pytest.mark.parametrize("seed", range(20))
def test_two_images_that_are_kept_have_a_known_label(seed: int) -> None:
    patients = np.array([f"p{number}" for number in range(20)])
    known = np.arange(20) % 2 == 0
    chosen = labelled(patients, 0.01, seed, known)
    assert (chosen & known).sum() == 2
    assert labelled(patients, 0.01, seed, np.zeros(20, np.bool_)).all()  # nothing is known: nothing to keep
