"""The adversary is the coordinator, who reads whatever a hospital sends when something goes wrong there.

A patient's name stands in a folder, a file, a cell of the CSV and the texts of errors. None of it may be in
what the hospital sends, in the run directory, on the ledger or on the coordinator's console; all of it is in
the log on the hospital's own disk. Ray's workers are held to that in tests/server/grids/test_ray.py.
"""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from federation import run_federation
from flwr.app import Context, Error, Message, RecordDict

from clients.app import hospital_app
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr import errors
from fedcxr.config import Config
from fedcxr.errors import FedcxrError, NonFiniteError, UnwritableError
from fedcxr.messages import FailureReply, RegisterReply, UpdateReply, kind_of
from fedcxr.run.logfile import log_to
from fedcxr.run.preparation import open_or_create
from fedcxr.store.run_directory import RunDirectory
from fedcxr.terminal.console import Console as Terminal
from server.console import Console
from server.grids.local import LocalGrid
from server.registration import why_failed

PATIENT = "Mustermann"
FAILING = "synthetic-01"  # the hospital at which something goes wrong


class MutteringError(Exception):
    """A library's error that names the patient, and whose own text fails."""

    def __init__(self) -> None:
        super().__init__(PATIENT)

    def __str__(self) -> str:
        raise ValueError(f"no text for {PATIENT}")


Fault = Callable[[], BaseException]
FAULTS: dict[str, Fault] = {
    "KeyError": lambda: KeyError(PATIENT),
    "OSError": lambda: OSError(2, "No such file", f"/archive/{PATIENT}/1.dcm"),
    "RuntimeError": lambda: RuntimeError(f"bad DICOM of {PATIENT}"),
    "UnicodeError": lambda: ValueError(f"{PATIENT}\udcff\n\x1b[31m"),
    "its own text fails": MutteringError,
    "SystemExit": lambda: SystemExit(f"cannot go on with {PATIENT}"),
    "NonFiniteError": lambda: NonFiniteError(f"{PATIENT}'s image is NaN"),
    "named after the patient": lambda: type(PATIENT, (Exception,), {})("?"),
}


class Overheard:
    """What the coordinator could have read: every reply, and its console."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replies: list[Message] = []
        self.console = io.StringIO()
        handle = LocalGrid._handle

        def listen(grid: LocalGrid, message: Message) -> Message:
            reply = handle(grid, message)
            self.replies.append(reply)
            return reply

        monkeypatch.setattr(LocalGrid, "_handle", listen)

    @property
    def failures(self) -> list[FailureReply]:
        carried = [reply.content for reply in self.replies if not reply.has_error()]
        return [FailureReply.from_records(c) for c in carried if kind_of(c) == FailureReply.kind]

    def run(self, config: Config, out: Path, kind: type[Hospital]) -> RunDirectory:
        """Run a federation with its log and console as a simulation has them; it may end in an error."""
        run = open_or_create(out, config)
        observer = Console(Terminal(file=self.console, width=400))
        with log_to(run.log_path):
            try:
                run_federation(config, out, client=hospital_app(kind), observer=observer)
            except FedcxrError as error:
                print(error, file=self.console)
        return run


@pytest.fixture
def overheard(monkeypatch: pytest.MonkeyPatch) -> Overheard:
    return Overheard(monkeypatch)


def texts(records: RecordDict) -> Iterator[bytes]:
    """Everything that a message carries."""
    for head in records.config_records.values():
        for value in head.values():
            yield value if isinstance(value, bytes) else str(value).encode()
    for arrays in records.array_records.values():
        for array in arrays.values():
            yield array.data


def assert_kept(
    run: RunDirectory, overheard: Overheard, capfd: pytest.CaptureFixture[str], said: str = PATIENT
) -> Path:
    """The patient's name is nowhere that others read; ``said`` is in the hospital's own log, returned."""
    name = PATIENT.encode()
    for reply in overheard.replies:
        assert PATIENT not in str(reply.error.reason if reply.has_error() else "")
        if not reply.has_error():
            assert not any(name in text for text in texts(reply.content))
    assert PATIENT not in overheard.console.getvalue()
    assert PATIENT not in "".join(capfd.readouterr())
    places = [p for p in run.root.rglob("*") if p.is_file() and run.hospitals not in p.parents]
    assert {"run.log", "ledger.sqlite"} <= {place.name for place in places}
    assert [place for place in places if name in place.read_bytes()] == []
    (log,) = [log for log in run.hospitals.glob("*/hospital.log") if said.encode() in log.read_bytes()]
    assert log.stat().st_mode & 0o077 == 0
    assert f'name = "{FAILING}"' in (log.parent / "hospital.toml").read_text()
    return log


def settings_of(disk: HospitalDisk, **data: str) -> None:
    """Have a hospital find its images elsewhere."""
    settings = disk.settings
    changed = settings.data.model_copy(update=data)
    disk.__dict__["settings"] = settings.model_copy(update={"data": changed})


def missing_root(disk: HospitalDisk, place: Path) -> None:
    settings_of(disk, root=str(place / PATIENT))


def hospital_folder(disk: HospitalDisk, place: Path) -> Path:
    """A copy of the images, with a table in which a row of its own can be spoiled."""
    root = Path(shutil.copytree(disk.settings.data.root, place / "copy"))
    settings_of(disk, root=str(root), cache=str(place / "cache"), partition="")
    return root


def broken_image(disk: HospitalDisk, place: Path) -> None:
    """An image that is none, in a folder with the patient's name."""
    root = hospital_folder(disk, place)
    table = root / "train.csv"
    head, first, *rest = table.read_text().splitlines()
    path, comma, values = first.partition(",")
    changed = str(Path(path).parent / PATIENT / "view1_frontal.jpg")
    (root / changed).parent.mkdir(parents=True)
    (root / changed).write_bytes(b"\xff\xd8 no image")
    table.write_text("\n".join((head, f"{changed}{comma}{values}", *rest)) + "\n")


def spoilt_cell(disk: HospitalDisk, place: Path) -> None:
    """A name where a label should stand."""
    table = hospital_folder(disk, place) / "train.csv"
    head, first, *rest = table.read_text().splitlines()
    table.write_text("\n".join((head, f"{first.rpartition(',')[0]},{PATIENT}", *rest)) + "\n")


def spoilt_partition(disk: HospitalDisk, place: Path) -> None:
    """A partition file that is none, under the patient's name."""
    (place / f"{PATIENT}.json").write_text(f'["{PATIENT}"')
    settings_of(disk, partition=str(place / f"{PATIENT}.json"))


def lost_partition(disk: HospitalDisk, place: Path) -> None:
    settings_of(disk, partition=str(place / PATIENT))


@pytest.mark.parametrize(
    "spoil",
    [missing_root, broken_image, spoilt_cell, spoilt_partition, lost_partition],
    ids=lambda s: s.__name__,
)
def test_what_is_wrong_with_a_hospitals_data_does_not_leave_it(
    small_config: Config,
    tmp_path: Path,
    overheard: Overheard,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[HospitalDisk, Path], None],
) -> None:
    class Spoilt(Hospital):
        def __init__(self, disk: HospitalDisk) -> None:
            super().__init__(disk)
            if self.name == FAILING:
                spoil(disk, tmp_path)

    config = small_config.with_changes({"federation.rounds": 1})
    run = overheard.run(config, tmp_path / "run", Spoilt)
    assert_kept(run, overheard, capfd)
    assert len(overheard.failures) == 1
    assert "✗ node 1 was not registered" in overheard.console.getvalue()
    assert "see its own log" in overheard.console.getvalue()


def raising(stage: str, *faults: Fault) -> type[Hospital]:
    """A hospital in which errors are raised at a stage: ``register``, ``_train_from`` or ``validate``.

    One after the other, each time that it comes there, and the last from then on.
    """
    left = list(faults)

    def fail(self: Hospital, *arguments: Any) -> Any:
        if self.name == FAILING or stage == "validate":
            raise (left.pop(0) if len(left) > 1 else left[0])()
        return getattr(Hospital, stage)(self, *arguments)

    return type("Raising", (Hospital,), {stage: fail})


def code_of(fault: Fault) -> int:
    return NonFiniteError.exit_code if isinstance(fault(), FedcxrError) else 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_an_error_says_in_registering_does_not_leave_the_hospital(
    small_config: Config,
    tmp_path: Path,
    overheard: Overheard,
    capfd: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    config = small_config.with_changes({"federation.min_hospitals": 3})  # so no round is opened
    run = overheard.run(config, tmp_path / "run", raising("register", fault))
    log = assert_kept(run, overheard, capfd, "MutteringError" if fault is MutteringError else PATIENT)
    assert [failure.code for failure in overheard.failures] == [code_of(fault)]
    assert "ERROR clients.app: asked to 'query.register', round 'register'" in log.read_text()


def test_what_an_error_says_in_training_does_not_leave_the_hospital(
    small_config: Config, tmp_path: Path, overheard: Overheard, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another error in each round, from a hospital that is asked again in the next."""
    config = small_config.with_changes({"federation.rounds": len(FAULTS), "evaluation.bootstrap": 0})
    run = overheard.run(config, tmp_path / "run", raising("_train_from", *FAULTS.values()))
    log = assert_kept(run, overheard, capfd)
    assert [failure.code for failure in overheard.failures] == [code_of(fault) for fault in FAULTS.values()]
    for number, fault in enumerate(FAULTS.values(), 1):
        _, asked, told = log.read_text().partition(f"ERROR clients.app: asked to 'train', round '{number}'")
        said = told.partition("ERROR clients.app: asked to")[0]
        assert asked
        assert ("MutteringError" if fault is MutteringError else PATIENT) in said


def test_what_goes_wrong_in_judging_does_not_leave_the_hospital(
    small_config: Config, tmp_path: Path, overheard: Overheard, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {
        "validation.policy": "committee",
        "validation.committee": 1,
        "federation.rounds": 1,
        "federation.round_timeout": 600,
    }
    kind = raising("validate", FAULTS["RuntimeError"])
    run = overheard.run(small_config.with_changes(changes), tmp_path / "run", kind)
    logs = [log for log in run.hospitals.glob("*/hospital.log") if PATIENT in log.read_text()]
    assert overheard.failures
    assert len(logs) == 1, "one validator was drawn"
    text = (logs[0].parent / "hospital.toml").read_text()
    (logs[0].parent / "hospital.toml").write_text(text.replace(text.splitlines()[0], f'name = "{FAILING}"'))
    assert_kept(run, overheard, capfd)


def test_nothing_escapes_the_app_for_flower_to_tell(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's worker and the SuperNode's process send the text of whatever an app raises."""

    def fail(disk: HospitalDisk) -> NoReturn:
        raise KeyError(PATIENT)

    monkeypatch.setattr("clients.disk.HospitalDisk.settings", property(fail))
    context = Context(1, 1, {"hospital": str(tmp_path)}, RecordDict(), {})
    grid = LocalGrid(hospital_app(), [{}], {})
    for message_type in ("train", "query.register", "query.validate", "evaluate", "query.other"):
        message = grid.create_message(RecordDict(), message_type, 1, "1")
        reply = hospital_app()(message, context)
        assert FailureReply.from_records(reply.content).code == 1
    assert PATIENT in (tmp_path / "hospital.log").read_text()


def test_what_flower_says_of_a_crash_is_not_repeated() -> None:
    """An older hospital's app, or Flower itself, may send words."""
    message = LocalGrid(hospital_app(), [{}], {}).create_message(RecordDict(), "train", 1, "1")
    said = why_failed(Message(Error(2, f"<class 'KeyError'>:<'{PATIENT}'>"), reply_to=message))
    assert said == "its app crashed, or was not reached (Flower's code 2): see its own log."


def test_a_full_disk_of_a_simulated_hospital_ends_the_run_without_its_words(
    small_config: Config, tmp_path: Path, overheard: Overheard, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = raising("_train_from", lambda: UnwritableError(f"/archive/{PATIENT}: cannot be written"))
    run = overheard.run(small_config, tmp_path / "run", kind)
    assert "disk is full" in overheard.console.getvalue()
    assert_kept(run, overheard, capfd)


def test_a_hospitals_log_is_bounded(tmp_path: Path) -> None:
    for _ in range(20):
        with log_to(tmp_path / "hospital.log", bound=4096):
            for _ in range(20):
                logging.getLogger("clients").error("x" * 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hospital.log", "hospital.log.1"]
    assert all(path.stat().st_size <= 4096 for path in tmp_path.iterdir())


def test_what_a_reply_may_say_in_words_is_known() -> None:
    """Fields of text are addresses and the name that ``hospital.toml`` chooses; a failure has none."""
    from dataclasses import fields

    said = {kind: {f.name for f in fields(kind) if f.type == "str"} for kind in (RegisterReply, UpdateReply)}
    assert said == {RegisterReply: {"name", "hospital"}, UpdateReply: {"hospital"}}
    assert [(field.name, field.type) for field in fields(FailureReply)] == [("code", "int")]


def test_the_server_words_a_code_by_itself(small_config: Config) -> None:
    assert errors.error_of(21) is errors.TableError
    assert errors.error_of(70) is errors.FederationError
    assert errors.error_of(1234) is None
