"""One masked run, whose chain is executed again once for all tests, and copies of it to damage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from masked_runs import (
    Open,
    attempt_of,
    copied,
    court_of_others,
    masked_config,
    run_masked,
)

from fedcxr.chain.embedded import replay
from fedcxr.config import Config
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="session")
def honest(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Five hospitals, two rounds; never written to after this."""
    place = tmp_path_factory.mktemp("masked")
    return run_masked(masked_config(small_config, place / "data"), place / "run")


@pytest.fixture(scope="session")
def executed(honest: RunDirectory) -> Iterator[replay.Replayed]:
    """The run's chain, executed again once for all tests: none changes it."""
    with replay.verify(honest.chain_path) as replayed:
        assert replayed.findings == []
        yield replayed


@pytest.fixture(autouse=True)
def quick(executed: replay.Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "verify", lambda path: contextlib.nullcontext(executed))


@pytest.fixture(autouse=True)
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    court_of_others(monkeypatch)


@pytest.fixture(scope="session")
def opened(honest: RunDirectory) -> Open:
    """The first round's attempt, set and domain."""
    return attempt_of(honest, 1)


@pytest.fixture
def run(honest: RunDirectory, tmp_path: Path) -> RunDirectory:
    return copied(honest, tmp_path / "run")
