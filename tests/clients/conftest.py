"""A founded federation, and hospitals of it on disks of each test's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from founded import Founded, found

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.config import Config


@pytest.fixture(scope="session")
def founded(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founded]:
    with found(small_config, tmp_path_factory.mktemp("founded") / "run") as federation:
        yield federation


@pytest.fixture
def participant(founded: Founded, tmp_path: Path) -> Hospital:
    """Hospital 0, on a disk of this test's own."""
    return _copy(founded, 0, tmp_path)


@pytest.fixture
def bystander(founded: Founded, tmp_path: Path) -> Hospital:
    """Hospital 1: registered, and not in the round."""
    return _copy(founded, 1, tmp_path)


@pytest.fixture
def newcomer(founded: Founded, tmp_path: Path) -> Hospital:
    """Hospital 2: it has not joined yet."""
    return _copy(founded, 2, tmp_path)


def _copy(founded: Founded, index: int, place: Path) -> Hospital:
    shutil.copytree(founded.run.hospital(index), place / "hospital")
    return Hospital(HospitalDisk(place / "hospital"))
