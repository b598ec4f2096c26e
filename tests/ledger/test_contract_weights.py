"""The integer weights: the contract's, Python's and a naive reference's are the same."""

import pytest
from contract_party import LocalChain, Party
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.bounds import Bounds
from fedcxr.ledger.rules import assign_weights, beyond_share
from fedcxr.update.fixed_point import WEIGHT_SUM

SAMPLES = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 10_000), min_size=1, max_size=256)


def reference(samples: list[int], weighting: str, largest_share: int = 0) -> list[int]:
    """One apiece; then what is left, by share, rounded down; of so many samples as a share allows."""
    from fractions import Fraction

    count = len(samples)
    if largest_share:
        most = most_that_count(samples, largest_share)
        samples = [min(s, most) for s in samples]
    if weighting == "uniform":
        return [int(Fraction(WEIGHT_SUM, count))] * count
    total = Fraction(sum(samples))
    return [1 + int(s / total * (WEIGHT_SUM - count)) for s in samples]


def most_that_count(samples: list[int], largest_share: int) -> int:
    """The most samples with which nobody has more than the share of all that count; tried by halving."""
    low, high = 1, max(samples)
    while low < high:
        middle = (low + high + 1) // 2
        fits = 10_000 * middle <= largest_share * sum(min(s, middle) for s in samples)
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


@settings(deadline=None)
@given(SAMPLES, st.sampled_from(["samples", "uniform"]), st.integers(1, 10_000))
def test_no_weight_is_a_unit_above_the_largest_share(
    samples: list[int], weighting: str, largest_share: int
) -> None:
    if len(samples) * largest_share < 10_000:
        with pytest.raises(ContractRejectedError, match="TooFewForShare"):
            assign_weights(samples, weighting, largest_share)
        return
    weights = assign_weights(samples, weighting, largest_share)
    assert weights == reference(samples, weighting, largest_share)
    assert all(10_000 * weight < largest_share * sum(weights) + 10_000 for weight in weights)
    assert beyond_share({str(i): weight for i, weight in enumerate(weights)}, largest_share) == ""
    assert sum(weights) <= WEIGHT_SUM


def test_a_share_that_nobody_has_changes_nothing() -> None:
    assert assign_weights([10, 20, 30], "samples", 10_000) == assign_weights([10, 20, 30], "samples")


@settings(deadline=None)
@given(SAMPLES, st.sampled_from(["samples", "uniform"]))
def test_weights_are_the_references_and_never_sum_to_more_than_they_may(
    samples: list[int], weighting: str
) -> None:
    weights = assign_weights(samples, weighting)
    assert weights == reference(samples, weighting)
    assert sum(weights) <= WEIGHT_SUM
    assert min(weights) >= 1


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 500), min_size=1, max_size=8),
    st.sampled_from(["samples", "uniform"]),
    st.sampled_from([0, 1250, 2000, 3334, 5000, 9000]),
    st.sets(st.integers(0, 7), max_size=3),
)
def test_the_contract_assigns_the_same_and_binds_the_same(
    chain: LocalChain, samples: list[int], weighting: str, largest_share: int, away: set[int]
) -> None:
    bounds = Bounds(largest_share=largest_share)
    party = Party.found(chain, samples, bounds=bounds, weighting=weighting)
    assert (party.ledger.views.weighting, party.ledger.views.bounds) == (weighting, bounds)
    try:
        expected = assign_weights(samples, weighting, largest_share)
    except ContractRejectedError as error:
        with pytest.raises(ContractRejectedError) as raised:
            party.open()
        assert (raised.value.name, raised.value.arguments) == (error.name, error.arguments)
        return
    view = party.open()
    assert [view.weights[a] for a in party.addresses] == expected
    came = [h for i, h in enumerate(party.hospitals) if i not in away] or party.hospitals
    signed = [party.signed(hospital, samples=1) for hospital in came]
    assert all(verdict.accepted for verdict in party.ledger.submit(signed))
    party.close()
    weights = {hospital.address: view.weights[hospital.address] for hospital in came}
    if largest := beyond_share(weights, largest_share):
        with pytest.raises(ContractRejectedError) as raised:
            party.finalize()
        seat = view.seats[largest]
        assert raised.value.arguments == (seat, weights[largest], sum(weights.values()))
        party.ledger.abort(1, "one has too large a share")
    else:
        party.finalize()
