"""A file system of its own size, that can be full or read-only for root too."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted at ``path``."""

    path: Path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    @property
    def used(self) -> int:
        """Bytes."""
        stat = os.statvfs(self.path)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


@contextlib.contextmanager
def mounted(path: Path, size: int) -> Iterator[Disk]:
    """A disk of ``size`` bytes; skips where the system lets nobody mount one, but not for root in CI."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "fedcxr-test", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        refused = done.stderr if done.returncode else ""
    except OSError as error:
        refused = str(error)
    if refused:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"no disk of its own could be mounted: {refused}")
        pytest.skip(f"no disk of its own can be mounted here: {refused}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)
