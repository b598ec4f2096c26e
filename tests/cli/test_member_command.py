"""Keys, leaving, suspension and votes: from a hospital's directory to the contract, and the next round."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from federation import Recorder, digests, run_federation
from typer.testing import CliRunner, Result

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.audit.audit import audit
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ChainError, ContractRejectedError, FederationError, LedgerError, StoreError
from fedcxr.ledger.signed_requests import SignedRequest
from fedcxr.ledger.signing import HOSPITAL, Departure, Registration
from fedcxr.round_lines import read_rounds
from fedcxr.run.ledger_access import writing_ledger
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server.events import Event, NotRegistered

Call = Callable[..., Result]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["member", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Enough(BaseException):
    """The coordinator goes away."""


def until(event_name: str, number: int = 0) -> Callable[[object], None]:
    """An observer that ends the run at an event, of a round where it is about one."""

    def stop(event: object) -> None:
        if type(event).__name__ == event_name and getattr(event, "round", 0) == number:
            raise Enough

    return stop


def stopped_at(config: Config, out: Path, event_name: str, number: int) -> RunDirectory:
    with pytest.raises(Enough):
        run_federation(config, out, observer=until(event_name, number))
    return RunDirectory(out)


@pytest.fixture(scope="module")
def stopped(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """One of two rounds is done, and the coordinator is away; never written to after this."""
    return stopped_at(small_config, tmp_path_factory.mktemp("stopped") / "run", "RoundFinalized", 1)


@pytest.fixture
def begun(stopped: RunDirectory, tmp_path: Path) -> RunDirectory:
    run = RunDirectory(shutil.copytree(stopped.root, tmp_path / "run"))
    for path in run.hospitals.glob("*/hospital.toml"):  # they name the coordinator's file
        path.write_text(path.read_text().replace(str(stopped.root), str(run.root)))
    return run


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
    assert [len(line.included) for line in read_rounds(run)] == [3, 3]
    assert address(run, 0) in read_rounds(run)[1].included
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert report.proven


def test_a_rotation_that_was_not_relayed_keeps_the_hospital_out(begun: RunDirectory, tmp_path: Path) -> None:
    """The contract knows the old keys: the hospital does not ask for a second seat under the new ones."""
    order = tmp_path / "order.json"
    call("rotate", begun.hospital(0), "--out", order)
    go_on(begun)
    with writing_ledger(begun) as ledger:
        assert len(ledger.round(2).included) == 2
        assert len(ledger.members()) == 3
    assert "fedcxr member relay" in (begun.hospital(0) / "hospital.log").read_text()
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
    """Their votes are signed while the run is away, from what its chain has left on the disk."""
    config = small_config.with_changes({"ledger.admission": "vote", "federation.rounds": 1})
    run = run_federation(config, tmp_path / "run")
    target = address(run, 2)
    with pytest.raises(ContractRejectedError, match="NotApproved") as refused:
        call("suspend", run.root, target)
    assert "fedcxr member approve" in refused.value.help
    orders = [tmp_path / f"{voter}.json" for voter in (0, 1)]
    for voter, order in enumerate(orders):
        call("approve", run.hospital(voter), "suspend", target, "--out", order)
    call("relay", run.root, orders[0])
    with pytest.raises(ContractRejectedError, match="NotApproved"):
        call("suspend", run.root, target)
    call("relay", run.root, orders[1])
    call("suspend", run.root, target)
    # The next votes are for the next change; they can be signed while the chain answers, too.
    for change in ("reinstate", "suspend"):
        chain = EmbeddedChain(run.chain_path, chain_id=config.ledger.chain_id)
        with closing(chain), closing(RpcServer(chain)) as front:
            for voter, order in enumerate(orders):
                call("approve", run.hospital(voter), change, target, "--out", order, "--rpc", front.url)
        call("relay", run.root, *orders)
        call(change, run.root, target)


def test_a_vote_needs_a_member_to_be_about_and_a_chain_to_read(begun: RunDirectory, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "order.json")
    with pytest.raises(LedgerError, match="no member's address"):
        call("approve", begun.hospital(0), "suspend", "0x" + "12" * 20, *out)
    with pytest.raises(ChainError, match="no chain answers"):
        call("approve", begun.hospital(0), "suspend", address(begun, 1), *out, "--rpc", "http://127.0.0.1:9")
    assert not (tmp_path / "order.json").exists()


def test_a_newcomer_is_voted_in(
    small_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Founding by two; a third comes, waits for their votes, and takes part in the round after."""
    config = small_config.with_changes({"ledger.admission": "vote"})
    run, recorder = RunDirectory(tmp_path / "run"), Recorder()
    with pytest.raises(Enough):
        run_federation(config, run.root, come=2, observer=until("RoundFinalized", 1))

    def look(event: Event) -> None:
        recorder(event)
        until("FederationStarted")(event)

    with pytest.raises(Enough):
        run_federation(config, run.root, observer=look)
    newcomer = address(run, 2)
    waiting = run.signed_requests / f"join-{newcomer}.json"
    (told,) = recorder.of(NotRegistered)
    assert f"{newcomer} joins once more than half of the 2 hospitals approve; 0 do so far" in told.reason
    assert f"Its signed registration is {waiting}" in told.reason
    assert f"fedcxr member approve HOSPITAL join {waiting.name}" in told.reason
    assert told.reason in caplog.text
    votes = [tmp_path / f"{voter}.json" for voter in (0, 1)]
    run.chain_path.rename(tmp_path / "away")  # a vote to join needs no chain
    for voter, vote in enumerate(votes):
        said = call("approve", run.hospital(voter), "join", waiting, "--out", vote).output
        assert f"a vote for {newcomer} as hospital, with " in said
    (tmp_path / "away").rename(run.chain_path)
    assert call("relay", run.root, *votes).output.count("the contract has taken the approval") == 2
    go_on(run)
    assert not waiting.exists()
    with writing_ledger(run) as ledger:
        assert newcomer not in ledger.round(1).participants
        assert newcomer in ledger.round(2).included
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert report.proven


def test_a_registration_that_was_changed_gets_no_vote(begun: RunDirectory, tmp_path: Path) -> None:
    """Whoever votes has checked what the newcomer signed: for how many images, and for this federation."""
    member = Hospital(HospitalDisk(begun.hospital(2))).member
    key, federation = member.identity.envelope_key.public, bytes.fromhex(member.membership.federation)
    good = Registration(federation, member.address, HOSPITAL, 12, key.digest)
    cases = [
        (SignedRequest(replace(good, samples=13), (member.sign(good),), key.data), "but signed by: 0x"),
        (SignedRequest(good, (b"?",), key.data), "not a signature"),
        (SignedRequest(good, (member.sign(good),), b"another"), "another envelope key"),
        (SignedRequest(replace(good, federation=bytes(32)), (b"",), key.data), "another federation"),
        (SignedRequest(Departure(federation, member.address), (b"",)), "a signed departure"),
    ]
    path = tmp_path / "join.json"
    for request, why in cases:
        request.write(path)
        with pytest.raises(FederationError, match=why):
            call("approve", begun.hospital(0), "join", path, "--out", tmp_path / "vote.json")
    assert not (tmp_path / "vote.json").exists()


def test_a_second_rotation_waits_for_the_first(begun: RunDirectory, tmp_path: Path) -> None:
    """The contract would take neither key of an order that begins at keys which it does not know."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    old = address(begun, 0)
    call("rotate", begun.hospital(0), "--out", first)
    rotated = address(begun, 0)
    with pytest.raises(FederationError, match=f"knows this hospital by {old} still"):
        call("rotate", begun.hospital(0), "--out", second)
    assert (address(begun, 0), second.exists()) == (rotated, False)
    call("relay", begun.root, first)
    call("rotate", begun.hospital(0), "--out", second)
    call("relay", begun.root, second)
    with writing_ledger(begun) as ledger:
        assert ledger.members()[ledger.views.seat_of(old)].address == address(begun, 0)


def test_a_rotation_that_was_cut_short_can_be_begun_again(begun: RunDirectory, tmp_path: Path) -> None:
    """Killed before the new keys were in place: the old ones have a second name, and are the present ones."""
    place, old = begun.hospital(0), address(begun, 0)
    shutil.copy(place / "identity.json", place / f"identity.{old}.json")
    assert HospitalDisk(place).former_addresses == []
    call("rotate", place, "--out", tmp_path / "order.json")
    call("relay", begun.root, tmp_path / "order.json")
    go_on(begun)
    with writing_ledger(begun) as ledger:
        assert address(begun, 0) in ledger.round(2).included


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
