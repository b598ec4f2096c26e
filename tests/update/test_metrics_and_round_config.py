"""Metrics and round configurations: canonical bytes, and nothing else is read."""

from dataclasses import replace

import pytest

from fedcxr.errors import FederationError, LayoutError
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig

METRICS = HospitalMetrics("ab" * 16, 10, 20, 5, 1.5, 0.1, 0.7, {"bce": 0.6, "ntxent": 1.0}, 0)


def test_metrics_read_back_and_the_salt_changes_the_bytes() -> None:
    assert HospitalMetrics.from_bytes(METRICS.to_bytes()) == METRICS
    salted = replace(METRICS, salt=HospitalMetrics.fresh_salt())
    assert salted.to_bytes() != METRICS.to_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"steps":5', b'"steps":"5"'),
        (b'"steps":5', b'"stairs":5'),
        (b'"loss":0.7', b'"loss":NaN'),
        (b'"bce":0.6', b'"bce":"0.6"'),
        (b'"bce":0.6', b'"bce":NaN'),
        (b'"bce":0.6', b'"bce":true'),
        (b'"bce":0.6', b'"bce":{}'),
        (b'"bce":0.6', b'"<b>bce":0.6'),
        (b'"terms":{"bce":0.6,"ntxent":1.0}', b'"terms":[0.6]'),
        (b"fedcxr/metrics/2", b"fedcxr/metrics/1"),
        (b"fedcxr/metrics/2", b"fedcxr/metrics/3"),
        (b'"loss":0.7', b'"loss":null'),
        (b"{", b"["),
    ],
)
def test_metrics_of_another_kind_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(FederationError, match="metrics"):
        HospitalMetrics.from_bytes(METRICS.to_bytes().replace(old, new, 1))


def test_metrics_may_tell_no_losses() -> None:
    untold = METRICS.untold
    assert HospitalMetrics.from_bytes(untold.to_bytes()) == untold
    assert (untold.loss, untold.terms, untold.images) == (None, {}, METRICS.images)
    assert b"0.7" not in untold.to_bytes()


def test_round_config_reads_back_under_the_same_digest() -> None:
    config = RoundConfig(3, "aa", "bb", "cc", (1, 2, 3))
    assert RoundConfig.from_bytes(config.to_bytes()) == config
    assert RoundConfig.from_bytes(config.to_bytes()).digest == config.digest
    assert replace(config, exponents=(1, 2, 4)).digest != config.digest
    with pytest.raises(LayoutError, match="not a round's configuration"):
        RoundConfig.from_bytes(b"{}")
