"""Files that survive: replaced whole, appended by whole lines, and forced to the disk in the right order."""

import errno
import os
from pathlib import Path

import pytest

from fedcxr import files
from fedcxr.errors import LayoutError, StoreError


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
def test_a_file_that_cannot_be_replaced_stands_as_it_was_with_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "file"
    files.write(path, "before")
    monkeypatch.setattr(moment, full)
    with pytest.raises(StoreError, match=r"/file: cannot be written: No space left on device\.$"):
        files.write(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def watched_replace(self: Path, target: Path) -> Path:
        events.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    files.write(tmp_path / "folder" / "file", b"content")
    expected = [("sync", tmp_path.name), ("sync", "file.tmp"), ("rename", "file"), ("sync", "folder")]
    assert events == expected


def test_the_old_file_stands_until_what_is_done_meanwhile_is_done(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", []
    files.write(path, "before")
    files.write(path, (b"af", b"ter"), meanwhile=lambda: seen.append(path.read_text()))
    assert (seen, path.read_text()) == (["before"], "after")


def test_what_goes_wrong_meanwhile_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "before")

    def wrong() -> None:
        raise LayoutError("it is another one")

    with pytest.raises(LayoutError, match="another one"):
        files.write(path, b"x" * 1_000_000, meanwhile=wrong)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_though_all_went_well_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        files.write(tmp_path / "file", "content", meanwhile=lambda: None)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    files.write(tmp_path / "key", "secret", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize("left", [b"", b"{", b'{"round": 2', b'{"round": 2}', b"\n\xff"])
def test_a_line_that_a_crash_cut_short_does_not_join_the_next(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "one")
    with path.open("ab") as file:
        file.write(left)
    files.append_line(path, "two")
    kept = left[: left.rfind(b"\n") + 1].splitlines()
    assert whole_lines(path) == [b"one", *kept, b"two"]


def test_a_line_that_the_disk_does_not_take_leaves_the_lines_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "one")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="lines: cannot be written: No space"):
            files.append_line(path, "two")
    assert path.read_bytes() == b"one\n"
    files.append_line(path, "three")
    assert whole_lines(path) == [b"one", b"three"]
