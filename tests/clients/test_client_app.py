"""The Flower ClientApp: an error travels as its code, and its words stay at the hospital."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import RecordDict
from founded import Founded

from clients.app import app
from clients.hospital import Hospital
from fedcxr.errors import ConfigError, FederationError, TableError
from fedcxr.messages import FailureReply, Record, RefusalReply, RegisterReply, kind_of
from server.grids.local import LocalGrid


def ask(request: Record, message_type: str, node_config: dict[str, str | int]) -> RecordDict:
    grid = LocalGrid(app, [dict(node_config)], {})
    (node,) = grid.get_node_ids()
    (sent,) = grid.push_messages([grid.create_message(request.to_records(), message_type, node, "")])
    (reply,) = grid.pull_messages([sent])
    assert not reply.has_error(), reply.error.reason
    return reply.content


def test_the_node_says_which_hospital_it_is(
    founded: Founded, newcomer: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(founded.register, "query.register", {"hospital": str(newcomer.disk.root)})
    assert RegisterReply.from_records(answer).name == newcomer.name
    failure = FailureReply.from_records(ask(founded.register, "query.register", {}))
    assert failure.code == ConfigError.exit_code
    assert "--node-config" in caplog.text, "without a hospital there is no log but the process's own"


def test_what_a_hospital_refuses_is_a_code_and_its_reason_is_in_its_log(
    founded: Founded, bystander: Hospital
) -> None:
    node = {"hospital": str(bystander.disk.root)}
    failure = FailureReply.from_records(ask(founded.train, "train", node))
    assert failure.code == FederationError.exit_code
    assert "not among its participants" in (bystander.disk.root / "hospital.log").read_text()


def test_a_refusal_travels_as_one(founded: Founded, participant: Hospital) -> None:
    request = replace(founded.train, bulk=founded.train.bulk[:-4] + b"\0\0\0\1")
    answer = ask(request, "train", {"hospital": str(participant.disk.root)})
    assert kind_of(answer) == RefusalReply.kind


def test_an_error_of_the_data_stays_in_the_hospitals_own_log(
    founded: Founded, newcomer: Hospital, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its text names files, and with them patients."""
    data = newcomer.disk.settings.data.model_copy(update={"root": str(tmp_path / "patient00007")})
    settings = newcomer.disk.settings.model_copy(update={"data": data})
    (newcomer.disk.root / "hospital.toml").write_text(settings.to_toml())
    node = {"hospital": str(newcomer.disk.root)}
    failure = FailureReply.from_records(ask(founded.register, "query.register", node))
    assert failure.code == TableError.exit_code
    assert "patient00007" not in caplog.text
    assert "patient00007" in (newcomer.disk.root / "hospital.log").read_text()


def test_a_message_of_another_kind_is_an_error_and_no_crash(founded: Founded, newcomer: Hospital) -> None:
    node = {"hospital": str(newcomer.disk.root)}
    failure = FailureReply.from_records(ask(founded.register, "train", node))
    assert failure.code == FederationError.exit_code


@pytest.mark.parametrize("text", ["", "name = 3", "not toml ["])
def test_settings_that_are_none_are_an_error(founded: Founded, newcomer: Hospital, text: str) -> None:
    (newcomer.disk.root / "hospital.toml").write_text(text)
    node = {"hospital": str(newcomer.disk.root)}
    failure = FailureReply.from_records(ask(founded.register, "query.register", node))
    assert failure.code == ConfigError.exit_code
