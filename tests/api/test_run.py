"""A run from Python: what its tables hold, what its audit finds, and how errors come."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fedcxr
from fedcxr.config import Config
from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import AuditFailedError, ConfigError, DataError, StoreError, TableError
from fedcxr.report.summary import write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.run.released import report_last
from fedcxr.store.run_directory import RunDirectory
from server.events import Event, FederationStarted, RoundFinalized


@pytest.fixture(scope="module")
def run(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[fedcxr.Run]:
    """A complete run of two rounds."""
    yield fedcxr.simulate(small_config, tmp_path_factory.mktemp("api") / "run")


def test_a_row_is_a_round_and_says_what_its_line_says(run: fedcxr.Run) -> None:
    lines, rounds = read_rounds(RunDirectory(run.root)), run.rounds()
    assert list(rounds.index) == [1, 2]
    assert list(rounds["model"]) == [line.model for line in lines]
    assert list(rounds["gas"]) == [sum((line.gas or {}).values()) for line in lines]
    assert list(rounds["auroc"]) == [line.evaluation.macro.value for line in lines if line.evaluation]
    assert list(rounds["included"]) == [3, 3]


def test_a_row_is_a_hospital_in_a_round(run: fedcxr.Run) -> None:
    hospitals, line = run.hospitals(), read_rounds(RunDirectory(run.root))[1]
    assert len(hospitals) == 6
    for name, hospital in line.hospitals.items():
        row = hospitals.loc[(2, name)]
        assert (row["address"], row["images"], row["loss"]) == (
            hospital.address,
            hospital.images,
            hospital.loss,
        )
        assert row["included"]
        assert {f"loss.{term}" for term in hospital.terms} <= set(hospitals.columns)


def test_a_row_is_a_label_of_a_set_of_patients_in_a_round(run: fedcxr.Run) -> None:
    metrics, line = run.metrics(), read_rounds(RunDirectory(run.root))[0]
    assert line.evaluation is not None
    assert len(metrics) == 2 * 4 * len(LABELS)
    own = metrics[(metrics["round"] == 1) & (metrics["hospital"] == "all")].set_index("label")
    for score in line.evaluation.labels:
        assert own.loc[score.label, "positives"] == score.positives
        found = own.loc[score.label, "auroc"]
        assert found == score.value if score.value is not None else found != found  # NaN
    assert set(metrics["hospital"]) == {"all", *line.evaluation.hospitals}


def test_a_run_that_was_cut_off_goes_on_and_tells_its_observer(small_config: Config, tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(event: Event) -> None:
        if isinstance(event, RoundFinalized):
            raise Stop

    with pytest.raises(Stop):
        fedcxr.simulate(small_config, tmp_path / "run", observer=stop)
    events: list[Event] = []
    opened = fedcxr.open_run(tmp_path / "run")
    done = opened.resume(observer=events.append)
    assert done == opened
    assert done.complete
    assert [event.first_round for event in events if isinstance(event, FederationStarted)] == [2]
    assert done.audit().proven


def test_another_configuration_is_refused(run: fedcxr.Run, small_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"holds another run: federation\.rounds is 2 there and 3 here"):
        fedcxr.simulate(small_config.with_changes({"federation.rounds": 3}), run.root)


def test_an_audit_reports_progress_and_names_what_was_changed(
    small_config: Config, run: fedcxr.Run, tmp_path: Path
) -> None:
    seen = set()
    audit = run.audit(progress=lambda what, done, total: seen.add(what))
    assert (audit.proven, audit.rounds, audit.place) == (True, 2, str(run.root))
    assert "bytes" in seen
    part = run.audit(rounds="1")
    assert part.clean
    assert not part.proven
    directory = RunDirectory(run.root)
    good = directory.model(2).read_bytes()
    directory.model(2).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        changed = run.audit()
        with pytest.raises(AuditFailedError, match="1 finding"):
            changed.require_proof()
        assert "round-0002.safetensors" in str(changed.findings[0])
        with pytest.raises(StoreError, match="has digest"):
            run.predict(run.config.data.root_path / "valid.csv", data=run.config.data.root_path)
    finally:
        directory.model(2).write_bytes(good)


def test_predictions_are_a_table_and_a_csv(run: fedcxr.Run, tmp_path: Path) -> None:
    root = run.config.data.root_path
    told: list[tuple[str, int, int]] = []
    predictions = run.predict(
        root / "valid.csv", data=root, progress=lambda what, done, total: told.append((what, done, total))
    )
    assert predictions.round == 2
    assert ("predict", predictions.images, predictions.images) in told
    assert list(predictions.frame("competition").columns) == list(COMPETITION_LABELS)
    predictions.write(tmp_path / "P.csv", labels="all")
    assert (tmp_path / "P.csv").read_text().splitlines()[0] == ",".join(["Study", *LABELS])
    assert list(predictions.frame().columns) == list(LABELS)
    with pytest.raises(ConfigError, match=r"allowed are competition and all\. Did you mean all\?"):
        predictions.frame("al")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="belongs to its model"):
        run.predict(root / "valid.csv", data=root, overrides={"data.size": 48})


def test_images_are_predicted_one_by_one_as_in_their_csv(run: fedcxr.Run, tmp_path: Path) -> None:
    root = run.config.data.root_path
    lines = (root / "valid.csv").read_text().splitlines()
    names = [line.split(",")[0].partition("/")[2] for line in lines[1:3]]
    (tmp_path / "two.csv").write_text("\n".join(["Path", *names]))
    whole = run.predict(tmp_path / "two.csv", data=root).frame()
    found = run.predict(names, data=root)
    assert found.frame().index.name == "Path"
    assert list(found.frame().index) == names
    for name in names:
        own = run.predict(root / name).frame()
        np.testing.assert_allclose(own.loc[str(root / name)], found.frame().loc[name], atol=1e-5)
    highest = found.frame().groupby(lambda name: name.rpartition("/")[0]).max()
    np.testing.assert_allclose(highest.sort_index(), whole.sort_index(), atol=1e-5)
    found.write(tmp_path / "P.csv")
    assert (tmp_path / "P.csv").read_text().startswith("Path,")
    with pytest.raises(DataError, match=rf"none\.png: there is no such image here, nor in {root}"):
        run.predict("none.png", data=root)
    with pytest.raises(DataError, match="there is no image to predict"):
        run.predict([])
    with pytest.raises(DataError, match="the image is given twice"):
        run.predict([names[0], root / names[0]], data=root)
    with pytest.raises(ConfigError, match=r"two\.csv: a CSV needs the folder of its images"):
        run.predict(tmp_path / "two.csv")
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"damaged\.png: not a JPEG or PNG image\.$"):
        run.predict(tmp_path / "damaged.png")


def test_labels_that_no_hospital_knew_are_named(run: fedcxr.Run, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(run.config.data.root_path, root)
    table = pd.read_csv(root / "train.csv")
    table[["Fracture", "Pneumonia"]] = np.nan
    table["Edema"] = -1.0
    table["Pleural Other"] = 0.0
    table.to_csv(root / "train.csv", index=False)
    changes = {
        "data.root": root,
        "data.phantom": None,
        "data.blank": "ignore",
        "data.uncertain_per_label": {"Edema": "ignore"},
        "federation.rounds": 1,
    }
    file = run.root / "config.toml"
    blind = fedcxr.simulate(fedcxr.load_config(file, changes), tmp_path / "run")
    found = blind.predict(root / "valid.csv", data=root)
    assert found.never_trained == ("Edema", "Pneumonia", "Fracture")
    assert repr(found).endswith("round 1, never trained: Edema, Pneumonia, Fracture)")
    said = "**Never trained: Edema, Pneumonia, Fracture.**"
    directory = RunDirectory(blind.root)
    assert said in write_summary(directory).read_text()
    report = report_last(directory)
    assert report is not None
    assert said in report.read_text()
    (root / "train.csv").write_text("changed since")
    assert said not in write_summary(directory).read_text()
    assert run.predict(root / "valid.csv", data=root).never_trained == ()


def test_a_run_and_its_predictions_are_short_to_read(run: fedcxr.Run, tmp_path: Path) -> None:
    root = run.config.data.root_path
    assert repr(run) == f"Run('{run.root}', 2 of 2 rounds, complete)"
    assert repr(fedcxr.Run(tmp_path)) == f"Run('{tmp_path}', not readable)"
    found = run.predict(root / "valid.csv", data=root)
    assert repr(found) == f"Predictions({len(found)} rows, 14 labels, {found.images} images, round 2)"
    assert repr(found.studies) == f"StudyPredictions({len(found)} rows, 14 labels)"


def test_a_configuration_is_a_path_or_one_that_was_loaded_and_is_never_changed(
    run: fedcxr.Run, tmp_path: Path
) -> None:
    file = run.root / "config.toml"
    assert fedcxr.simulate(file, run.root) == run
    assert fedcxr.simulate(str(file), run.root) == run
    config = fedcxr.load_config(file, {"data.root": tmp_path})
    assert config.data.root == str(tmp_path)
    for section, name in ((config.federation, "rounds"), (config, "seed")):
        with pytest.raises(ConfigError, match=rf"{name} = 9: .* config\.with_changes\(\{{"):
            setattr(section, name, 9)
    assert (config.federation.rounds, config.seed) == (run.config.federation.rounds, run.config.seed)
    with pytest.raises(TypeError, match=r"load_config\(\) got an unexpected keyword argument 'rounds'"):
        fedcxr.load_config(file, rounds=3)  # type: ignore[call-arg]


def test_what_is_wrong_comes_as_an_error_of_fedcxr(run: fedcxr.Run, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run directory"):
        fedcxr.open_run(tmp_path)
    with pytest.raises(StoreError, match=r"none\.zip: No such file"):
        fedcxr.verify_export(tmp_path / "none.zip")
    with pytest.raises(ConfigError, match="generate_phantom: patients"):
        fedcxr.generate_phantom(tmp_path / "phantom", patients=1)
    with pytest.raises(TableError, match=r"P\.csv"):
        fedcxr.evaluate(tmp_path / "P.csv", tmp_path / "T.csv")
    with pytest.raises(ConfigError, match="target_sensitivity"):
        fedcxr.evaluate(tmp_path / "P.csv", tmp_path / "T.csv", metrics=True, target_sensitivity=float("nan"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(DataError):
        fedcxr.generate_phantom(tmp_path / "other")


def test_a_file_that_is_no_export_is_not_authentic(tmp_path: Path) -> None:
    (tmp_path / "audit.zip").write_bytes(b"nothing")
    found = fedcxr.verify_export(tmp_path / "audit.zip")
    assert not found.authentic
    assert found.findings == ()
    with pytest.raises(AuditFailedError, match="1 problem"):
        found.require_proof()
