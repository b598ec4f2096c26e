"""``fedcxr bench secagg`` with a small vector: the sums have the plain bits, and every figure is one."""

import json

import pytest

from fedcxr.bench.secagg import as_json, bench_secagg
from fedcxr.errors import FederationError


@pytest.mark.parametrize("hospitals", [3, 5, 10])
def test_masked_sums_have_the_bits_of_plain_ones(hospitals: int) -> None:
    figures = json.loads(as_json(bench_secagg(lambda what: None, hospitals, 100_000)))
    assert figures["bit_identical"] is True
    assert 1 < figures["payload_over_float32"] < 1.05
    assert all(figures[name] > 0 for name in figures if name.endswith("_seconds"))


def test_two_hospitals_have_no_masked_round() -> None:
    with pytest.raises(FederationError, match="3 to 50 participants"):
        bench_secagg(lambda what: None, 2, 100)
