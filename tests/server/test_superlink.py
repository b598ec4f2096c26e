"""The deployment of docs/deployment.md, on loopback, with the same result as in one process."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from deployment_page import CHECKOUT, Party, end, free_port, wait_for_port
from federation import digests

from fedcxr.config import Config
from fedcxr.store.run_directory import RunDirectory
from server.grids.simulation import on_local_grid, simulate


def deal_out(root: Path) -> dict[str, str]:
    """Write a CSV for each hospital, with its own rows only; names of the CSVs by hospital."""
    table = pd.read_csv(root / "train.csv", dtype=str, keep_default_na=False)
    sites = pd.read_csv(root / "hospitals.csv", dtype=str).set_index("patient")["site"]
    site = table["Path"].str.extract(r"(patient\d+)")[0].map(sites)
    csvs = {}
    for name, rows in table.groupby(site):
        csvs[str(name)] = f"train-{name}.csv"
        rows.to_csv(root / csvs[str(name)], index=False)
    return csvs


def test_three_masked_hospitals_over_tls_release_the_model_of_the_local_grid(
    three_hospitals: Config, three_hospitals_root: Path, tmp_path: Path
) -> None:
    expected = digests(simulate(three_hospitals, tmp_path / "local", on_local_grid))
    network = {
        "COORDINATOR": "localhost",
        "BIND": "127.0.0.1",
        "PORT": str(free_port()),
        "LEDGER_PORT": str(free_port()),
    }
    coordinator = Party(tmp_path / "coordinator", **network, CHECKOUT=str(CHECKOUT))
    masked = three_hospitals.with_changes({"privacy.envelope": "masked", "privacy.auditor": False})
    (coordinator.directory / "experiment.toml").write_text(masked.to_toml())
    coordinator.run("certificates")
    with ExitStack() as running:
        superlink = coordinator.start("superlink")
        running.callback(end, superlink)
        wait_for_port(int(network["PORT"]), superlink)
        coordinator.run("connection")
        hospitals = []
        shards = deal_out(three_hospitals_root)
        for nickname, (name, csv) in zip(("north", "south", "west"), shards.items(), strict=True):
            settings = {"HOSPITAL": name, "DATA": str(three_hospitals_root), "CSV": csv}
            hospital = Party(tmp_path / name, **network, **settings, NODE_PORT=str(free_port()))
            hospital.run("hospital")
            shutil.copy(coordinator.directory / "certificates" / "ca.crt", hospital.directory)
            shutil.copy(hospital.directory / "node-key.pub", coordinator.directory / f"{nickname}.pub")
            hospitals.append(hospital)
        coordinator.run("register")
        for hospital in hospitals:
            running.callback(end, hospital.start("supernode"))
        coordinator.run("run", seconds=400)
    run = RunDirectory.open(coordinator.directory / "run")
    assert digests(run) == expected
    assert run.summary_path.exists()
    coordinator.run("audit")
