"""``import fedcxr``: the names, and that nothing heavy comes with them before one is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

import fedcxr

HEAVY = {"torch", "numpy", "pandas", "pydantic", "web3", "flwr", "ray", "rich", "typer", "matplotlib"}


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has imported after a statement."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_the_import_is_light_and_a_name_brings_what_it_needs() -> None:
    assert not HEAVY & imported_by("import fedcxr; dir(fedcxr); fedcxr.__all__")
    assert "pydantic" in imported_by("import fedcxr; fedcxr.load_config")
    assert "torch" not in imported_by("import fedcxr; fedcxr.load_config; fedcxr.FedcxrError")


@pytest.mark.parametrize("name", fedcxr.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(fedcxr, name)
    assert value.__doc__
    assert name in dir(fedcxr)


def test_no_name_hides_a_package() -> None:
    folder = Path(fedcxr.__file__).parent
    assert not set(fedcxr.__all__) & {path.stem for path in folder.iterdir()}


def test_another_name_is_an_attribute_error_and_a_package_is_still_found() -> None:
    with pytest.raises(AttributeError, match="'fedcxr' has no attribute 'simulat'"):
        fedcxr.simulat  # noqa: B018
    from fedcxr import files

    assert files.__name__ == "fedcxr.files"
