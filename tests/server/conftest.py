"""Three synthetic hospitals, for tests that hold one grid against another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from forked_cli import ForkedCli
from lives import Lives

from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate


@pytest.fixture(scope="session")
def three_hospitals_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three synthetic hospitals of twenty patients each, 64 px."""
    root = tmp_path_factory.mktemp("data") / "three-hospitals"
    generate(root, Phantom(hospitals=3, patients=20, size=64), 8)
    return root


@pytest.fixture(scope="session")
def three_hospitals(small_config: Config, three_hospitals_root: Path) -> Config:
    """The small federation over three hospitals, at 64 px."""
    changes = {
        "name": "three-hospitals",
        "data.root": str(three_hospitals_root),
        "data.size": 64,
        "federation.round_timeout": 300,
        "federation.min_hospitals": 3,
        "evaluation.bootstrap": 20,
    }
    return small_config.with_changes(changes)


@pytest.fixture(scope="session")
def lives(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """Runs of a process that may be killed."""
    cli = ForkedCli(tmp_path_factory.mktemp("logs"))
    yield Lives(cli, small_config, tmp_path_factory.mktemp("lives"))
    cli.close()


@pytest.fixture(scope="session")
def four_hospitals_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic hospitals of twelve patients each, 64 px: a committee's worth."""
    root = tmp_path_factory.mktemp("data") / "four-hospitals"
    generate(root, Phantom(hospitals=4, patients=12, size=64), 9)
    return root


@pytest.fixture(scope="session")
def four_hospitals(small_config: Config, four_hospitals_root: Path) -> Config:
    """The small federation over four hospitals."""
    return small_config.with_changes({"name": "four-hospitals", "data.root": str(four_hospitals_root)})
