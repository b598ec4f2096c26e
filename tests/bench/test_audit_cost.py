"""``fedcxr bench audit``, with a small model: every part runs, and every figure is one."""

from dataclasses import asdict

import pytest

from fedcxr.bench.audit import bench_audit


def test_every_figure_of_the_audits_benchmark_is_measured() -> None:
    said: list[str] = []
    bench = bench_audit(said.append, model="compact", repeats=1)
    assert all(value > 0 for value in asdict(bench).values()), bench
    assert bench.updates == 8
    assert bench.audit_over_sha256sum == pytest.approx(bench.seconds / bench.sha256sum_seconds)
    assert len(said) == 3
