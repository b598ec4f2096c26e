"""Worker processes of the local grid: the same bits whatever their number, and however they end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from federation import digests
from flwr.app import RecordDict, UserConfig

from fedcxr.config import Config
from fedcxr.errors import GridError
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from server.app import carry_out
from server.grids import session
from server.grids.channel import Channel
from server.grids.local import LocalGrid
from server.grids.simulation import crowded, on_local_grid, simulate
from server.grids.workers import Workers

HOSPITALS = 3
APPS = Path(__file__).resolve().parents[1]


def prepared(config: Config, out: Path) -> RunDirectory:
    run = open_or_create(out, config)
    prepare_simulation(run, lambda what, done, total: None)
    return run


def carried_by(workers: Workers, run: RunDirectory) -> None:
    run_config: UserConfig = {"run": str(run.root), "hospitals": HOSPITALS}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": HOSPITALS} for i in range(HOSPITALS)]
    grid = LocalGrid(workers, nodes, run_config)
    carry_out(grid, run, HOSPITALS, lambda event: None, lambda what, done, total: None)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers can import the apps that die."""
    places = (str(APPS), str(APPS.parent), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))


@pytest.mark.usefixtures("dying")
def test_models_are_those_of_one_process_though_workers_are_killed_in_every_round(
    small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes({"federation.rounds": 3})
    expected = digests(simulate(config, tmp_path / "one", on_local_grid, lambda *_: None))
    run = prepared(config, tmp_path / "several")
    with Workers(2, "dying_apps:hospital") as workers:
        carried_by(workers, run)
    assert digests(run) == expected
    assert {path.name for path in run.root.glob("died-*")} == {"died-1", "died-2", "died-3"}
    assert [len(line.included) for line in read_rounds(run)] == [HOSPITALS] * 3


@pytest.mark.usefixtures("dying")
def test_a_hospital_that_kills_every_worker_is_left_out(small_config: Config, tmp_path: Path) -> None:
    run = prepared(small_config.with_changes({"federation.rounds": 4}), tmp_path / "run")
    with Workers(2, "dying_apps:hospital") as workers:
        carried_by(workers, run)
    *_, last = read_rounds(run)
    assert len(last.included) == 1


def test_workers_that_cannot_begin_are_an_error_in_their_own_words() -> None:
    with Workers(2, "server.no_such_module:app") as workers:
        grid = LocalGrid(workers, [{"partition-id": 0}], {})
        message = grid.create_message(RecordDict(), "query.register", 1, "register")
        with pytest.raises(GridError, match=r"before it began: ModuleNotFoundError.*no_such_module"):
            list(grid.send_and_receive([message]))


def test_no_worker_outlives_its_parent() -> None:
    code = "import sys, time; from server.grids.workers import Workers; w = Workers(2, 'clients.app:app'); "
    code += "print(*(one.process.pid for one in w._workers), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return pid in session.members(os.getsid(pid))
    return False


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    sender, receiver = Channel(one, placed=1), Channel(other, kept=1)
    yield sender, receiver
    sender.close()
    receiver.close()


def test_long_bytes_arrive_once_and_short_ones_with_the_rest(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    long, before = os.urandom(3 << 20), None
    for number in range(3):
        sender.send({"number": number, "long": long, "again": long, "short": b"s"})
        came = receiver.receive()
        assert (came["number"], came["long"], came["short"]) == (number, long, b"s")
        assert came["again"] is came["long"]
        assert number == 0 or came["long"] is before
        before = came["long"]


def test_no_more_is_kept_than_was_asked_for(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    for number in range(4):
        sender.send(bytes([number]) * (2 << 20))
        assert receiver.receive() == bytes([number]) * (2 << 20)
        assert len(sender._placed._there) == len(receiver._kept) == 1
    open_now = descriptors()
    sender.close()
    assert descriptors() == open_now - 2


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_end_that_is_gone_is_the_end(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    sender.close()
    with pytest.raises(EOFError):
        receiver.receive()


def test_more_threads_than_cores_are_told() -> None:
    cores = len(os.sched_getaffinity(0))
    assert crowded(1, 1) == crowded(cores + 1, 1) == crowded(1, cores) == ""
    assert f"are more than the {cores} cores here" in crowded(1, cores + 1)
    assert crowded(cores, 2).endswith("1 would be faster.")
