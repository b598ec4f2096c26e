"""Whose labels are read where not everybody's are."""

import numpy as np
import pytest

from fedcxr.data.labelled import labelled

PATIENTS = np.array([f"patient{number % 700:05d}" for number in range(1000)])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_one_of_patients_and_of_whole_ones(share: float) -> None:
    chosen = labelled(PATIENTS, share, 3)
    by_patient = {patient: set(chosen[patient == PATIENTS]) for patient in np.unique(PATIENTS)}
    assert all(len(kept) == 1 for kept in by_patient.values())
    count = sum(kept == {np.True_} for kept in by_patient.values())
    assert abs(count - share * 700) < 4 * np.sqrt(700 * share * (1 - share))


def test_a_smaller_share_is_part_of_a_larger_one_and_all_is_all() -> None:
    few, more, everyone = (labelled(PATIENTS, share, 3) for share in (0.01, 0.1, 1.0))
    assert 0 < few.sum() < more.sum() < everyone.sum() == len(PATIENTS)
    assert not (few & ~more).any()
    assert (few != labelled(PATIENTS, 0.01, 4)).any()


def test_hospitals_that_pool_their_patients_read_the_same_labels() -> None:
    apart = np.concatenate([labelled(PATIENTS[:500], 0.1, 3), labelled(PATIENTS[500:], 0.1, 3)])
    np.testing.assert_array_equal(labelled(PATIENTS, 0.1, 3), apart)


@pytest.mark.parametrize("patients", [["a", "b", "c"], ["a", "a", "b"], ["a", "b"], ["a"]])
def test_a_hospital_keeps_two_images_where_it_has_them(patients: list[str]) -> None:
    chosen = labelled(np.array(patients), 0.0, 1)
    assert chosen.sum() >= min(2, len(patients))
    assert chosen.sum() <= 3
