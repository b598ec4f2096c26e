"""A simulation on Ray: refused where it cannot run, whole after a worker's death, gone when it is ended."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from dying_apps import PATIENT
from federation import digests, run_federation

from fedcxr.config import Config
from fedcxr.errors import ContractRejectedError, GridError
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from server.grids import ray_resources, session
from server.grids.flower_environment import flower_environment
from server.grids.ray import simulate_on_ray
from server.grids.ray_resources import RayResources, available_cpus
from server.grids.simulation import simulate

HOSPITALS = 3
LONG = {"federation.rounds": 10_000, "federation.ray_cpus": available_cpus()}  # one actor is enough


def prepared(config: Config, out: Path) -> RunDirectory:
    run = open_or_create(out, config)
    prepare_simulation(run, lambda what, done, total: None)
    return run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"federation.ray_cpus": 10_000}, "this machine has"),
        ({"federation.ray_gpus": 10_000}, "GPUs on this machine"),
        ({"training.device": "cuda"}, "takes one GPU for each Ray worker: torch finds 0 GPUs"),
    ],
)
def test_an_impossible_request_is_refused_before_ray_starts(
    small_config: Config, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    run = RunDirectory.create(tmp_path / "run", small_config.with_changes(changes))
    with pytest.raises(GridError, match=said):
        simulate_on_ray(run, HOSPITALS)


def test_there_are_as_many_actors_as_fit_and_no_more_than_hospitals(small_config: Config) -> None:
    assert RayResources.plan(small_config, 1, 0).actors == 1
    assert RayResources.plan(small_config, 10_000, 0).actors == available_cpus()
    whole = small_config.with_changes({"federation.ray_cpus": available_cpus()})
    assert RayResources.plan(whole, 10_000, 0).actors == 1
    half = RayResources.plan(small_config.with_changes({"federation.ray_cpus": 0.5}), 1, 0)
    assert (half.actors, half.cpus) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "cpus", "gpus", "expected"),
    [
        # as `experiments/chexpert.toml` has it, with the device that was found
        ({"training.device": "cuda", "training.threads": 8}, 16, 1, (8.0, 1.0, 1)),
        ({"training.device": "cuda", "training.threads": 8}, 16, 4, (8.0, 1.0, 2)),
        ({"training.device": "cuda", "training.threads": 8}, 4, 1, (4.0, 1.0, 1)),
        ({"training.device": "cpu", "training.threads": 8}, 16, 0, (8.0, 0.0, 2)),
        ({"training.device": "cpu", "training.threads": 8}, 2, 0, (2.0, 0.0, 1)),
        # what is asked for
        ({"training.device": "cuda", "federation.ray_gpus": 0.5}, 16, 1, (1.0, 0.5, 2)),
        ({"training.device": "cpu", "training.threads": 2, "federation.ray_cpus": 4}, 16, 0, (4.0, 0.0, 4)),
        ({"training.device": "cpu", "training.threads": 2, "federation.ray_cpus": 0.5}, 2, 0, (0.5, 0.0, 4)),
    ],
)
def test_a_worker_has_a_cpu_a_thread_and_a_gpu_where_it_computes_on_one(
    small_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    cpus: int,
    gpus: int,
    expected: tuple[float, float, int],
) -> None:
    monkeypatch.setattr(ray_resources, "available_cpus", lambda: cpus)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    plan = RayResources.plan(small_config.with_changes(changes), 8, 0)
    assert (plan.actor_cpus, plan.actor_gpus, plan.actors) == expected
    assert plan.cpus <= cpus
    assert plan.gpus <= gpus


def test_a_process_that_outlives_its_session_leader_is_found_and_ended() -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '600'], process_group=0)"
    leader = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    assert leader.wait() == 0
    assert len(session.members(leader.pid)) == 1
    session.end(leader.pid)
    assert session.members(leader.pid) == []


def test_hospitals_that_are_killed_or_fail_cost_at_most_their_round_and_tell_nothing(
    small_config: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """See :func:`dying_apps.train_or_die` for who dies where; test_superlink.py is about the third grid."""
    config = small_config.with_changes({"federation.rounds": 5, "federation.min_hospitals": 1})
    expected = digests(run_federation(config, tmp_path / "whole"))
    carry = partial(simulate_on_ray, client_app="dying_apps:hospital")
    run = simulate(config, tmp_path / "run", carry)
    said = "".join(capfd.readouterr())
    assert sorted(path.name for path in run.root.glob("died-*")) == ["died-1", "died-2", "died-3"]
    assert [len(line.included) for line in read_rounds(run)] == [3, 3, 3, 1, 3]
    assert digests(run)[:3] == expected[:3]
    assert said.count("an error that is not fedcxr's (code 1): see its own log") == 1
    assert PATIENT not in said
    outside = [path for path in run.root.rglob("*") if path.is_file() and run.hospitals not in path.parents]
    assert [path for path in outside if PATIENT.encode() in path.read_bytes()] == []
    assert len([log for log in run.hospitals.glob("*/hospital.log") if PATIENT in log.read_text()]) == 1


def test_what_ends_the_server_is_raised_here_and_is_the_childs_exit_code(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(small_config, tmp_path / "run")
    started: list[subprocess.Popen[bytes]] = []

    class Remembered(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Remembered)
    with pytest.raises(ContractRejectedError) as caught:
        simulate_on_ray(run, HOSPITALS, server_app="dying_apps:failing_server")
    assert caught.value.name == "WrongBase"
    assert caught.value.arguments == (b"\x01" * 32, 7)
    assert [process.returncode for process in started] == [ContractRejectedError.exit_code]


def test_the_death_of_the_simulation_is_an_error_here(small_config: Config, tmp_path: Path) -> None:
    run = prepared(small_config, tmp_path / "run")
    with pytest.raises(GridError, match="killed by signal 9") as caught:
        simulate_on_ray(run, HOSPITALS, server_app="dying_apps:killed_server")
    named = re.search(r"logs are in (\S+);?\.", str(caught.value))
    assert named
    assert Path(named[1]).is_dir()
    shutil.rmtree(named[1])


@pytest.fixture
def simulating(small_config: Config, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process in which a long simulation has finished a round, and the session of its child."""
    run = prepared(small_config.with_changes(LONG), tmp_path / "run")
    script = (
        "import sys; from pathlib import Path; from fedcxr.store.run_directory import RunDirectory; "
        "from server.grids.ray import simulate_on_ray; "
        f"simulate_on_ray(RunDirectory(Path(sys.argv[1])), {HOSPITALS})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(run.root)],
        env=flower_environment(tmp_path / "flwr"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    child = 0
    try:
        wait_for(lambda: children(process.pid))
        (child,) = children(process.pid)
        wait_for(run.metrics.read)
        yield process, child
    finally:
        process.kill()
        process.wait()
        if child:
            session.end(child)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])  # SIGTERM ends Python as SIGKILL does
def test_nothing_is_left_when_the_parent_ends(
    simulating: tuple[subprocess.Popen[bytes], int], tmp_path: Path, how: signal.Signals
) -> None:
    process, child = simulating
    (scratch,) = {Path(found[1]) for found in re.finditer(r"(/[\w/]+/fedcxr-ray-\w+)", commands(child))}
    assert scratch.is_dir()
    assert len(session.members(child)) > 3  # the child, Ray's daemons, the actors
    process.send_signal(how)
    assert process.wait(30) != 0
    wait_for(lambda: not session.members(child), seconds=30)
    assert not (tmp_path / "run" / "ledger.url").exists()
    assert not scratch.exists()


def children(pid: int) -> list[int]:
    """Processes that ``pid`` started in a session of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent, _, leader = (entry / "stat").read_text().rpartition(")")[2].split()[1:4]
            if int(parent) == pid and leader == entry.name:
                found.append(int(entry.name))
    return found


def commands(leader: int) -> str:
    """The command lines of a session."""
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in session.members(leader)]
    return "\n".join(line.replace("\0", " ") for line in lines)


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
