"""A disk that is really full, or really read-only: the run stops, says which file, and goes on later."""

from pathlib import Path

import pytest
from crash_points import FINALIZE, CrashPoint
from disks import mounted
from lives import KILLED, Lives

from fedcxr.errors import CacheError, ChainError, UnwritableError
from fedcxr.store.run_directory import RunDirectory

MODES = ["embedded", "anvil"]
SHARES = [("embedded", share) for share in (0.02, 0.2, 0.4, 0.6, 0.8, 0.95)] + [
    ("anvil", 0.2),
    ("anvil", 0.6),
]
MEGABYTE = 2**20
STOPPED = {error.exit_code for error in (UnwritableError, ChainError, CacheError)}


@pytest.mark.parametrize(("mode", "share"), SHARES)
def test_a_run_whose_disk_is_full_stops_and_goes_on_when_there_is_room(
    lives: Lives, tmp_path: Path, mode: str, share: float
) -> None:
    needed = occupied(lives.whole(mode).root)
    with mounted(tmp_path / "disk", int(share * needed)) as disk:
        run = RunDirectory(disk.path / "run")
        for _ in range(2):  # it is full still
            assert lives.live(mode, run) in STOPPED, lives.cli.said
            assert "No space left on device" in lives.cli.said or "disk is full" in lives.cli.said
            assert "Traceback" not in lives.cli.said, lives.cli.said
        disk.remount(f"size={4 * needed}")
        assert lives.resume(mode, run) == 0, lives.cli.said
        lives.assert_ended_like_whole(mode, run, f"{share:.0%} of the room")


@pytest.mark.parametrize("mode", MODES)
def test_a_run_on_a_read_only_disk_stops_and_goes_on_when_it_can_be_written(
    lives: Lives, tmp_path: Path, mode: str
) -> None:
    with mounted(tmp_path / "disk", 64 * MEGABYTE) as disk:
        disk.remount("ro")
        assert lives.live(mode, RunDirectory(disk.path / "new")) == UnwritableError.exit_code
        assert "/new" in lives.cli.said
        assert "Read-only file system" in lives.cli.said
        disk.remount("rw")
        run = RunDirectory(disk.path / "run")
        assert lives.live(mode, run, CrashPoint("in round 1", FINALIZE, "after")) == KILLED
        disk.remount("ro")
        assert lives.resume(mode, run) in STOPPED, lives.cli.said
        assert "Traceback" not in lives.cli.said, lives.cli.said
        disk.remount("rw")
        assert lives.resume(mode, run) == 0, lives.cli.said
        lives.assert_ended_like_whole(mode, run, "read-only")


def occupied(folder: Path) -> int:
    """Bytes on the disk, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())
