"""``fedcxr bench round``, with a small model: every part runs, and every figure is one."""

import json

import pytest

from fedcxr.bench.round import as_json, bench_round


def test_every_figure_of_the_benchmark_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    bench = bench_round(said.append, model="compact", patients=20)
    figures = json.loads(as_json(bench))
    assert all(value > 0 for value in figures.values()), figures
    assert bench.ledger_share < 1
    assert bench.parameters < 1_000_000
    assert bench.peak_memory_16_over_4 != 1
    assert bench.round_images > 4
    assert len(said) == 4
    assert capsys.readouterr().out == ""
