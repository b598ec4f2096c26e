import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedcxr.config import Data
from fedcxr.data.labels import BLANK, COMPETITION_LABELS, LABELS, LabelPolicy, Uncertainty
from fedcxr.errors import ConfigError, DataError

RAW = hnp.arrays(
    np.int8, st.tuples(st.integers(0, 20), st.just(14)), elements=st.sampled_from([1, 0, -1, BLANK])
)
POLICIES = st.builds(
    LabelPolicy,
    st.tuples(*[st.sampled_from(Uncertainty)] * 14),
    st.sampled_from(["negative", "ignore"]),
)


def naive_target(code: int, policy: Uncertainty, blank: str) -> tuple[float, float, bool]:
    """Lowest target, highest target and mask of one label, written out case by case."""
    if code in (0, 1):
        return code, code, True
    if code == BLANK:
        return 0.0, 0.0, blank == "negative"
    return {
        "ignore": (0.0, 0.0, False),
        "zeros": (0.0, 0.0, True),
        "ones": (1.0, 1.0, True),
        "smoothed": (0.55, 0.85, True),
        "smoothed_zeros": (0.0, 0.3, True),
    }[policy.value]


@given(RAW, POLICIES, st.integers(0, 2**63 - 1))
def test_targets_follow_the_table_cell_by_cell(raw: np.ndarray, policy: LabelPolicy, seed: int) -> None:
    targets, mask = policy.targets(raw, seed)
    assert targets.dtype == np.float32 and mask.dtype == np.bool_ and targets.shape == mask.shape == raw.shape
    for (row, column), code in np.ndenumerate(raw):
        low, high, counts = naive_target(int(code), policy.uncertain[column], policy.blank)
        assert np.float32(low) <= targets[row, column] <= np.float32(high)
        assert mask[row, column] == counts


def test_smoothed_targets_depend_on_seed_and_label_but_not_on_other_labels() -> None:
    raw = np.full((50, 14), -1, dtype=np.int8)
    smoothed = LabelPolicy((Uncertainty.SMOOTHED,) * 14)
    only_first = LabelPolicy((Uncertainty.SMOOTHED, *[Uncertainty.ONES] * 13))
    targets = smoothed.targets(raw, 3)[0]
    np.testing.assert_array_equal(targets, smoothed.targets(raw, 3)[0])
    np.testing.assert_array_equal(targets[:, 0], only_first.targets(raw, 3)[0][:, 0])
    assert not np.array_equal(targets, smoothed.targets(raw, 4)[0])
    assert not np.array_equal(targets[:, 0], targets[:, 1])
    assert len(np.unique(targets)) > 600


def test_a_label_that_is_always_blank_is_masked_when_blank_is_ignored() -> None:
    raw = np.ones((4, 14), dtype=np.int8)
    raw[:, 12] = BLANK
    _, mask = LabelPolicy((Uncertainty.ONES,) * 14, "ignore").targets(raw, 0)
    assert not mask[:, 12].any()
    assert mask[:, :12].all()


def test_the_policy_of_a_configuration_has_one_entry_per_label() -> None:
    data = Data(root=".", uncertain="ones", uncertain_per_label={"Edema": "ignore"}, blank="ignore")
    policy = LabelPolicy.from_config(data)
    assert policy.uncertain[LABELS.index("Edema")] is Uncertainty.IGNORE
    assert policy.uncertain.count(Uncertainty.ONES) == 13
    assert policy.blank == "ignore"


def test_an_unknown_label_in_the_configuration_is_named_with_what_is_allowed() -> None:
    data = Data(root=".", uncertain_per_label={"Oedema": "ignore"})
    with pytest.raises(ConfigError, match=r"uncertain_per_label.'Oedema'.*allowed: No Finding.*Edema"):
        LabelPolicy.from_config(data)


@pytest.mark.parametrize("raw", [np.zeros((3, 13), np.int8), np.full((3, 14), 2, np.int8)])
def test_raw_labels_of_another_shape_or_code_are_refused(raw: np.ndarray) -> None:
    with pytest.raises(DataError):
        LabelPolicy((Uncertainty.ONES,) * 14).targets(raw, 0)


def test_the_competition_labels_are_among_the_14() -> None:
    assert len(LABELS) == 14
    assert set(COMPETITION_LABELS) < set(LABELS)
