"""Masked rounds over the real path: the unmasked run's bits, whoever drops out, and what stands still."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from federation import AttackedGrid, Recorder, digests, run_federation
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.lookout import Lookout
from clients.masked_renewal import renew_record
from fedcxr.audit.audit import audit
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate
from fedcxr.errors import QuorumError, StoreError
from fedcxr.ledger.signing import Signed
from fedcxr.messages import TrainRequest, UnmaskRequest, UpdateReply, kind_of
from fedcxr.report.summary import write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from server.events import RoundFinalized, UnmaskingWaits

Fate = Callable[[str, str, int], str]
"""What becomes of a message: its kind, its hospital's name, and the how many-eth of this kind to it it is.

``deaf``: the hospital never gets it; ``lost``: it gets it, and its reply is lost; anything else: it arrives.
"""
DOWN, UP = TrainRequest.kind, UnmaskRequest.kind


class FlakyGrid(AttackedGrid):
    """A local grid on which messages, or their replies, are lost as ``fate`` says."""

    def __init__(self, *args: object, fate: Fate, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._fate = fate
        self._counts: Counter[tuple[str, str]] = Counter()

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = []
        for identifier in message_ids:
            message = self._queue.get(identifier)
            if message is None:
                continue
            kind, name = kind_of(message.content), self.nodes[identifier]
            self._counts[kind, name] += 1
            fate = self._fate(kind, name, self._counts[kind, name])
            if fate == "deaf":
                del self._queue[identifier]
            answered = [] if fate == "deaf" else super().pull_messages([identifier])
            replies += [_gone(message)] if fate in ("deaf", "lost") else answered
        return replies


def _gone(message: Message) -> Message:
    return Message(Error(ErrorCode.NODE_UNAVAILABLE), reply_to=message)


def flaky(fate: Fate) -> Callable[..., FlakyGrid]:
    return partial(FlakyGrid, fate=fate)


@pytest.fixture(scope="module")
def five_hospitals(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Five synthetic hospitals, of which one may collude and one may be missing."""
    root = tmp_path_factory.mktemp("data") / "five-hospitals"
    generate(root, Phantom(hospitals=5, patients=10, size=64), 10)
    return small_config.with_changes(
        {"name": "five-hospitals", "data.root": str(root), "federation.min_hospitals": 3}
    )


@pytest.fixture(scope="module")
def masked(five_hospitals: Config) -> Config:
    return five_hospitals.with_changes(
        {"privacy.envelope": "masked", "privacy.auditor": False, "privacy.unmask_window": 60.0}
    )


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hospitals answer at once here, or never: the pauses between questions are none."""
    monkeypatch.setattr("server.unmasking._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("server.unmasking._LONGEST_PAUSE", 0.02)


@pytest.fixture(scope="module")
def sealed_models(
    five_hospitals: Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[str]]:
    """The models of the run whose updates are sealed, in which a hospital is away in round 1, or none is."""
    known: dict[str, list[str]] = {}

    def models(away: str) -> list[str]:
        if away not in known:
            out = tmp_path_factory.mktemp("sealed") / "run"
            grid = flaky(lambda kind, name, nth: "deaf" if (kind, name, nth) == (DOWN, away, 1) else "")
            known[away] = digests(run_federation(five_hospitals, out, grid_kind=grid))
        return known[away]

    return models


def test_masked_and_unmasked_models_are_one(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    run = run_federation(masked, tmp_path / "run")
    assert digests(run) == sealed_models("")
    assert all(line.seeds for line in read_rounds(run))


NAMES = [f"synthetic-{k:02}" for k in range(1, 6)]


@pytest.mark.parametrize(
    ("point", "away", "fate"),
    [
        ("before the update", NAMES[1], lambda kind, nth: "deaf" if (kind, nth) == (DOWN, 1) else ""),
        ("after sending", NAMES[2], lambda kind, nth: "lost" if (kind, nth) == (DOWN, 1) else ""),
        ("before unmasking", "", lambda kind, nth: "deaf" if kind == UP and nth < 3 else ""),
        ("in the unmasking", "", lambda kind, nth: "lost" if kind == UP and nth < 3 else ""),
        ("for good", "", lambda kind, nth: "deaf" if kind == UP else ""),
    ],
)
def test_the_model_is_the_same_with_one_hospital_gone(
    masked: Config,
    sealed_models: Callable[[str], list[str]],
    tmp_path: Path,
    point: str,
    away: str,
    fate: Callable[[str, int], str],
) -> None:
    gone = away or NAMES[3]
    grid = flaky(lambda kind, name, nth: fate(kind, nth) if name == gone else "")
    run = run_federation(masked, tmp_path / "run", grid_kind=grid)
    assert digests(run) == sealed_models(away)
    assert len(read_rounds(run)[0].included) == (4 if away else 5)


def test_one_too_many_is_missing_and_the_next_attempt_succeeds(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    two = NAMES[:2]
    grid = flaky(lambda kind, name, nth: "lost" if kind == DOWN and name in two else "")
    with pytest.raises(QuorumError, match="fewer than 4 is not unmasked"):
        run_federation(masked, tmp_path / "run", grid_kind=grid)
    run = run_federation(masked, tmp_path / "run")
    assert digests(run) == sealed_models("")


def test_a_missing_one_and_a_silent_one_halt_the_round_until_it_answers(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """The seed of the edge between both is theirs alone."""

    def fate(kind: str, name: str, nth: int) -> str:
        if name == NAMES[0]:
            return "deaf" if (kind, nth) == (DOWN, 1) else ""
        return "deaf" if (kind, name) == (UP, NAMES[4]) and nth < 4 else ""

    recorder = Recorder()
    run = run_federation(masked, tmp_path / "run", grid_kind=flaky(fate), observer=recorder)
    assert digests(run) == sealed_models(NAMES[0])
    waits = recorder.of(UnmaskingWaits)
    assert len(waits) == 3
    assert all(isinstance(event, UnmaskingWaits) and len(event.hospitals) == 1 for event in waits)


def test_both_ends_of_an_edge_gone_abort_the_attempt(masked: Config, tmp_path: Path) -> None:
    config = masked.with_changes({"privacy.unmask_window": 0.2})

    def fate(kind: str, name: str, nth: int) -> str:
        return "deaf" if (kind, name) in ((DOWN, NAMES[0]), (UP, NAMES[4])) else ""

    with pytest.raises(QuorumError, match=r"no answer in the window: .*share with missing ones"):
        run_federation(config, tmp_path / "run", grid_kind=flaky(fate))
    # What four answered for may be known; the next attempt may have no other sum with their updates.
    with pytest.raises(QuorumError, match=r"another set\. A second sum"):
        run_federation(config, tmp_path / "run")


def test_the_same_hospitals_succeed_after_an_attempt_that_was_answered(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    config = masked.with_changes({"privacy.unmask_window": 0.2})
    silent = flaky(lambda kind, name, nth: "lost" if kind == UP and name in NAMES[:3] else "")
    with pytest.raises(QuorumError, match="no answer in the window"):
        run_federation(config, tmp_path / "run", grid_kind=silent)
    recorder = Recorder()
    run = run_federation(config, tmp_path / "run", observer=recorder)
    assert digests(run) == sealed_models("")
    assert len(recorder.of(RoundFinalized)) == 2


def test_fewer_than_three_hospitals_are_refused(masked: Config, tmp_path: Path) -> None:
    with pytest.raises(QuorumError, match=r"masked round has 3 to 50 participants|no round can succeed"):
        run_federation(masked, tmp_path / "run", come=2)


def test_one_root_for_all_submissions_gives_the_same_model(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    run = run_federation(masked.with_changes({"ledger.recording": "root"}), tmp_path / "run")
    assert digests(run) == sealed_models("")


def test_a_coordinator_that_was_killed_goes_on_with_what_was_released(
    masked: Config, sealed_models: Callable[[str], list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "run"

    class Killed(BaseException):
        pass

    def dies(*args: object, **kwargs: object) -> None:
        raise Killed

    with patch("server.coordinator.RunModels.write", dies), pytest.raises(Killed):
        run_federation(masked, out)
    kept = RunDirectory(out, trusted=True).unmasking_path.read_bytes()
    deaf = flaky(lambda kind, name, nth: "deaf" if kind == UP and nth < 2 else "")
    run = run_federation(masked, out, grid_kind=deaf)  # in the first round nobody is asked again
    assert digests(run) == sealed_models("")
    assert b'"answers":[[0,' in kept


def test_labels_of_few_hospitals_are_said_not_to_be_hidden(masked: Config, tmp_path: Path) -> None:
    root = shutil.copytree(masked.data.root_path, tmp_path / "data")
    table = pd.read_csv(root / "train.csv")
    sites = pd.read_csv(root / "hospitals.csv", dtype=str).set_index("patient")["site"]
    site = table["Path"].str.extract(r"(patient\d+)")[0].map(sites)
    table["Edema"], table["Fracture"] = 0.0, np.nan
    table.loc[site != NAMES[0], "Edema"] = np.nan
    table.loc[site.isin(NAMES[:2]), "Fracture"] = 1.0
    table.to_csv(root / "train.csv", index=False)
    natural = {"data.root": root, "data.blank": "ignore", "partition.scheme": "natural"}
    natural["federation.rare_labels"] = "say"
    run = open_or_create(tmp_path / "run", masked.with_changes(natural))
    prepare_simulation(run, lambda what, done, total: None)
    said = "**Not hidden by the masks: Edema (1 hospital), Fracture (2 hospitals).**"
    assert said in write_summary(run).read_text()
    (root / "train.csv").write_text("changed since")
    assert "is not known here" in write_summary(run).read_text()


def test_a_hospital_that_lost_its_record_takes_part_from_the_next_round_on(
    masked: Config, tmp_path: Path
) -> None:
    disk = tmp_path / "run" / "hospitals" / "0000"

    def fate(kind: str, name: str, nth: int) -> str:
        if (kind, name, nth) == (DOWN, NAMES[0], 2):
            (disk / "masked.json").unlink()
        if (kind, name, nth) == (DOWN, NAMES[0], 3):
            assert renew_record(disk).round == 3
        if (kind, name, nth) == (DOWN, NAMES[0], 4):
            with pytest.raises(StoreError, match="is there, and good"):
                renew_record(disk)
        return ""

    config = masked.with_changes({"federation.rounds": 4})
    run = run_federation(config, tmp_path / "run", grid_kind=flaky(fate))
    assert [len(line.included) for line in read_rounds(run)] == [5, 4, 4, 5]
    log = (disk / "hospital.log").read_text()
    assert "masked.json: is not there, although" in log
    assert "round 3" in log
    assert audit(run, []).findings == []


def test_no_masked_update_is_excluded_alone(masked: Config, tmp_path: Path) -> None:
    """A hospital brings a root to the contract, and its bytes to nobody: the attempt is given up."""
    out = tmp_path / "run"

    def without_bytes(name: str, reply: UpdateReply) -> UpdateReply | None:
        if name != NAMES[0]:
            return reply
        lookout = Lookout.of(Hospital(HospitalDisk(out / "hospitals" / "0000")).member)
        federation = bytes.fromhex(lookout.member.membership.federation)
        assert lookout.bring(Signed(reply.submission(federation), reply.signature)) == ""
        return None

    with pytest.raises(QuorumError, match=r"the update of 0x\w{40}: The store lacks a blob"):
        run_federation(masked, out, tamper=without_bytes)
    assert len(read_rounds(RunDirectory(out))) == 0
    run = run_federation(masked, out)
    assert [len(line.included) for line in read_rounds(run)] == [5, 5]
