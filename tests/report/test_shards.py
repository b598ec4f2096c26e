from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import make_table
from PIL import Image

from fedcxr.config import Partition as Settings
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.labels import BLANK
from fedcxr.data.partition import Partition, make_partition
from fedcxr.errors import PartitionError
from fedcxr.report.shards import VIEWS, ShardFigures, draw


def two_hospitals(root: Path) -> tuple[Partition, ChexpertTable, ChexpertTable]:
    """North has four images of two patients, south has one."""
    images = [
        ("patient1", "Frontal", "PA", [1, BLANK, *[0] * 12]),
        ("patient1", "Lateral", "", [0, BLANK, *[0] * 12]),
        ("patient2", "Frontal", "AP", [-1, BLANK, *[0] * 12]),
        ("patient2", "Frontal", "", [BLANK, BLANK, *[0] * 12]),
        ("patient3", "Frontal", "AP", [1, BLANK, *[0] * 12]),
    ]
    train = make_table(images)
    valid = make_table([("patient4", "Frontal", "AP", [0] * 14)], "valid")
    (root / "hospitals.csv").write_text(
        "patient,site\npatient1,north\npatient2,north\npatient3,south\npatient4,south\n"
    )
    return make_partition(train, valid, Settings(min_patients=1), 0, root), train, valid


def test_prevalence_counts_blank_as_the_policy_says_and_uncertain_never(tmp_path: Path) -> None:
    partition, train, _ = two_hospitals(tmp_path)
    negative = ShardFigures.of(partition, train, "negative")
    np.testing.assert_allclose(negative.prevalence[:, 0], [1 / 3, 1])
    np.testing.assert_allclose(negative.prevalence[:, 1], [0, 0])
    ignored = ShardFigures.of(partition, train, "ignore")
    np.testing.assert_allclose(ignored.prevalence[:, 0], [1 / 2, 1])
    assert np.isnan(ignored.prevalence[:, 1]).all()
    assert ignored.overall[0] == pytest.approx(2 / 3)


def test_a_site_left_out_is_not_in_the_overall_prevalence(tmp_path: Path) -> None:
    _, train, valid = two_hospitals(tmp_path)
    alone = make_partition(train, valid, Settings(min_patients=1, leave_out=("south",)), 0, tmp_path)
    figures = ShardFigures.of(alone, train, "negative")
    np.testing.assert_allclose(figures.prevalence[:, 0], [1 / 3])
    assert figures.overall[0] == pytest.approx(1 / 3)


def test_views_are_shares_of_a_hospital_s_train_images(tmp_path: Path) -> None:
    partition, train, _ = two_hospitals(tmp_path)
    views = ShardFigures.of(partition, train, "negative").views
    assert dict(zip(VIEWS, views[0], strict=True)) == {
        "Frontal PA": 0.25,
        "Frontal AP": 0.25,
        "Frontal, other": 0.25,
        "Lateral": 0.25,
    }
    assert views[1].tolist() == [0, 1, 0, 0]


def test_the_picture_is_drawn_for_few_and_for_many_hospitals(tmp_path: Path) -> None:
    partition, train, valid = two_hospitals(tmp_path)
    draw(partition, train, valid, tmp_path / "few.png", blank="ignore")
    images = [(f"patient{k}", "Frontal", "AP", [k % 2] * 14) for k in range(120)]
    train = make_table(images)
    valid = make_table([("patient999", "Frontal", "AP", [0] * 14)], "valid")
    many = make_partition(train, valid, Settings(scheme="iid", hospitals=50), 0, tmp_path)
    draw(many, train, valid, tmp_path / "many.png", blank="negative")
    heights = []
    for name in ("few.png", "many.png"):
        with Image.open(tmp_path / name) as picture:
            heights.append(picture.height)
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert heights[1] > 5 * heights[0]


def test_a_table_of_another_partition_is_not_drawn(tmp_path: Path) -> None:
    partition, _, valid = two_hospitals(tmp_path)
    other = make_table([("patient1", "Frontal", "AP", [1] * 14)])
    with pytest.raises(PartitionError):
        draw(partition, other, valid, tmp_path / "no.png", blank="negative")


@pytest.mark.real_cxr
def test_the_real_sites_are_drawn(real_cxr: Path, tmp_path: Path) -> None:
    train, valid = (read_table(real_cxr / name, real_cxr) for name in ("train.csv", "valid.csv"))
    partition = make_partition(train, valid, Settings(), 0, real_cxr)
    figures = ShardFigures.of(partition, train, "ignore")
    assert figures.views[partition.names.index("guangzhou")].tolist() == [0, 1, 0, 0]  # children, all AP
    draw(partition, train, valid, tmp_path / "sites.png", blank="ignore")
