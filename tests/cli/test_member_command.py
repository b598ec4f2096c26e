"""Keys, leaving, suspension and votes: from a hospital's directory to the contract, and the next round."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from federation import digests, run_federation
from typer.testing import CliRunner, Result

from fedcxr.audit.audit import audit
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ContractRejectedError, StoreError
from fedcxr.files import write
from fedcxr.ledger.chain import EmbeddedChain
from fedcxr.ledger.rpc import RpcServer
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server.coordinator_desk import writing_ledger

Call = Callable[..., Result]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["member", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Enough(BaseException):
    """The coordinator goes away."""


def stopped_at(config: Config, out: Path, event_name: str, number: int) -> RunDirectory:
    def stop(event: object) -> None:
        if type(event).__name__ == event_name and event.round == number:  # type: ignore[attr-defined]
            raise Enough

    with pytest.raises(Enough):
        run_federation(config, out, observer=stop)
    return RunDirectory(out)


@pytest.fixture
def begun(small_config: Config, tmp_path: Path) -> RunDirectory:
    """One of two rounds is done, and the coordinator is away."""
    return stopped_at(small_config, tmp_path / "run", "RoundFinalized", 1)


def go_on(run: RunDirectory) -> RunDirectory:
    return run_federation(run.config, run.root)


def address(run: RunDirectory, index: int) -> str:
    return Identity.load(run.hospital(index) / "identity.json").account.address


def test_a_hospital_with_new_keys_goes_on_in_its_seat(begun: RunDirectory, tmp_path: Path) -> None:
    old, order = address(begun, 0), tmp_path / "order.json"
    call("rotate", begun.hospital(0), "--out", order)
    new = address(begun, 0)
    assert new != old
    assert Identity.load(begun.hospital(0) / f"identity.{old}.json").account.address == old
    assert "taken the rotation" in call("relay", begun.root, order).output
    go_on(begun)
    with writing_ledger(begun) as ledger:
        first, second = ledger.round(1), ledger.round(2)
        assert (old in first.included, new in second.included) == (True, True)
        assert first.seats[old] == second.seats[new]
    report = audit(begun, [Identity.load(begun.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert report.proven


@pytest.mark.parametrize("recording", ["each", "root"])
def test_a_hospital_with_new_keys_is_asked_in_the_round_that_was_open(
    small_config: Config, tmp_path: Path, recording: str
) -> None:
    config = small_config.with_changes({"ledger.recording": recording})
    run = stopped_at(config, tmp_path / "run", "RoundOpened", 2)
    order = tmp_path / "order.json"
    call("rotate", run.hospital(0), "--out", order)
    call("relay", run.root, order)
    go_on(run)
    assert [len(line["included"]) for line in run.read_metrics()] == [3, 3]
    assert address(run, 0) in run.read_metrics()[1]["included"]
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert report.proven


def test_a_rotation_that_was_not_relayed_keeps_the_hospital_out(
    begun: RunDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The contract knows the old keys: the hospital does not ask for a second seat under the new ones."""
    order = tmp_path / "order.json"
    call("rotate", begun.hospital(0), "--out", order)
    go_on(begun)
    with writing_ledger(begun) as ledger:
        assert len(ledger.round(2).included) == 2
        assert len(ledger.members()) == 3
    assert "fedcxr member relay" in caplog.text
    call("relay", begun.root, order)


def test_a_suspended_hospital_is_not_asked_until_it_is_reinstated(begun: RunDirectory) -> None:
    target = address(begun, 1)
    call("suspend", begun.root, target)
    with writing_ledger(begun) as ledger:
        assert {m.address: m.standing for m in ledger.members()}[target] == "suspended"
    go_on(begun)
    with writing_ledger(begun) as ledger:
        assert target not in ledger.round(2).participants
    call("reinstate", begun.root, target)
    with writing_ledger(begun) as ledger:
        assert all(m.standing == "active" for m in ledger.members())
    assert len(digests(begun)) == 2


def test_a_hospital_leaves(begun: RunDirectory, tmp_path: Path) -> None:
    leaver, order = address(begun, 2), tmp_path / "order.json"
    call("leave", begun.hospital(2), "--out", order)
    call("relay", begun.root, order)
    go_on(begun)
    with writing_ledger(begun) as ledger:
        assert leaver not in ledger.round(2).participants


def test_hospitals_vote_a_member_out(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"ledger.admission": "vote", "federation.rounds": 1})
    run = run_federation(config, tmp_path / "run")
    target = address(run, 2)
    with pytest.raises(ContractRejectedError, match="NotApproved"):
        call("suspend", run.root, target)
    orders = [tmp_path / f"{voter}.json" for voter in (0, 1)]
    chain = EmbeddedChain(run.chain_path, chain_id=config.ledger.chain_id)
    with closing(chain), closing(RpcServer(chain)) as front:
        write(run.endpoint_path, front.url)  # as while a coordinator is at work
        for voter, order in enumerate(orders):
            call("approve", run.hospital(voter), "suspend", target, "--out", order)
    call("relay", run.root, orders[0])
    with pytest.raises(ContractRejectedError, match="NotApproved"):
        call("suspend", run.root, target)
    call("relay", run.root, orders[1])
    call("suspend", run.root, target)


def test_what_is_no_order_is_named(begun: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.json: no such file"):
        call("relay", begun.root, tmp_path / "none.json")
    path = tmp_path / "bad.json"
    path.write_text('{"kind": "departure", "message": {}}')
    with pytest.raises(StoreError, match="not a signed order"):
        call("relay", begun.root, path)
    order = tmp_path / "order.json"
    call("leave", begun.hospital(0), "--out", order)
    forged = order.read_text().replace(address(begun, 0), address(begun, 1))
    shutil.copy(order, path)
    path.write_text(forged)
    with pytest.raises(ContractRejectedError, match="BadSignature"):
        call("relay", begun.root, path)
