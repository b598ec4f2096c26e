"""What all tests share: where the real chest X-rays are, and how a test says that they are not there."""

import os
from pathlib import Path

import pytest

DEFAULT_REAL_CXR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cxr-open"


@pytest.fixture(scope="session")
def real_cxr() -> Path:
    """Root of the real chest X-rays (NIH and Guangzhou images in the CheXpert layout)."""
    root = Path(os.environ.get("FEDCXR_REAL_CXR", DEFAULT_REAL_CXR))
    if not (root / "train.csv").is_file():
        pytest.skip(f"no real chest X-rays at {root}: set FEDCXR_REAL_CXR to a folder in the CheXpert layout")
    return root
