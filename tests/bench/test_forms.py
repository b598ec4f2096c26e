"""``fedcxr bench forms``, on the updates of a small run."""

import json
from pathlib import Path

import pytest
from federation import run_federation
from typer.testing import CliRunner

from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.round_lines import read_rounds


@pytest.mark.parametrize("form", ["plain", "packed"])
def test_every_form_is_measured_on_what_hospitals_sent(
    small_config: Config, tmp_path: Path, form: str
) -> None:
    changes = {"federation.update_form": form, "federation.rounds": 1}
    run = run_federation(small_config.with_changes(changes), tmp_path / "run")
    said = CliRunner().invoke(app, ["bench", "forms", str(run.root), "--json"])
    costs = {cost["form"]: cost for cost in json.loads(said.output)}
    assert list(costs) == ["plain", "packed", "short"]
    assert 1 < costs["plain"]["ratio"] < 1.1  # an envelope's header is 4,096 bytes
    assert costs["short"]["ratio"] < costs["packed"]["ratio"] < 0.6
    (line,) = read_rounds(run)
    assert (line.bytes_up or 0) / 3e6 == pytest.approx(costs[form]["megabytes"], abs=0.01)
    assert "packed" in CliRunner().invoke(app, ["bench", "forms", str(run.root), "--rounds", "1"]).output
