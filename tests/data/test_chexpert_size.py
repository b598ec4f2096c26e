"""CheXpert's real size: 223,414 rows of 64,540 patients, on one core, within 10 s and 1 GB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chexpert_tables import PATIENTS, ROWS, STUDIES, line, write_chexpert_sized, write_csv

PROGRAM = """
import json, re, sys, time
start = time.perf_counter()
from pathlib import Path
from fedcxr.config import Partition
from fedcxr.data.chexpert import read_table
from fedcxr.data.partition import make_partition

root = Path(sys.argv[1])
train, valid = (read_table(root / name, root) for name in ("train.csv", "valid.csv"))
read = time.perf_counter() - start
settings = Partition(scheme=sys.argv[2], hospitals=20, alpha=0.5)
partition = make_partition(train, valid, settings, 0, root)
partition.write(root / "partition.json")
partition.check(train, valid)
rows = sum(len(partition.rows(train, name)) for name in partition.names)
print(json.dumps({
    "rows": len(train), "held": rows, "patients": len(train.patient_names),
    "studies": int(train.study_codes.max()) + 1, "read_seconds": read,
    "seconds": time.perf_counter() - start,
    "cpu_seconds": time.process_time(),
    # ru_maxrss begins at what the parent had
    "megabytes": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


@pytest.fixture(scope="module")
def chexpert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("big") / "CheXpert-v1.0-small"
    root.mkdir()
    write_chexpert_sized(root / "train.csv")
    rows = [
        line(f"CheXpert-v1.0-small/valid/patient{patient}/study1/view1_frontal.jpg", ",".join(["0.0"] * 14))
        for patient in range(64_541, 64_741)
    ]
    write_csv(root / "valid.csv", *rows)
    sites = (f"patient{patient:05d},site-{patient % 20}" for patient in range(1, 64_741))
    write_csv(root / "hospitals.csv", *sites, header="patient,site")
    return root


@pytest.mark.parametrize("scheme", ["natural", "dirichlet", "device"])
def test_chexpert_is_read_checked_and_partitioned_in_10_s_and_1_gb(chexpert: Path, scheme: str) -> None:
    one_core = {min(os.sched_getaffinity(0))}
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(chexpert), scheme],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, one_core),
    )
    figures = json.loads(child.stdout)
    assert (figures["rows"], figures["patients"], figures["studies"]) == (ROWS, PATIENTS, STUDIES)
    assert figures["held"] == ROWS
    assert figures["cpu_seconds"] < 10, figures  # the core's own time: the machine may have other work
    assert figures["megabytes"] < 1000, figures
