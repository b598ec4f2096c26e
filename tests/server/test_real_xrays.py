"""A round on real chest X-rays: five sites, masked labels, an audit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from federation import Recorder, run_federation

from fedcxr.audit.audit import audit
from fedcxr.config import validate
from fedcxr.data.labels import LABELS
from fedcxr.data.partition import Partition
from fedcxr.store.identity import Identity
from server.events import RoundFinalized

PATIENTS = 12  # of each site and split


def subset(real_cxr: Path, name: str, out: Path) -> pd.DataFrame:
    """The rows of a few patients of every site, in a CSV outside the data."""
    table = pd.read_csv(real_cxr / name, dtype=str, keep_default_na=False)
    sites = pd.read_csv(real_cxr / "hospitals.csv").set_index("patient")["site"]
    patients = table["Path"].str.extract(r"(patient\d+)")[0]
    few = sites[sites.index.isin(patients)].groupby(sites).head(PATIENTS).index
    rows = table[patients.isin(few)]
    rows.to_csv(out / name, index=False)
    return rows


@pytest.mark.real_cxr
def test_five_real_sites_train_one_audited_model(real_cxr: Path, tmp_path: Path) -> None:
    train, valid = (subset(real_cxr, name, tmp_path) for name in ("train.csv", "valid.csv"))
    config = validate(
        {
            "name": "real",
            "data": {
                "root": str(real_cxr),
                "train_csv": str(tmp_path / "train.csv"),
                "valid_csv": str(tmp_path / "valid.csv"),
                "size": 32,
                "blank": "ignore",
            },
            "partition": {"scheme": "natural", "sites": "hospitals.csv"},
            "model": {"name": "compact", "projection_dim": 16},
            "training": {"device": "cpu", "precision": "float32", "memory_format": "contiguous"},
            "federation": {"rounds": 1},
            "evaluation": {"bootstrap": 20},
        },
        where="tests",
    )
    recorder = Recorder()
    run = run_federation(config, tmp_path / "run", observer=recorder, evaluated=True)

    partition = Partition.read(run.partition_path)
    assert len(partition.names) == 5
    assert sum(shard.train.images for shard in partition.shards) == len(train)
    (finalized,) = recorder.of(RoundFinalized)
    assert isinstance(finalized, RoundFinalized)
    assert len(finalized.included) == 5
    scores = finalized.evaluation
    assert scores is not None
    assert scores.images == len(valid)
    never_asked = ("Enlarged Cardiomediastinum", "Fracture", "Support Devices")
    values = dict(zip(LABELS, (label.value for label in scores.labels), strict=True))
    assert all(values[name] is None for name in never_asked), "no number for a label that nobody asked"
    assert all(np.isfinite(values[name]) for name in ("No Finding", "Pneumonia"))  # type: ignore[arg-type]
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert (report.clean, report.complete) == (True, True)
