"""The integer weights: the contract's, Python's and a naive reference's are the same."""

from contract_party import LocalChain, Party
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.ledger.rules import assign_weights
from fedcxr.update.fixed_point import WEIGHT_SUM

SAMPLES = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 10_000), min_size=1, max_size=256)


def reference(samples: list[int], weighting: str) -> list[int]:
    """One apiece; then what is left, by share, rounded down."""
    from fractions import Fraction

    count = len(samples)
    if weighting == "uniform":
        return [int(Fraction(WEIGHT_SUM, count))] * count
    total = Fraction(sum(samples))
    return [1 + int(s / total * (WEIGHT_SUM - count)) for s in samples]


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
)
def test_the_contract_assigns_the_same(chain: LocalChain, samples: list[int], weighting: str) -> None:
    party = Party.found(chain, samples, weighting=weighting)
    assert party.ledger.views.weighting == weighting
    view = party.open()
    assert [view.weights[a] for a in party.addresses] == assign_weights(samples, weighting)
