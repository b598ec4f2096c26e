"""The index: what it has read is what the chain says, whatever happens to either."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract_party import Party
from long_history import CONTRACT, History, Node, encoded, hospital, serving
from told_run import CHAIN_ID, NASTY, SUCCESSOR, tell, tell_judged, tell_under_one_root

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.errors import ChainError, FederationError, LedgerError
from fedcxr.indexer.chain_rows import HEAD
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.indexer.events import definitions
from fedcxr.indexer.hospital import read_hospital, read_update
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.location import ChainLocation, IndexedLedger, ask
from fedcxr.indexer.members import Members
from fedcxr.indexer.offline import SCHEMA, OfflineChain
from fedcxr.indexer.overview import read_overview
from fedcxr.indexer.rewards import read_rewards
from fedcxr.indexer.rounds import read_rounds
from fedcxr.indexer.scan import Scan
from fedcxr.ledger.contract import FederationLedger


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Party]:
    root = tmp_path_factory.mktemp("told") / "run"
    return root, tell(root)


@pytest.fixture
def location(told: tuple[Path, Party], tmp_path: Path) -> ChainLocation:
    root = shutil.copytree(told[0], tmp_path / "run")
    return files_of(root, told[1])


def files_of(root: Path, party: Party) -> ChainLocation:
    return ChainLocation(
        party.ledger.address,
        chain_id=CHAIN_ID,
        file=root / "ledger.sqlite",
        endpoint=root / "ledger.url",
        index=root / "ledger.index.sqlite",
    )


@pytest.fixture
def node() -> Iterator[Node]:
    with serving(History.of(rounds=5, hospitals=3)) as node:
        yield node


def behind(node: Node, tmp_path: Path) -> ChainLocation:
    return ChainLocation(CONTRACT, url=node.url, index=tmp_path / "index.sqlite")


def contents(ledger: IndexedLedger) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [tuple(row) for row in ledger.index.select(name)] for name in definitions()}


def no_store(root: bytes) -> bytes:
    raise AssertionError("nothing is in a list here")


def test_what_is_read_of_the_file_is_what_the_endpoint_says(location: ChainLocation) -> None:
    assert location.file is not None
    assert location.endpoint is not None
    read = ask(location, contents)
    copy = location.file.with_name("copy.sqlite")
    shutil.copyfile(location.file, copy)
    with closing(EmbeddedChain(copy, chain_id=CHAIN_ID)) as chain, closing(RpcServer(chain)) as front:
        asked = ask(ChainLocation(location.contract, url=front.url, index=copy.with_name("other")), contents)
    assert read == asked
    assert {name: len(rows) for name, rows in read.items() if rows} == {
        "RoleGranted": 7,  # of coordinator and members; again for the new key, and at reinstatement
        "FederationCreated": 1,
        "BoundsFixed": 1,
        "MemberJoined": 4,
        "KeyRotated": 1,
        "MemberSuspended": 1,
        "MemberReinstated": 1,
        "MemberLeft": 1,
        "RoundOpened": 5,
        "UpdateAccepted": 10,
        "UpdateRejected": 1,
        "BaseRefused": 1,
        "RoundClosed": 3,
        "RoundValidated": 3,
        "UpdateExcluded": 1,
        "RoundFinalized": 3,
        "RoundAborted": 1,
        "RewardsSettled": 3,
    }


def test_reading_a_chain_at_rest_leaves_no_trace_of_it(location: ChainLocation) -> None:
    assert location.file is not None
    before = location.file.read_bytes(), location.file.stat().st_mtime_ns
    ask(location, contents)
    ask(
        location,
        lambda ledger: read_rewards(ledger.index, Members.of(ledger.index), ledger.source, location.contract),
    )
    assert (location.file.read_bytes(), location.file.stat().st_mtime_ns) == before
    assert not list(location.file.parent.glob("ledger.sqlite-*"))


def test_a_chain_whose_owner_was_killed_is_read_without_a_trace(
    told: tuple[Path, Party], tmp_path: Path
) -> None:
    whole = files_of(told[0], told[1])
    assert whole.file is not None
    chain = EmbeddedChain(Path(shutil.copyfile(whole.file, tmp_path / "alive.sqlite")), chain_id=CHAIN_ID)
    chain.db[HEAD] = b"half a block's own head"
    for number in range(100):  # more than SQLite's cache: it is in the file, and what it was in the journal
        chain.db[b"half a block, %d" % number] = b"?" * 10**5
    for path in tmp_path.glob("alive.sqlite*"):
        shutil.copyfile(path, tmp_path / path.name.replace("alive", "dead"))
    chain.close()
    dead = tmp_path / "dead.sqlite"
    before = dead.read_bytes()
    assert b"half a block's own head" in before
    killed = ChainLocation(whole.contract, chain_id=CHAIN_ID, file=dead, index=tmp_path / "index")
    assert ask(killed, contents) == ask(
        ChainLocation(whole.contract, chain_id=CHAIN_ID, file=whole.file), contents
    )
    assert dead.read_bytes() == before


def test_a_running_coordinators_chain_is_asked_and_not_opened(location: ChainLocation) -> None:
    assert location.file is not None
    assert location.endpoint is not None
    offline = ask(location, contents)
    with (
        closing(EmbeddedChain(location.file, chain_id=CHAIN_ID)) as chain,
        closing(RpcServer(chain)) as front,
    ):
        location.endpoint.write_text(front.url + "\n")
        assert ask(location, contents) == offline
        kinds = ask(location, lambda ledger: type(ledger.source))
        assert kinds is Endpoint
    assert ask(location, lambda ledger: type(ledger.source)) is OfflineChain  # the URL is stale now


def test_the_second_question_reads_nothing(node: Node, tmp_path: Path) -> None:
    location = behind(node, tmp_path)
    first = ask(location, lambda ledger: ledger.scan)
    assert first.blocks == node.history.head + 1
    node.asked.clear()
    assert ask(location, lambda ledger: ledger.scan) == Scan()
    assert node.asked == {"eth_chainId": 1, "eth_getBlockByNumber": 1}


def test_only_what_is_new_is_read(node: Node, tmp_path: Path) -> None:
    location = behind(node, tmp_path)
    ask(location, contents)
    node.history.add_round(6, 3)
    assert ask(location, lambda ledger: ledger.scan.blocks) == 4
    fresh = ask(ChainLocation(CONTRACT, url=node.url, index=tmp_path / "fresh"), contents)
    assert ask(location, contents) == fresh
    assert [len(fresh[name]) for name in ("RoundFinalized", "UpdateAccepted")] == [6, 18]


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_what_the_chain_took_back_is_forgotten(node: Node, tmp_path: Path, depth: int) -> None:
    location, said = behind(node, tmp_path), []
    ask(location, contents)
    history = node.history
    del history.logs[-depth:]
    kept = history.head
    original = history.hash
    history.hash = lambda number: original(number) if number <= kept else original(-number)  # type: ignore[method-assign]
    history.add(encoded("RoundAborted", round=5, attempt=1, by=hospital(0), reason="another branch"))
    history.add()
    read = ask(location, contents, say=said.append)
    assert said == [f"the chain took blocks back; everything after block {kept:,} was read again."]
    assert read == ask(ChainLocation(CONTRACT, url=node.url, index=tmp_path / "fresh"), contents)
    assert len(read["RoundAborted"]) == 1


def test_a_chain_that_was_cut_short_is_followed_back(node: Node, tmp_path: Path) -> None:
    location = behind(node, tmp_path)
    ask(location, contents)
    del node.history.logs[-4:]  # round 5
    assert ask(
        location, lambda ledger: [r.number for r in read_rounds(ledger.index, Members.of(ledger.index))]
    ) == [
        1,
        2,
        3,
        4,
    ]


def test_another_chain_at_the_same_address_is_read_anew(node: Node, tmp_path: Path) -> None:
    location, said = behind(node, tmp_path), []
    ask(location, contents)
    node.history = History.of(rounds=2, hospitals=4, salt="another")
    node.asked.clear()
    read = ask(location, contents, say=said.append)
    assert said == ["the chain is another one than the index was made of; everything was read again."]
    assert [len(read[name]) for name in ("MemberJoined", "RoundFinalized")] == [4, 2]


def test_an_index_with_a_changed_byte_is_made_again(node: Node, tmp_path: Path) -> None:
    location, said = behind(node, tmp_path), []
    good = ask(location, contents)
    assert location.index is not None
    data = bytearray(location.index.read_bytes())
    where = data.rindex(b"MemberJoined") if b"MemberJoined" in data else len(data) // 2
    for changed in (where, len(data) - 5, 30):
        broken = bytearray(data)
        broken[changed] ^= 1
        location.index.write_bytes(broken)
        assert ask(location, contents, say=said.append) == good
    assert len(said) == 3
    assert all("the index is made again" in sentence for sentence in said)


@pytest.mark.parametrize("data", [b"", b"no database at all" * 100, None])
def test_an_index_that_is_none_is_made_again(node: Node, tmp_path: Path, data: bytes | None) -> None:
    location = behind(node, tmp_path)
    good = ask(location, contents)
    assert location.index is not None
    location.index.write_bytes(location.index.read_bytes()[:5000] if data is None else data)
    assert ask(location, contents) == good


def test_an_index_of_another_version_is_made_again(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, said = behind(node, tmp_path), []
    monkeypatch.setattr("fedcxr.indexer.index_file._FORM", 0)
    good = ask(location, contents)
    monkeypatch.undo()
    assert ask(location, contents, say=said.append) == good
    assert said == [f"{location.index}: it is of another version; the index is made again."]


def test_deleting_the_index_changes_nothing(node: Node, tmp_path: Path) -> None:
    location = behind(node, tmp_path)
    good = ask(location, contents)
    assert location.index is not None
    location.index.unlink()
    assert ask(location, contents) == good


def test_an_index_that_cannot_be_written_there_is_kept_elsewhere(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("")
    location, said = ChainLocation(CONTRACT, url=node.url, index=tmp_path / "file" / "index"), []
    path = ask(location, lambda ledger: ledger.index.path, say=said.append)
    assert path is not None
    assert path.parent == tmp_path / "cache" / "fedcxr" / "ledger"
    assert path.name.startswith(f"1337-{CONTRACT.lower()}-")
    assert "The index is kept elsewhere." in said[0]


def test_two_commands_at_once_leave_one_sound_index(node: Node, tmp_path: Path) -> None:
    """The second finds rows that it has not read itself, and goes on after them."""
    location = behind(node, tmp_path)

    def meanwhile(done: int, total: int) -> None:
        if done == 64 < total:
            ask(location, contents)

    node.history = History.of(rounds=60, hospitals=2)
    read = ask(location, contents, progress=meanwhile)
    assert read == ask(ChainLocation(CONTRACT, url=node.url, index=tmp_path / "fresh"), contents)
    assert ask(location, contents) == read


def test_a_range_that_is_too_much_for_a_node_is_asked_in_parts(node: Node, tmp_path: Path) -> None:
    node.largest = 3
    read = ask(behind(node, tmp_path), contents)
    assert len(read["RoundFinalized"]) == 5


@pytest.mark.parametrize(
    "broken",
    [(500, b"Internal Server Error"), (200, b'{"jsonrpc": "2.0", "id": 1, "resu'), (200, b"[]"), (200, b"")],
)
def test_a_broken_endpoint_is_named(node: Node, tmp_path: Path, broken: tuple[int, bytes]) -> None:
    node.broken = broken
    with pytest.raises(ChainError, match=r"127\.0\.0\.1.*no chain answers there"):
        ask(behind(node, tmp_path), contents)


def test_a_strangers_contract_whose_events_contradict_each_other_is_named(node: Node, tmp_path: Path) -> None:
    node.history.add(encoded("UpdateExcluded", round=5, hospital=hospital(9), reason="who?"))
    with pytest.raises(LedgerError, match="its events contradict each other"):
        ask(behind(node, tmp_path), lambda ledger: read_rounds(ledger.index, Members.of(ledger.index)))


def test_an_event_of_ours_that_is_encoded_otherwise_is_named(node: Node, tmp_path: Path) -> None:
    topics, data = encoded("RoundAborted", round=5, attempt=1, by=hospital(0), reason="short")
    node.history.add((topics, data[:-40]))
    with pytest.raises(ChainError, match=f"block {node.history.head}, log 0: not a RoundAborted"):
        ask(behind(node, tmp_path), contents)


def test_logs_that_were_not_asked_for_are_refused(node: Node, tmp_path: Path) -> None:
    answer = node.answer

    def more(method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_getLogs":
            params[0]["fromBlock"] = "0x0"
        return answer(method, params)

    location = behind(node, tmp_path)
    ask(location, contents)
    node.history.add_round(6, 3)
    node.answer = more  # type: ignore[method-assign]
    with pytest.raises(ChainError, match="what is no log"):
        ask(location, contents)


def test_a_nodes_words_do_not_command_the_terminal(node: Node) -> None:
    refusal = {"error": {"code": -32000, "message": "\x1b[2Jcleared" + "!" * 1000}}
    node.answer = lambda method, params: refusal  # type: ignore[method-assign]
    with closing(Endpoint(node.url)) as endpoint, pytest.raises(ChainError, match="cleared") as raised:
        endpoint.head()
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


def test_an_endpoint_that_recovers_within_three_tries_is_waited_for(node: Node, tmp_path: Path) -> None:
    endpoint = Endpoint(node.url)
    node.broken = (503, b"busy")
    asked = []

    def recover(seconds: float) -> None:
        asked.append(seconds)
        node.broken = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedcxr.indexer.endpoint.time.sleep", recover)
        assert endpoint.chain_id() == 1337
    assert asked == [0.2]
    endpoint.close()


def test_messages_do_not_repeat_the_secrets_of_an_url() -> None:
    with pytest.raises(ChainError) as raised:
        Endpoint("http://user:hunter2@127.0.0.1:9/key-s3cret?token=s3cret", tries=1).head()
    assert "s3cret" not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_address_without_a_contract_is_named(node: Node, tmp_path: Path, location: ChainLocation) -> None:
    nobody = "0x" + "ab" * 20
    with pytest.raises(LedgerError, match=f"no contract at {nobody} on chain 1337"):
        ask(ChainLocation(nobody, url=node.url, index=tmp_path / "index"), contents)
    with pytest.raises(LedgerError, match=f"no federation's contract at {nobody}, in "):
        ask(ChainLocation(nobody, chain_id=CHAIN_ID, file=location.file, index=tmp_path / "other"), contents)
    with pytest.raises(LedgerError, match="'0xabc' is no address"):
        ChainLocation("0xabc")


def test_a_chain_with_another_id_is_refused(node: Node, tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="chain 1337, where 1 is expected"):
        ask(ChainLocation(CONTRACT, url=node.url, chain_id=1, index=tmp_path / "index"), contents)


def test_a_chain_that_was_begun_anew_is_refused(node: Node, tmp_path: Path, location: ChainLocation) -> None:
    """Its id is the same, and its first block another."""
    first = node.history.hash(0).hex()
    assert ask(replace(behind(node, tmp_path), genesis="0x" + first), lambda ledger: ledger.scan.blocks) > 0
    with pytest.raises(ChainError, match="begun anew"):
        ask(replace(behind(node, tmp_path), genesis="ab" * 32), contents)
    with pytest.raises(ChainError, match="begun anew"):
        ask(replace(location, genesis="ab" * 32), contents)


def test_a_file_that_is_no_chain_is_named(tmp_path: Path) -> None:
    location = ChainLocation(CONTRACT, chain_id=1, file=tmp_path / "ledger.sqlite", index=tmp_path / "index")
    assert location.file is not None
    with pytest.raises(ChainError, match=r"ledger\.sqlite: no chain here"):
        ask(location, contents)
    location.file.write_bytes(b"no database" * 1000)
    with pytest.raises(ChainError, match=r"ledger\.sqlite: not a chain"):
        ask(location, contents)
    location.file.unlink()
    with closing(sqlite3.connect(location.file)) as other:
        other.execute("CREATE TABLE chain (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
    with pytest.raises(ChainError, match=r"ledger\.sqlite: it has no table of a chain"):
        ask(location, contents)
    location.file.unlink()
    with closing(sqlite3.connect(location.file)) as other:
        other.execute(SCHEMA)
    with pytest.raises(ChainError, match=r"ledger\.sqlite: the chain's rows are damaged"):
        ask(location, contents)


def test_rounds_are_those_that_the_contract_tells(told: tuple[Path, Party], location: ChainLocation) -> None:
    records = ask(location, lambda ledger: read_rounds(ledger.index, Members.of(ledger.index)))
    assert [(r.number, r.attempt, r.phase) for r in records] == [
        (1, 1, "finalized"),
        (2, 1, "finalized"),
        (3, 1, "aborted"),
        (3, 2, "finalized"),
        (4, 1, "open"),
    ]
    assert [sorted(r.accepted) for r in records] == [[0, 1, 2], [0, 2], [0], [0, 1, 2], [1]]
    assert records[1].included == {0}
    assert records[1].excluded == {2: NASTY}
    assert [r.reason for r in records[1].rejections] == [
        {"error": "TooManySamples", "arguments": {"registered": 50, "given": 2**64 - 1}}
    ]
    assert (records[2].aborted_by, records[2].abort_reason) == (told[1].coordinator.address, NASTY)
    assert location.file is not None
    copy = Path(shutil.copyfile(location.file, location.file.with_name("copy.sqlite")))
    with closing(EmbeddedChain(copy, chain_id=CHAIN_ID)) as chain:
        ledger = FederationLedger.attach(chain.w3, location.contract)
        for record in (records[0], records[1], records[3], records[4]):
            view = ledger.round(record.number)
            assert (view.status, view.attempt, view.base) == (record.phase, record.attempt, record.base)
            assert view.deadline == record.deadline
            assert {view.seats[a]: w for a, w in view.weights.items()} == record.weights
            assert {view.seats[a] for a in view.accepted} == record.accepted
            assert view.model_digest == (record.model_digest or bytes(32))


def test_a_seat_keeps_its_history_over_its_keys(told: tuple[Path, Party], location: ChainLocation) -> None:
    members = ask(location, lambda ledger: Members.of(ledger.index))
    second = members.find(SUCCESSOR.address, {})
    assert [change.what for change in second.changes] == ["joined", "rotated"]
    assert members.find(second.accounts[0][:10], {}) is second
    assert members.find("north", {second.accounts[0]: "north"}) is second
    assert [member.standing for member in members] == ["active", "active", "active", "left"]
    assert [change.what for change in members.seats[2].changes] == ["joined", "suspended", "reinstated"]
    with pytest.raises(LedgerError, match="'south' is no member's address or name; members: 0x"):
        members.find("south", {})


def test_a_hospitals_part_in_every_attempt(told: tuple[Path, Party], location: ChainLocation) -> None:
    def parts(seat: int) -> list[tuple[int, int, str, int | None]]:
        def question(ledger: IndexedLedger) -> list[tuple[int, int, str, int | None]]:
            members = Members.of(ledger.index)
            found = read_hospital(ledger.index, members, members.seats[seat])
            return [(part.round, part.attempt, part.state, part.credits) for part in found]

        return ask(location, question)

    assert [(r, a, state) for r, a, state, _ in parts(0)] == [
        (1, 1, "included"),
        (2, 1, "included"),
        (3, 1, "given up"),
        (3, 2, "included"),
        (4, 1, "waiting"),
    ]
    assert [state for _, _, state, _ in parts(1)] == [
        "included",
        "rejected",
        "no update",
        "included",
        "accepted",
    ]
    assert [state for _, _, state, _ in parts(2)] == [
        "included",
        "excluded",
        "no update",
        "included",
        "waiting",
    ]
    assert {state for _, _, state, _ in parts(3)} == {"not asked"}
    given = [sum(part[-1] or 0 for part in parts(seat)) for seat in range(4)]
    rewards = ask(
        location,
        lambda l: read_rewards(l.index, Members.of(l.index), l.source, location.contract),  # noqa: E741
    )
    assert given == [rewards.contract[seat] for seat in range(4)]
    assert rewards.exact
    assert rewards.agrees
    assert rewards.total == 3000


def test_an_update_has_everything_that_was_signed(told: tuple[Path, Party], location: ChainLocation) -> None:
    from contract_party import FEDERATION

    from fedcxr.ledger.signing import Domain, Submission, recover

    def question(ledger: IndexedLedger) -> Any:
        members = Members.of(ledger.index)
        return read_update(ledger.index, members, members.seats[0], 3, no_store)

    given_up, good = ask(location, question)
    assert (given_up.part.state, good.part.state) == ("given up", "included")
    fields = ("federation", "round", "attempt", "hospital", "base", "root", "samples", "size", "metrics")
    signed = Submission(**{name: getattr(good, name) for name in fields})
    assert signed.federation == FEDERATION
    assert recover(signed, good.signature, Domain(CHAIN_ID, location.contract)) == good.hospital


def test_a_committees_verdicts_are_told(tmp_path: Path) -> None:
    party = tell_judged(tmp_path / "run")
    location = files_of(tmp_path / "run", party)

    def question(ledger: IndexedLedger) -> Any:
        members = Members.of(ledger.index)
        records = read_rounds(ledger.index, members)
        parts = [read_hospital(ledger.index, members, member)[0] for member in members]
        update = read_update(ledger.index, members, members.seats[1], 1, no_store)[0]
        return records, parts, update, read_overview(ledger.index)

    records, parts, update, overview = ask(location, question)
    assert len(records[0].committee) == 4
    assert (records[0].accepted, records[0].counted, records[0].included) == ({0, 1, 2}, {0, 1}, {0, 1})
    assert [part.state for part in parts] == ["included", "included", "not counted", "not asked"]
    assert [part.score for part in parts] == [50, 25, -30, None]
    assert [(part.approvals, part.rejected_by) for part in parts[:3]] == [(3, 0), (3, 0), (0, 3)]
    assert {a.validator for a in update.attestations} == set(party.addresses) - {update.hospital} | {
        party.outsider.address
    }
    assert overview.founding["committeeSize"] == 4
    assert overview.totals.attested == 9


def test_a_list_that_is_not_under_the_contracts_root_is_refused(tmp_path: Path) -> None:
    """A store may hold other bytes under a name; and whoever relays may list what was never signed so."""
    party = tell_under_one_root(tmp_path / "run")
    location = files_of(tmp_path / "run", party)
    good = b"".join(
        path.read_bytes()
        for path in (tmp_path / "run" / "blobs").glob("*/*")
        if b'"root"' in path.read_bytes()
    )

    def sizes(data: bytes) -> list[int]:
        def question(ledger: IndexedLedger) -> list[int]:
            members = Members.of(ledger.index)
            return [
                u.size for u in read_update(ledger.index, members, members.seats[0], 1, lambda root: data)
            ]

        return ask(location, question)

    assert sizes(good) == [1000]
    with pytest.raises(LedgerError, match="is not the one under the contract's root"):
        sizes(good.replace(b'"size":1000', b'"size":1001'))
    with pytest.raises(LedgerError, match="holds strangers"):
        sizes(good.replace(party.addresses[1].encode(), party.coordinator.address.encode()))
    with pytest.raises(FederationError, match="not a list of submissions"):
        sizes(b"{}}")


def test_the_overview_says_where_the_federation_stands(
    told: tuple[Path, Party], location: ChainLocation
) -> None:
    overview = ask(location, lambda ledger: read_overview(ledger.index))
    assert overview.coordinator == told[1].coordinator.address
    assert overview.latest is not None
    assert (overview.latest.number, overview.latest.phase) == (4, "open")
    totals = overview.totals
    assert (totals.finalized, totals.aborted, totals.accepted, totals.rejected) == (3, 1, 10, 1)
    assert (totals.excluded, totals.base_refused, totals.credits, totals.disputes) == (1, 1, 3000, 0)


def test_an_index_in_memory_needs_no_file() -> None:
    with closing(IndexFile(None)) as index:
        assert index.scanned is None
        assert index.court is None
