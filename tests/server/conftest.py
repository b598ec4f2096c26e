"""Two synthetic hospitals, for tests that hold one grid against another."""

from pathlib import Path

import pytest

from fedcxr.config import Config, Phantom, validate
from fedcxr.data.phantom import generate


@pytest.fixture(scope="session")
def two_hospitals_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic hospitals of twenty patients each, 64 px."""
    root = tmp_path_factory.mktemp("data") / "two-hospitals"
    generate(root, Phantom(hospitals=2, patients=20, size=64), 8)
    return root


@pytest.fixture
def two_hospitals(two_hospitals_root: Path) -> Config:
    """Two rounds of the compact model at 64 px, with all that decides bits written out."""
    return validate(
        {
            "name": "two-hospitals",
            "seed": 8,
            "data": {"root": str(two_hospitals_root), "size": 64},
            "model": {"name": "compact", "projection_dim": 16},
            "training": {
                "batch_size": 8,
                "device": "cpu",
                "precision": "float32",
                "memory_format": "contiguous",
                "threads": 1,
            },
            "federation": {"rounds": 2, "round_timeout": 300},
            "evaluation": {"bootstrap": 20},
        },
        where="tests",
    )
