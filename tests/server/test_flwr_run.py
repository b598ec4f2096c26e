"""``flwr run`` from a checkout: what is packed, and a simulation."""

import contextlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from deployment_page import CHECKOUT, end_family, free_port
from federation import digests
from flwr.app import Context, RecordDict
from flwr.cli.build import build_fab_from_disk

from clients.app import app as client_app
from fedcxr.config import Config
from fedcxr.errors import GridError
from fedcxr.store.run_directory import RunDirectory
from server import app as server_module
from server.grids.flower_environment import flower_environment
from server.grids.local import LocalGrid
from server.grids.simulation import on_local_grid, simulate


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Flower's use of pathspec
def test_the_packed_app_holds_what_it_needs_and_little_else() -> None:
    packed = build_fab_from_disk(CHECKOUT)
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert {
        "server/app.py",
        "clients/app.py",
        "fedcxr/cli/demo.toml",
        "fedcxr/ledger/artifacts/FederationLedger.json",
        "LICENSE",
    } <= set(names)
    assert {name.split("/")[0] for name in names} <= {
        *("fedcxr", "clients", "server", "experiments"),
        *("pyproject.toml", "LICENSE", ".info"),
    }
    assert len(packed) < 5 * 2**20  # Flower takes 10 MiB


def test_a_packaged_experiment_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = Path("fedcxr/cli/demo.toml")
    assert server_module._locate(demo) == CHECKOUT / demo
    (tmp_path / demo).parent.mkdir(parents=True)
    (tmp_path / demo).touch()
    assert server_module._locate(demo) == demo


def test_too_few_nodes_are_an_error_at_once(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_NODES_APPEAR", 0.0)
    run = RunDirectory.create(tmp_path / "run", small_config)
    context = Context(0, 0, {}, RecordDict(), {"run": str(run.root), "hospitals": 0})
    with pytest.raises(GridError, match="num-supernodes=3"):
        server_module.app(LocalGrid(client_app, [{"partition-id": 0}], {}), context)


def test_flwr_run_masks_with_the_models_of_the_local_grid(three_hospitals: Config, tmp_path: Path) -> None:
    config = three_hospitals.with_changes({"federation.rounds": 1})
    expected = digests(simulate(config, tmp_path / "local", on_local_grid))
    masked = config.with_changes({"privacy.envelope": "masked", "privacy.auditor": False})
    (tmp_path / "experiment.toml").write_text(masked.to_toml())
    port = str(free_port())
    environment = flower_environment(tmp_path / "flower") | {
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": port,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = ["flwr", "run", str(CHECKOUT), "--stream", "--federation-config", "num-supernodes=3"]
    command += ["--run-config", 'run="run" experiment="experiment.toml" set=""']
    try:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, timeout=300, capture_output=True, text=True, check=False
        )
    finally:
        for pid in superlinks(port):  # flwr leaves it running
            end_family(pid)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDirectory.open(tmp_path / "run")
    assert digests(run) == expected
    assert (run.root / "report" / "roc.png").is_file()


def superlinks(port: str) -> list[int]:
    """SuperLinks that were started for a port."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_text().split("\0")
            if "--simulation" in words and port in words:
                found.append(int(entry.name))
    return found
