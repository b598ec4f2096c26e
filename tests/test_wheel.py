"""The wheel alone, in an empty environment outside the checkout, runs the demonstration."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SMALL = [
    "model.name=compact", "data.size=32", "data.phantom.patients=10", "data.phantom.size=64",
    "evaluation.bootstrap=50", "federation.rounds=1", "training.threads=1", "training.device=cpu",
    "training.precision=float32", "training.memory_format=contiguous",
]  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("fedcxr", "clients", "server"):  # a copy, so that no build/ of before gets into the wheel
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_contract_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "fedcxr/ledger/artifacts/FederationLedger.json" in names
    assert "fedcxr/cli/demo.toml" in names
    assert {"clients/app.py", "server/app.py", "fedcxr/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "contracts/", "runs/"))]


def test_the_installed_wheel_runs_the_demonstration(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    # The dependencies are borrowed, for they are gigabytes; a path file gives no editable install along.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(install, check=True, capture_output=True, env=clean)
    where = [str(python), "-c", "import fedcxr, clients, server; print(fedcxr.__file__, server.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path, env=clean).stdout
    assert str(CHECKOUT) not in found

    overrides = [part for override in SMALL for part in ("--set", override)]
    demo = [str(environment / "bin" / "fedcxr"), "demo", "--out", "run", *overrides]
    done = subprocess.run(demo, capture_output=True, text=True, cwd=tmp_path, env=clean, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean" in done.stdout
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(json.loads(lines[-1])["included"]) == 4
