import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chexpert_tables import make_table, write_csv
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedcxr.config import Partition as Settings
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.data.partition import Partition, make_partition
from fedcxr.errors import PartitionError, TableError

ROOT = Path("unused")
DRAWN = ("dirichlet", "quantity", "device", "iid")

VIEWS = st.sampled_from(
    [("Frontal", "AP"), ("Frontal", "PA"), ("Frontal", ""), ("Lateral", ""), ("Lateral", "LL")]
)
LABEL_ROWS = st.lists(st.sampled_from([1, 0, -1, BLANK]), min_size=14, max_size=14)


@st.composite
def splits(draw: st.DrawFn) -> tuple[ChexpertTable, ChexpertTable]:
    """Train and valid with a few to some dozen patients, each with one to four images."""
    first_valid = draw(st.integers(6, 40))
    patients = {
        "train": range(first_valid),
        "valid": range(first_valid, first_valid + draw(st.integers(1, 20))),
    }
    tables = []
    for name, numbers in patients.items():
        images = [
            (f"patient{number:05d}", *draw(VIEWS), draw(LABEL_ROWS))
            for number in numbers
            for _ in range(draw(st.integers(1, 4)))
        ]
        tables.append(make_table(draw(st.permutations(images)), name))
    return tables[0], tables[1]


def cohort(train: int, valid: int, seed: int = 0) -> tuple[ChexpertTable, ChexpertTable]:
    """Many patients: AP at one in two, a fifth of PA studies with a lateral, five label prevalences."""
    generator = np.random.default_rng(seed)
    tables = []
    for name, numbers in (("train", range(train)), ("valid", range(train, train + valid))):
        images = []
        for number in numbers:
            patient = f"patient{number:05d}"
            labels = np.where(generator.random(14) < 0.3, 1, 0).tolist()
            bedside = generator.random() < 0.5
            images.append((patient, "Frontal", "AP" if bedside else "PA", labels))
            if not bedside and generator.random() < 0.2:
                images.append((patient, "Lateral", "", labels))
        tables.append(make_table(images, name))
    return tables[0], tables[1]


@settings(deadline=None, max_examples=60)
@given(splits(), st.sampled_from(DRAWN), st.integers(1, 5), st.floats(0.05, 50), st.integers(0, 2**32))
def test_every_patient_is_in_exactly_one_shard(
    tables: tuple[ChexpertTable, ChexpertTable], scheme: Any, hospitals: int, alpha: float, seed: int
) -> None:
    train, valid = tables
    wanted = Settings(scheme=scheme, hospitals=hospitals, alpha=alpha, min_patients=1)
    try:
        partition = make_partition(train, valid, wanted, seed, ROOT)
    except PartitionError as error:
        assert "min_patients" in str(error)  # so skewed that a hospital stays empty
        assume(False)
    check_exact_cover(partition, train, valid)


@settings(deadline=None, max_examples=40)
@given(tables=splits(), sites=st.integers(1, 4), data=st.data())
def test_every_patient_is_where_their_site_is(
    tables: tuple[ChexpertTable, ChexpertTable],
    sites: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    train, valid = tables
    at = {
        str(patient): f"site {data.draw(st.integers(1, sites))}"
        for table in tables
        for patient in table.patient_names
    }
    in_train = {at[str(patient)] for patient in train.patient_names}
    assume(in_train == set(at.values()))
    root = tmp_path_factory.mktemp("sites")
    write_csv(root / "hospitals.csv", *(f"{p},x,{s}" for p, s in at.items()), header="patient,other,site")
    partition = make_partition(train, valid, Settings(min_patients=1), 0, root)
    check_exact_cover(partition, train, valid)
    assert {p: shard.name for shard in partition.shards for p in shard.patients} == at


def check_exact_cover(partition: Partition, train: ChexpertTable, valid: ChexpertTable) -> None:
    partition.check(train, valid)
    dealt = [patient for shard in partition.shards for patient in shard.patients]
    assert sorted(dealt) == sorted({*train.patients.tolist(), *valid.patients.tolist()})
    for table, role in ((train, "train"), (valid, "valid")):
        rows = [partition.rows(table, name) for name in partition.names]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(table)))
        owners: dict[str, str] = {}
        for shard, held in zip(partition.shards, rows, strict=True):
            assert (np.diff(held) > 0).all()
            counts = getattr(shard, role)
            patients = set(table.patients[held].tolist())
            assert patients <= set(shard.patients)
            assert counts.images == len(held)
            assert counts.patients == len(patients)
            assert counts.studies == len(set(table.studies[held].tolist()))
            for patient in patients:
                assert owners.setdefault(patient, shard.name) == shard.name


@pytest.mark.parametrize("scheme", DRAWN)
def test_the_seed_decides_everything(scheme: Any) -> None:
    train, valid = cohort(400, 100)
    wanted = Settings(scheme=scheme, hospitals=4)
    digests = [make_partition(train, valid, wanted, seed, ROOT).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_iid_sizes_differ_by_one_patient_at_most() -> None:
    train, valid = cohort(403, 101)
    shards = make_partition(train, valid, Settings(scheme="iid", hospitals=4), 0, ROOT).shards
    assert {shard.train.patients for shard in shards} == {100, 101}
    assert {shard.valid.patients for shard in shards} == {25, 26}


def test_quantity_sizes_are_skewed_and_valid_follows_train() -> None:
    train, valid = cohort(2000, 400)
    shards = make_partition(train, valid, Settings(scheme="quantity", hospitals=4, alpha=0.5), 0, ROOT).shards
    sizes = np.array([(shard.train.patients / 2000, shard.valid.patients / 400) for shard in shards])
    assert sizes[:, 0].max() > 2 * sizes[:, 0].min()
    np.testing.assert_allclose(sizes[:, 0], sizes[:, 1], atol=1 / 400)


def spread(partition: Partition, table: ChexpertTable, label: str) -> float:
    """Largest less smallest prevalence of a label over the hospitals."""
    positive = table.labels[:, LABELS.index(label)] == 1
    shares = [positive[partition.rows(table, name)].mean() for name in partition.names]
    return max(shares) - min(shares)


def test_a_smaller_alpha_makes_prevalences_differ_more_in_train_and_valid_alike() -> None:
    train, valid = cohort(4000, 2000)
    skewed, even = (
        make_partition(train, valid, Settings(scheme="dirichlet", hospitals=4, alpha=alpha), 5, ROOT)
        for alpha in (0.3, 1000.0)
    )
    for table in (train, valid):
        assert spread(skewed, table, "Edema") > 0.2
        assert spread(even, table, "Edema") < 0.1
    prevalences = [
        [(table.labels[skewed.rows(table, n), LABELS.index("Edema")] == 1).mean() for n in skewed.names]
        for table in (train, valid)
    ]
    assert np.corrcoef(prevalences)[0, 1] > 0.9


def test_device_goes_from_examination_rooms_to_bedside_in_hospitals_of_equal_size() -> None:
    train, valid = cohort(1000, 400)
    partition = make_partition(train, valid, Settings(scheme="device", hospitals=4), 0, ROOT)
    assert {shard.train.patients for shard in partition.shards} == {250}
    for table in (train, valid):
        rows = [partition.rows(table, name) for name in partition.names]
        bedside = [(table.projection[held] == "AP").mean() for held in rows]
        assert bedside[0] == 0 and bedside[-1] == 1
        assert bedside == sorted(bedside)
        lateral = [(table.view[held] == "Lateral").mean() for held in rows]
        assert lateral[0] > 0.2 > lateral[1] and lateral[-1] == 0


def test_device_orders_patients_with_both_machines_between_the_others() -> None:
    mixes = {
        "patient1": ["PA"] * 3,
        "patient2": ["PA", "PA", "AP"],
        "patient3": ["AP", "AP", "PA"],
        "patient4": ["AP"],
    }
    train = make_table([(p, "Frontal", view, [0] * 14) for p, views in mixes.items() for view in views])
    valid = make_table([("patient5", "Frontal", "AP", [0] * 14)], "valid")
    wanted = Settings(scheme="device", hospitals=4, min_patients=1)
    shards = make_partition(train, valid, wanted, 0, ROOT).shards
    assert [shard.patients for shard in shards] == [
        ("patient1",),
        ("patient2",),
        ("patient3",),
        ("patient4", "patient5"),
    ]


def test_a_patient_in_train_and_valid_is_a_leak_and_named() -> None:
    train, _ = cohort(20, 5)
    valid = make_table([("patient00003", "Frontal", "AP", [0] * 14)], "valid")
    with pytest.raises(PartitionError, match=r"patient00003 in train\.csv and in valid\.csv"):
        make_partition(train, valid, Settings(scheme="iid", hospitals=2), 0, ROOT)


def test_a_hospital_below_min_patients_is_an_error_that_says_what_would_help() -> None:
    train, valid = cohort(100, 10)
    with pytest.raises(PartitionError, match="hospitals with 30 patients each are more than the 100"):
        make_partition(train, valid, Settings(scheme="iid", hospitals=4, min_patients=30), 0, ROOT)
    with pytest.raises(PartitionError, match=r"is 25, and 100 draws .* too small are hospital-"):
        make_partition(
            train, valid, Settings(scheme="quantity", hospitals=4, alpha=0.1, min_patients=25), 0, ROOT
        )


def sites_csv(root: Path, *lines: str) -> Path:
    return write_csv(root / "hospitals.csv", *lines, header="patient,site")


def test_patients_without_a_site_are_named(tmp_path: Path) -> None:
    train, valid = cohort(10, 2)
    sites_csv(tmp_path, *(f"patient{number:05d},a" for number in range(4)))
    with pytest.raises(PartitionError, match=r"no site for patient00004, .*patient00008 and 3 more"):
        make_partition(train, valid, Settings(), 0, tmp_path)


def test_a_site_with_too_few_patients_is_named(tmp_path: Path) -> None:
    train, valid = cohort(10, 2)
    sites_csv(tmp_path, "patient00000,small", *(f"patient{number:05d},large" for number in range(1, 12)))
    with pytest.raises(PartitionError, match=r"site 'small' .* has 1 patient in .*min_patients is 2\.$"):
        make_partition(train, valid, Settings(), 0, tmp_path)
    sites_csv(tmp_path, *(f"patient{number:05d},site-{number:02d}" for number in range(12)))
    found = r"site 'site-10' .* has 0 patients .* Too small, too: 'site-00', .*'site-04' and 6 more\."
    with pytest.raises(PartitionError, match=found):
        make_partition(train, valid, Settings(), 0, tmp_path)


def test_a_site_left_out_is_no_hospital_and_stays_on_record(tmp_path: Path) -> None:
    train, valid = cohort(30, 9)
    sites_csv(tmp_path, *(f"patient{number:05d},{'abc'[number % 3]}" for number in range(39)))
    whole = make_partition(train, valid, Settings(), 0, tmp_path)
    partition = make_partition(train, valid, Settings(leave_out=("b",)), 0, tmp_path)
    assert partition.names == ("a", "c")
    assert partition.shards == (whole.shard("a"), whole.shard("c"))
    assert partition.unseen == (whole.shard("b"),)
    partition.check(train, valid)  # every patient is accounted for
    for table in (train, valid):
        own = whole.rows(table, "b")
        assert len(own)
        np.testing.assert_array_equal(partition.held(table), np.setdiff1d(np.arange(len(table)), own))
        np.testing.assert_array_equal(whole.held(table), np.arange(len(table)))
    assert Partition.from_json(partition.to_json()) == partition
    with pytest.raises(PartitionError, match="no hospital 'b'"):
        partition.rows(train, "b")


def test_a_small_site_can_be_left_out_but_not_all_and_none_that_is_not_there(tmp_path: Path) -> None:
    train, valid = cohort(10, 2)
    sites_csv(tmp_path, "patient00000,small", *(f"patient{number:05d},large" for number in range(1, 12)))
    assert make_partition(train, valid, Settings(leave_out=("small",)), 0, tmp_path).names == ("large",)
    with pytest.raises(PartitionError, match=r"no site 'tiny' \(it has large, small\)"):
        make_partition(train, valid, Settings(leave_out=("tiny",)), 0, tmp_path)
    with pytest.raises(PartitionError, match="nobody is left to train"):
        make_partition(train, valid, Settings(leave_out=("small", "large")), 0, tmp_path)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [("patient00000,b", "'b' here and at 'a' before"), ("patient00001, ", "is not a name")],
)
def test_a_faulty_row_of_the_sites_is_named(tmp_path: Path, second: str, complaint: str) -> None:
    train, valid = cohort(10, 2)
    sites_csv(tmp_path, "patient00000,a", second)
    with pytest.raises(TableError, match=rf"hospitals\.csv, row 3, column 'site': .*{complaint}"):
        make_partition(train, valid, Settings(), 0, tmp_path)


def test_the_manifest_is_canonical_and_reads_back_equal(tmp_path: Path) -> None:
    import hashlib

    train, valid = cohort(50, 10)
    partition = make_partition(train, valid, Settings(scheme="dirichlet", hospitals=3), 7, ROOT)
    partition.write(tmp_path / "run" / "partition.json")
    content = (tmp_path / "run" / "partition.json").read_bytes()
    assert hashlib.sha256(content).digest() == partition.digest
    assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":")).encode()
    again = Partition.read(tmp_path / "run" / "partition.json")
    assert again == partition
    assert again.digest == partition.digest
    assert (again.scheme, again.seed, again.alpha, again.sources.train) == ("dirichlet", 7, 0.5, train.digest)


def test_a_partition_refuses_tables_that_it_was_not_made_for() -> None:
    train, valid = cohort(50, 10)
    partition = make_partition(train, valid, Settings(scheme="iid", hospitals=2), 0, ROOT)
    other, _ = cohort(50, 10, seed=1)
    with pytest.raises(PartitionError, match=r"not made for train\.csv"):
        partition.rows(other, "hospital-1")
    with pytest.raises(PartitionError, match="another train table"):
        partition.check(other, valid)
    with pytest.raises(PartitionError, match="another train table"):
        partition.check(valid, train)
    with pytest.raises(PartitionError, match=r"no hospital 'west' .*hospital-1, hospital-2"):
        partition.rows(train, "west")


def mutate(manifest: dict[str, Any], change: str) -> None:
    first, second = manifest["shards"]
    match change:
        case "a patient in two shards":
            second["patients"].append(first["patients"][0])
        case "a name twice":
            second["name"] = first["name"]
        case "an unknown key":
            manifest["extra"] = 1
        case "a missing key":
            del manifest["sources"]
        case "another format":
            manifest["format"] = "fedcxr-partition-9"


@pytest.mark.parametrize(
    "change", ["a patient in two shards", "a name twice", "an unknown key", "a missing key", "another format"]
)
def test_a_manifest_with_a_fault_is_refused(tmp_path: Path, change: str) -> None:
    train, valid = cohort(50, 10)
    partition = make_partition(train, valid, Settings(scheme="iid", hospitals=2), 0, ROOT)
    manifest = json.loads(partition.to_json())
    mutate(manifest, change)
    path = tmp_path / "partition.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(PartitionError):
        Partition.read(path)


def test_a_manifest_that_is_missing_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartitionError, match="cannot be read"):
        Partition.read(tmp_path / "partition.json")
    with pytest.raises(PartitionError, match="not a partition manifest"):
        Partition.from_json("{")


@pytest.mark.real_cxr
@pytest.mark.parametrize("scheme", ["natural", *DRAWN])
def test_real_patients_are_dealt_out_whole(real_cxr: Path, scheme: Any) -> None:
    train, valid = (read_table(real_cxr / name, real_cxr) for name in ("train.csv", "valid.csv"))
    partition = make_partition(train, valid, Settings(scheme=scheme, hospitals=5), 0, real_cxr)
    check_exact_cover(partition, train, valid)
    if scheme == "natural":
        assert partition.names == ("guangzhou", "nih-px0.143", "nih-px0.168", "nih-px0.171", "nih-px0.194")
        assert [shard.train.images for shard in partition.shards] == [1065, 2200, 2083, 1369, 93]
