"""The processes of a run are found by their parents, weighed and ended, orphans among them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from experiments.peers.process_tree import descendants, proportional_memory


def write_process(proc: Path, process: int, parent: int, pss: int, name: str = "python") -> None:
    folder = proc / str(process)
    folder.mkdir()
    (folder / "stat").write_text(f"{process} ({name}) S {parent} 1 1 0 -1\n")
    (folder / "smaps_rollup").write_text(
        f"5600-7fff ---p 00000000 00:00 0 [rollup]\nRss: 9999 kB\nPss: {pss} kB\nPss_Dirty: 1 kB\n"
    )


def test_descendants_are_found_by_parent_links_whatever_a_name_holds(tmp_path: Path) -> None:
    write_process(tmp_path, 10, 1, 1)
    write_process(tmp_path, 11, 10, 1)
    write_process(tmp_path, 12, 11, 1, name="a) S 10 (b")
    write_process(tmp_path, 13, 1, 1)
    (tmp_path / "14").mkdir()  # one that ended while it was looked at
    (tmp_path / "self").mkdir()
    assert descendants(10, tmp_path) == [11, 12]
    assert descendants(13, tmp_path) == []


def test_memory_is_the_sum_of_proportional_sets(tmp_path: Path) -> None:
    write_process(tmp_path, 10, 1, 300)
    write_process(tmp_path, 11, 10, 20)
    assert proportional_memory([10, 11, 999], tmp_path) == 320 * 1024


def test_a_page_that_two_processes_share_counts_once() -> None:
    code = textwrap.dedent("""
        import os, sys
        held = bytearray(os.urandom(1 << 20) * 64)
        if os.fork():
            os.wait()
        else:
            print("ready", flush=True)
            sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        tree = [process.pid, *descendants(process.pid)]
        held = proportional_memory(tree)
        assert len(tree) == 2
        assert 64 << 20 <= held < 100 << 20
        process.stdin.close()
    assert descendants(process.pid) == []


def test_an_orphan_stays_below_the_driver_and_is_ended() -> None:
    code = textwrap.dedent("""
        import os, subprocess, sys, time
        from experiments.peers.process_tree import adopt_orphans, descendants, end
        adopt_orphans()
        leaves = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
        subprocess.run([sys.executable, "-c", leaves], check=True)
        assert len(descendants(os.getpid())) == 1
        end(os.getpid())
        assert descendants(os.getpid()) == []
    """)
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
