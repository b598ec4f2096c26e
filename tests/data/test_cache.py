import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import line, write_csv
from PIL import Image

from fedcxr.data import cache_folder
from fedcxr.data.cache import ImageCache, prepare
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.radiograph import decode
from fedcxr.errors import CacheError, ImageError, UnwritableError

SIZE = 32


def write_images(root: Path, count: int, *, side: int = 40) -> ChexpertTable:
    """A data set of ``count`` noise images, each of a patient of its own."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(count):
        path = f"train/patient{number:05d}/study1/view1.png"
        (root / path).parent.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 256, (side, side + 4), dtype=np.uint8)).save(root / path)
        lines.append(line(path))
    return read_table(write_csv(root / "train.csv", *lines), root)


@pytest.fixture
def table(tmp_path: Path) -> ChexpertTable:
    return write_images(tmp_path / "set", 6)


def decoded_in(run: list[tuple[int, int]]) -> int:
    """How many images a call of prepare decoded, from what it reported."""
    return run[-1][0] - run[0][0]


def prepare_and_count(table: ChexpertTable, directory: Path, size: int = SIZE) -> tuple[ImageCache, int]:
    reports: list[tuple[int, int]] = []
    cache = prepare(table, size, directory, progress=lambda done, total: reports.append((done, total)))
    assert reports[-1] == (len(table), len(table))
    return cache, decoded_in(reports)


def test_rows_stand_in_the_table_s_order_in_a_read_only_memory_map(
    table: ChexpertTable, tmp_path: Path
) -> None:
    cache = prepare(table, SIZE, tmp_path / "cache")
    assert isinstance(cache.images, np.memmap)
    assert cache.images.dtype == np.uint8 and cache.images.shape == (6, SIZE, SIZE)
    for row, path in enumerate(table.paths):
        np.testing.assert_array_equal(cache.images[row], decode(table.root / path, SIZE)[0])
    with pytest.raises(ValueError, match="read-only"):
        cache.images[0] = 0


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    table = write_images(tmp_path / "set", 300)
    caches = [prepare(table, SIZE, tmp_path / f"cache{n}", workers=n) for n in (1, 3)]
    np.testing.assert_array_equal(caches[0].images, caches[1].images)


def test_a_second_call_decodes_nothing(table: ChexpertTable, tmp_path: Path) -> None:
    assert prepare_and_count(table, tmp_path / "cache")[1] == 6
    assert prepare_and_count(table, tmp_path / "cache")[1] == 0


def test_a_changed_image_and_only_that_is_decoded_again(table: ChexpertTable, tmp_path: Path) -> None:
    prepare(table, SIZE, tmp_path / "cache")
    changed = table.root / table.paths[2]
    Image.new("L", (40, 44), 77).save(changed)
    cache, count = prepare_and_count(table, tmp_path / "cache")
    assert count == 1
    assert (cache.images[2] == 77).all()


def test_an_image_of_the_same_size_but_a_later_time_is_decoded_again(
    table: ChexpertTable, tmp_path: Path
) -> None:
    prepare(table, SIZE, tmp_path / "cache")
    os.utime(table.root / table.paths[2], ns=(0, 1))
    assert prepare_and_count(table, tmp_path / "cache")[1] == 1


def test_other_labels_in_the_csv_cost_no_decoding(table: ChexpertTable, tmp_path: Path) -> None:
    prepare(table, SIZE, tmp_path / "cache")
    content = table.csv.read_text().replace(",Male,60", ",Female,61")
    table.csv.write_text(content)
    again = read_table(table.csv, table.root)
    cache, count = prepare_and_count(again, tmp_path / "cache")
    assert count == 0
    assert cache.source.csv == again.digest != table.digest


def test_other_paths_or_another_size_rebuild_the_cache_and_leave_old_maps_alone(
    table: ChexpertTable, tmp_path: Path
) -> None:
    old, _ = prepare_and_count(table, tmp_path / "cache")
    before = old.images[:].copy()
    lines = table.csv.read_text().splitlines()
    table.csv.write_text("\n".join([lines[0], *lines[:0:-1]]))
    backwards = read_table(table.csv, table.root)
    with pytest.raises(CacheError, match="other images, or from the same in another order"):
        old.check(backwards, SIZE)
    new, count = prepare_and_count(backwards, tmp_path / "cache")
    assert count == 6
    np.testing.assert_array_equal(new.images[::-1], before)
    np.testing.assert_array_equal(old.images, before)
    assert prepare_and_count(backwards, tmp_path / "cache", size=48)[0].images.shape == (6, 48, 48)
    with pytest.raises(CacheError, match="32 pixels a side, not 48"):
        new.check(backwards, 48)


def test_all_bad_images_are_named_together_and_the_good_ones_are_kept(
    table: ChexpertTable, tmp_path: Path
) -> None:
    (table.root / table.paths[1]).write_bytes(b"")
    (table.root / table.paths[3]).unlink()
    Image.new("CMYK", (40, 40)).save(table.root / table.paths[4], format="JPEG")
    with pytest.raises(ImageError) as caught:
        prepare(table, SIZE, tmp_path / "cache")
    message = str(caught.value)
    for row, complaint in ((1, "file is empty"), (3, "no such file"), (4, "mode is CMYK")):
        assert any(
            f"{table.root / table.paths[row]} " in text
            and f"train.csv, row {row + 2}, column 'Path'" in text
            and complaint in text
            for text in message.splitlines()
        )
    with pytest.raises(CacheError, match="3 of 6 images are not decoded"):
        ImageCache.open(tmp_path / "cache")
    for row in (1, 3, 4):
        Image.new("L", (40, 40), 9).save(table.root / table.paths[row], format="PNG")
    assert prepare_and_count(table, tmp_path / "cache")[1] == 3


def test_an_image_that_has_gone_bad_makes_the_cache_incomplete(table: ChexpertTable, tmp_path: Path) -> None:
    prepare(table, SIZE, tmp_path / "cache")
    (table.root / table.paths[0]).write_bytes(b"not an image")
    with pytest.raises(ImageError):
        prepare(table, SIZE, tmp_path / "cache")
    with pytest.raises(CacheError, match="1 of 6"):
        ImageCache.open(tmp_path / "cache")


@pytest.mark.parametrize("name", ["images.npy", "stamps.npy", "cache.json"])
def test_a_damaged_or_missing_file_is_refused_on_opening_and_mended_by_preparing(
    table: ChexpertTable, tmp_path: Path, name: str
) -> None:
    expected = prepare(table, SIZE, tmp_path / "cache").images[:].copy()
    file = tmp_path / "cache" / name
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CacheError):
        ImageCache.open(tmp_path / "cache")
    np.testing.assert_array_equal(prepare(table, SIZE, tmp_path / "cache").images, expected)
    file.unlink()
    with pytest.raises(CacheError):
        ImageCache.open(tmp_path / "cache")


def test_a_folder_of_other_things_is_not_overwritten(table: ChexpertTable, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"no image cache, but holds train"):
        prepare(table, SIZE, table.root)
    assert (table.root / "train.csv").is_file()


def test_who_asks_for_a_cache_in_preparation_waits_and_finds_it_done(
    table: ChexpertTable, tmp_path: Path
) -> None:
    directory = tmp_path / "cache"
    with ThreadPoolExecutor(4) as threads:
        with cache_folder.CacheFolder(directory).locked():
            asked = [threads.submit(prepare_and_count, table, directory) for _ in range(4)]
            time.sleep(0.2)
            assert not any(call.done() for call in asked)
        counts = [call.result(timeout=10)[1] for call in asked]
    assert sorted(counts) == [0, 0, 0, 6]


def test_too_small_a_disk_is_noticed_before_anything_is_written(
    table: ChexpertTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = cache_folder.shutil._ntuple_diskusage(10**6, 10**6, 100)
    monkeypatch.setattr(cache_folder.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UnwritableError, match=r"MB are needed"):
        prepare(table, SIZE, tmp_path / "cache")


def test_a_stamp_is_recorded_only_after_its_pixels_are_on_the_disk(
    table: ChexpertTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(file: int) -> None:
        events.append(("sync", Path(f"/proc/self/fd/{file}").readlink().name))
        fsync(file)

    def watched_replace(self: Path, target: Path) -> Path:
        events.append(("rename", Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    prepare(table, SIZE, tmp_path / "cache")
    last = len(events) - 1 - events[::-1].index(("rename", "stamps.npy"))
    assert events[last - 2 : last] == [("sync", "images.npy"), ("sync", "stamps.npy.tmp")]


PROGRAM = """
import sys
from pathlib import Path
from fedcxr.data import cache
from fedcxr.data.chexpert import read_table

if __name__ == "__main__":
    cache._RECORD_EVERY = 0.0
    root, directory = Path(sys.argv[1]), Path(sys.argv[2])
    table = read_table(root / "train.csv", root)
    cache.prepare(table, 32, directory, workers=2, progress=lambda done, total: print(done, flush=True))
"""


def test_a_killed_preparation_is_resumed_and_its_workers_end(tmp_path: Path) -> None:
    table = write_images(tmp_path / "set", 1200, side=160)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, program, table.root, tmp_path / "cache"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < 256:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with pytest.raises(CacheError, match="not decoded"):
        ImageCache.open(tmp_path / "cache")
    wait_for_the_end_of(child.pid)
    cache, count = prepare_and_count(table, tmp_path / "cache")
    assert 0 < count <= 1200 - 128
    np.testing.assert_array_equal(cache.images, prepare(table, SIZE, tmp_path / "whole").images)


@pytest.mark.parametrize("gap", [0.0, 0.05])
def test_ctrl_c_twice_ends_everything(tmp_path: Path, gap: float) -> None:
    table = write_images(tmp_path / "set", 1200, side=160)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    child = subprocess.Popen(
        [sys.executable, program, table.root, tmp_path / "cache"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < 256:
        pass
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does, to parent and workers alike
    time.sleep(gap)
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    wait_for_the_end_of(child.pid)


def wait_for_the_end_of(session: int) -> None:
    deadline = time.monotonic() + 10
    while processes_of_session(session):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def processes_of_session(session: int) -> list[int]:
    """Living processes of a session, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_the_source_is_written_down(table: ChexpertTable, tmp_path: Path) -> None:
    prepare(table, SIZE, tmp_path / "cache")
    written = json.loads((tmp_path / "cache" / "cache.json").read_text())
    assert (written["images"], written["size"], written["csv"]) == (6, SIZE, table.digest)
    assert "Lanczos" in written["geometry"]


@pytest.mark.real_cxr
def test_real_images_are_decoded_as_they_are(real_cxr: Path, tmp_path: Path) -> None:
    table = read_table(real_cxr / "valid.csv", real_cxr)
    cache = prepare(table, 64, tmp_path / "cache")
    assert cache.images.shape == (len(table), 64, 64)
    levels = cache.images.mean(axis=(1, 2))
    assert 60 < levels.mean() < 190  # neither black nor white
    assert cache.images.std(axis=(1, 2)).min() > 10  # and none is empty


def test_of_the_rows_that_are_not_needed_nothing_is_looked_at(table: ChexpertTable, tmp_path: Path) -> None:
    needed = np.array([0, 2])
    (table.root / table.paths[1]).unlink()
    images = prepare(table, SIZE, tmp_path / "cache", rows=needed).images

    assert images[needed].any(axis=(1, 2)).all()
    assert not images[1].any()
    with pytest.raises(ImageError, match=r"patient00001/study1/view1.png.*no such file"):
        prepare(table, SIZE, tmp_path / "cache")
