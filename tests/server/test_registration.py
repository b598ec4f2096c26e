"""Registration: who joins, who does not and why, and how long the server waits."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from founded import Founded, found

from clients.app import app as client_app
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.config import Config
from fedcxr.errors import FederationError, GridError
from fedcxr.messages import RegisterRequest
from server.event_log import log_event
from server.grids.local import LocalGrid
from server.registration import HospitalNode, register_hospitals


@pytest.fixture
def federation(small_config: Config, tmp_path: Path) -> Iterator[Founded]:
    with found(small_config, tmp_path / "run") as federation:
        yield federation


def register(
    federation: Founded, places: list[Path], app: ClientApp = client_app, expected: int = 0
) -> dict[str, HospitalNode]:
    return register_hospitals(
        LocalGrid(app, [{"hospital": str(place)} for place in places], {}),
        federation.ledger,
        federation.register,
        requests=federation.run.signed_requests,
        observer=log_event,
        expected=expected or len(places),
        join_timeout=0.3,
        timeout=60,
    )


def lying(change: dict[str, object], victim: str) -> ClientApp:
    """The hospital in directory ``victim`` sends another registration than it signed."""
    app = ClientApp()

    @app.query("register")
    def answer(message: Message, context: Context) -> Message:
        place = Path(str(context.node_config["hospital"]))
        reply = Hospital(HospitalDisk(place)).register(RegisterRequest.from_records(message.content))
        if place.name == victim:
            reply = replace(reply, **change)  # type: ignore[arg-type]
        return Message(reply.to_records(), reply_to=message)

    return app


def test_hospitals_that_the_ledger_knows_are_not_registered_again(federation: Founded) -> None:
    known = {hospital.address for hospital in federation.ledger.members()}
    gas = federation.ledger.gas_used["register"]
    members = register(federation, [federation.run.hospital(i) for i in (0, 1)])
    assert set(members) == known
    assert federation.ledger.gas_used["register"] == gas
    members = register(federation, [federation.run.hospital(i) for i in (0, 1, 2)])
    assert list(members) == sorted(members)
    assert {h.address: h.samples for h in federation.ledger.members()} == {
        address: member.samples for address, member in members.items()
    }
    assert len(members) == 3


def test_too_few_nodes_are_an_error_after_the_wait(federation: Founded) -> None:
    with pytest.raises(GridError, match=r"1 of 2 hospitals came within 0 s"):
        register(federation, [federation.run.hospital(0)], expected=2)


def test_one_that_crashes_is_left_out_by_name(federation: Founded, caplog: pytest.LogCaptureFixture) -> None:
    places = [federation.run.hospital(i) for i in (0, 1, 2)]
    (places[2] / "hospital.toml").write_text("no settings")
    with caplog.at_level(logging.ERROR):
        members = register(federation, places)
    assert len(members) == 2
    assert "node 3 was not registered: ConfigError" in caplog.text


def test_two_nodes_with_one_hospitals_keys_count_once(
    federation: Founded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    twin = shutil.copytree(federation.run.hospital(0), tmp_path / "twin")
    with caplog.at_level(logging.ERROR):
        members = register(federation, [federation.run.hospital(0), twin])
    assert len(members) == 1
    assert "presents the address of another node" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 9_999}, "BadSignature"),
        ({"signature": bytes(65)}, "BadSignature"),
        ({"hospital": "0x" + "11" * 20}, "the challenge was signed by: 0x"),
        ({"presence": bytes(65)}, "the challenge was signed by: not a signature"),
        ({"samples": 0}, "NoSamples"),
        ({"envelope_key": b"no key"}, "key"),
        ({"hospital": "no address"}, "address"),
        ({"samples": -1}, "samples"),
        ({"signature": bytes(1_000_000)}, "1,000,000 bytes"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_a_registration_that_was_not_signed_so_is_rejected(
    federation: Founded, change: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    places = [federation.run.hospital(i) for i in (0, 2)]
    with caplog.at_level(logging.ERROR):
        members = register(federation, places, lying(change, places[1].name))
    assert len(members) == 1
    assert "node 2 was not registered" in caplog.text
    assert said in caplog.text
    assert len(federation.ledger.members()) == 2


def test_nobody_takes_the_place_of_a_hospital_that_the_ledger_knows(
    federation: Founded, caplog: pytest.LogCaptureFixture
) -> None:
    honest, thief = federation.run.hospital(0), federation.run.hospital(2)
    known = federation.ledger.members()[0]
    change = {"hospital": known.address, "samples": 10**6, "signature": b""}
    with caplog.at_level(logging.ERROR):
        members = register(federation, [thief, honest], lying(change, thief.name))
    assert "node 1 was not registered" in caplog.text
    (member,) = members.values()
    assert (member.address, member.node, member.samples) == (known.address, 2, known.samples)


def test_names_are_told_apart_and_cannot_break_a_report(
    federation: Founded, caplog: pytest.LogCaptureFixture
) -> None:
    places = [federation.run.hospital(i) for i in (0, 1)]
    names = [HospitalDisk(place).settings.name for place in places]
    members = register(federation, places, lying({"name": names[0]}, places[1].name))
    assert all(member.name == address for address, member in members.items())
    members = register(federation, places, lying({"name": "a\n\x1b[31m|" + "b" * 500}, places[1].name))
    assert "a[31m|" + "b" * 54 in {member.name for member in members.values()}


def test_nobody_registered_is_an_error(federation: Founded) -> None:
    place = federation.run.hospital(0)
    (place / "hospital.toml").write_text("no settings")
    with pytest.raises(FederationError, match="no hospital could be registered"):
        register(federation, [place])
