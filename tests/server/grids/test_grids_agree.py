"""The grid decides where hospitals train, and nothing else; test_superlink.py holds the third to it."""

from pathlib import Path

from federation import digests

from fedcxr.config import Config
from server.grids.ray import simulate_on_ray
from server.grids.simulation import on_local_grid, simulate


def test_ray_releases_the_models_of_the_local_grid(two_hospitals: Config, tmp_path: Path) -> None:
    expected = digests(simulate(two_hospitals, tmp_path / "local", on_local_grid))
    assert len(set(expected)) == 2
    assert digests(simulate(two_hospitals, tmp_path / "ray", simulate_on_ray)) == expected
