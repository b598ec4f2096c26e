"""The making of a cell's work, before any clock starts: images, shards, first model, true average."""

from __future__ import annotations

import csv
import json
from itertools import groupby
from pathlib import Path

import numpy as np

from clients.disk import HospitalDisk
from clients.shard import load_shard
from experiments.peers.cells import Cell
from experiments.peers.work import SEED, SIZE, Work
from fedcxr.config import Config, Phantom
from fedcxr.data import phantom
from fedcxr.data.cache import prepare
from fedcxr.data.chexpert import read_table
from fedcxr.data.partition import make_partition
from fedcxr.store.hospital_settings import HospitalData, HospitalSettings
from fedcxr.training.first_model import FirstModel
from fedcxr.update.fixed_point import choose_exponents

_SITES = 4  # scanners that the phantoms come from
_VALID = 0.05  # share of the patients that nobody trains on; there must be a table of them


def prepare_work(folder: Path, cell: Cell, rounds: int) -> Work:
    """Make the images, deal them out, and write down the first model and the first round's true average.

    What is there already is taken as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = Work(folder)
    facts = json.dumps({"cell": cell.name, "rounds": rounds})
    if (folder / "average.npy").exists() and (folder / "cell.json").read_text(encoding="utf-8") == facts:
        return work
    (folder / "cell.json").write_text(facts, encoding="utf-8")
    config = work.config()
    _draw(config.data.root_path, cell)
    names = _deal_images(config.data.root_path, cell)
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    _write_shards(work, config)
    made = FirstModel.of(config)
    (folder / "layout.json").write_text(made.layout.to_json(), encoding="utf-8")
    np.save(folder / "first.npy", made.vector)
    exponents = choose_exponents(work.layout, work.first, None)
    np.savez(
        folder / "tensors.npz",
        starts=[place.start for place in work.layout.slices],
        steps=[2.0**-exponent for exponent in exponents],
    )
    total = np.zeros(work.layout.size, np.float64)
    for hospital in range(cell.hospitals):
        total += work.train(work.first, hospital, round_number=1)
    np.save(folder / "average.npy", total / cell.hospitals)
    return work


def _draw(root: Path, cell: Cell) -> None:
    """Draw phantoms: a patient for each image that is wanted, of whom most have more than one."""
    patients = -(-cell.hospitals * cell.images // _SITES)
    patients = max(20, int(patients / (1 - _VALID)) + 2)  # at each site
    settings = Phantom(hospitals=_SITES, patients=patients, valid_fraction=_VALID, size=SIZE)
    phantom.generate(root, settings, SEED)


def _deal_images(root: Path, cell: Cell) -> list[str]:
    """Give each hospital its number of images, of patients whom no other one has; the rest is left out."""
    names = [f"hospital-{number + 1:04d}" for number in range(cell.hospitals)]
    header, rows = _table(root / "train.csv")
    patients = iter([list(group) for _, group in groupby(rows, _patient)])
    sites, dealt = [], []
    for name in names:
        own: list[list[str]] = []
        while len(own) < cell.images:
            images = next(patients)
            sites.append([_patient(images[0]), name])
            own += images
        dealt += own[: cell.images]
    valid_header, valid = _table(root / "valid.csv")
    valid = valid[:4]  # nobody is evaluated on it
    sites += [[patient, names[0]] for patient in dict.fromkeys(map(_patient, valid))]
    _write_table(root / "train-peers.csv", header, dealt)
    _write_table(root / "valid-peers.csv", valid_header, valid)
    _write_table(root / "sites-peers.csv", ["patient", "site"], sites)
    return names


def _write_shards(work: Work, config: Config) -> None:
    """Decode every image into the cache that all systems read, and write each hospital's for the peers."""
    root = config.data.root_path
    train_table = read_table(root / config.data.train_csv, root)
    valid_table = read_table(root / config.data.valid_csv, root)
    for split, table in (("train", train_table), ("valid", valid_table)):
        prepare(table, config.data.size, config.data.cache_path(work.folder, split).absolute())
    partition = make_partition(train_table, valid_table, config.partition, config.seed, root)
    manifest = work.folder / "partition.json"
    partition.write(manifest)
    (work.folder / "shards").mkdir(exist_ok=True)
    disk = HospitalDisk(work.folder / "disk")
    disk.root.mkdir(exist_ok=True)
    for name in work.names:
        data = HospitalData(
            root=str(root),
            csv=config.data.train_csv,
            cache=str(config.data.cache_path(work.folder, "train").absolute()),
            partition=str(manifest),
        )
        (disk.root / "hospital.toml").write_text(
            HospitalSettings(name=name, ledger="off", data=data).to_toml(), encoding="utf-8"
        )
        own = load_shard(HospitalDisk(disk.root), config).training
        assert own.patients is not None and own.studies is not None  # a table says whose images they are
        np.savez(
            work.folder / "shards" / f"{name}.npz",
            images=own.images[own.rows],
            rows=np.arange(len(own), dtype=np.int64),
            targets=own.targets,
            mask=own.mask,
            patients=own.patients,
            studies=own.studies,
        )


def _patient(row: list[str]) -> str:
    return row[0].split("/")[2]  # ROOT/train/PATIENT/…


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
