"""The coordinator rewrites its embedded chain, or shows two hospitals two: heads that they saw convict it.

The same transactions on a chain that was begun anew leave the same contract at the same address, with the
same members and rounds, and the audit of that run alone is clean. Its blocks have other hashes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from federation import run_federation
from founded import Founded, found
from lying_proxy import LyingProxy
from planted import Show

from clients.chain_head import shown_hashes
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.lookout import Lookout
from fedcxr import files
from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.history import heads_not_in
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.errors import FederationError, RewrittenChainError
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.ledger.statements import (
    Contradiction,
    Head,
    SignedHead,
    heads_from_bytes,
    heads_to_bytes,
)
from fedcxr.messages import UpdateReply
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import LedgerFacts, RunDirectory
from server.coordinator import Coordinator

STRANGER = b"\x11" * 32


@pytest.fixture
def founded(small_config: Config, tmp_path: Path) -> Iterator[Founded]:
    """A federation of this test's own."""
    with found(small_config, tmp_path / "founded") as federation:
        yield federation


def audited(run: RunDirectory, *journals: Path) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key], journals=journals)


class Clock:
    """The clock of whoever waits for a block; it counts what was waited, in seconds."""

    def __init__(self) -> None:
        self.waited = 0.0

    def monotonic(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("clients.chain_head.time", clock)
    return clock


def journals_of(run: RunDirectory) -> list[Path]:
    return sorted(run.hospitals.glob("*/0x*/journal.jsonl"))


def lines_of(journal: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def begin_anew(old: Path, new: Path, chain_id: int) -> str:
    """Put the transactions of a chain on one that is begun anew; its genesis."""
    time.sleep(1.1)  # the first block has its time in it
    copy = Path(shutil.copyfile(old, new.with_suffix(".copy")))
    with (
        closing(EmbeddedChain(copy, chain_id=chain_id)) as before,
        closing(EmbeddedChain(new, chain_id=chain_id)) as after,
    ):
        blocks: Any = before.provider.ethereum_tester
        for number in range(1, before.w3.eth.block_number + 1):
            for transaction in blocks.backend.chain.get_canonical_block_by_number(number).transactions:
                after.w3.eth.send_raw_transaction(transaction.encode())
        assert after.w3.eth.block_number == before.w3.eth.block_number
        return after.w3.genesis()


def rewrite(run: RunDirectory, *, heads: bool = False) -> None:
    """What a coordinator can do to its own run, whether it forgets the heads that it was given or not."""
    new = run.root / "new.sqlite"
    genesis = begin_anew(run.chain_path, new, run.read_facts().chain_id)
    new.replace(run.chain_path)
    new.with_suffix(".copy").unlink()
    facts = json.loads((run.root / "ledger.json").read_text())
    (run.root / "ledger.json").write_text(json.dumps({**facts, "genesis": genesis}))
    if not heads:
        run.heads_path.unlink()


@contextmanager
def second_chain(founded: Founded, place: Path) -> Iterator[str]:
    """The URL of a chain with the same contract and the same open round, and other blocks."""
    chain_id = founded.config.ledger.chain_id
    begin_anew(founded.run.chain_path, place / "second.sqlite", chain_id)
    with (
        closing(EmbeddedChain(place / "second.sqlite", chain_id=chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        yield server.url


def participant(founded: Founded, place: Path, *, ledger: str = "", forgets: bool = False) -> Hospital:
    """Hospital 0, which takes part in the round, on a copy of its disk."""
    shutil.copytree(founded.run.hospital(0), place / "participant")
    disk = HospitalDisk(place / "participant")
    if ledger:
        settings = disk.settings.model_copy(update={"ledger": ledger})
        (disk.root / "hospital.toml").write_text(settings.to_toml())
    if forgets:
        next(disk.root.glob("0x*/watched.json")).unlink()
    return Hospital(HospitalDisk(disk.root))


def journal_at(hospital: Hospital) -> Path:
    return next(hospital.disk.root.glob("0x*/journal.jsonl"))


def heads_of(founded: Founded, index: int) -> bytes:
    """What a hospital hands on, that was shown the first chain."""
    hospital = Hospital(HospitalDisk(founded.run.hospital(index)))
    return Lookout.of(hospital.member).head


def signed_head(key: bytes | Path, facts: LedgerFacts, block: int, digest: bytes) -> SignedHead:
    account = Account.from_key(key) if isinstance(key, bytes) else Identity.load(key).account
    message = Head(bytes.fromhex(facts.federation), account.address, block, digest)
    return Signed(message, sign(account, message, Domain(facts.chain_id, facts.contract)))


def test_a_chain_that_is_rewritten_between_two_rounds_trains_nobody(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, honest = tmp_path / "run", Coordinator._run_round

    def first_only(self: Coordinator, number: int, *rest: Any) -> Any:
        if number > 1:
            raise FederationError("gone")
        return honest(self, number, *rest)

    with monkeypatch.context() as patch, pytest.raises(FederationError, match="gone"):
        patch.setattr(Coordinator, "_run_round", first_only)
        run_federation(small_config, out)
    run = RunDirectory.open(out)
    rewrite(run)
    assert audited(run).clean, "the chain alone shows nothing"
    trained = [len(lines_of(journal, "submission")) for journal in journals_of(run)]
    with pytest.raises(FederationError, match="no hospital could be registered"):
        run_federation(small_config, out)
    assert [len(lines_of(journal, "submission")) for journal in journals_of(run)] == trained
    for journal in journals_of(run):
        (said,) = lines_of(journal, "contradiction")
        last = lines_of(journal, "head")[-1]
        assert (said["witness"], said["block"], said["seen"]) == (
            last["hospital"],
            last["block"],
            last["block_hash"],
        )
    assert "RewrittenChainError" in (run.hospital(0) / "hospital.log").read_text()


def test_a_chain_that_is_rewritten_after_the_run_is_found_by_the_first_journal(
    small_config: Config, tmp_path: Path, show: Show
) -> None:
    run = run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    assert audited(run, *journals_of(run)).proven
    rewrite(run)
    assert audited(run).proven, "the chain alone shows nothing"
    for journal in journals_of(run):
        (finding,) = audited(run, journal).findings
        assert finding.hospital == journal.parent.name
        assert finding.expected.startswith("a chain with block ")
    assert show("audit", run.root, "--journal", journals_of(run)[0]).code == 90


def test_the_heads_that_the_run_has_kept_find_it_without_a_journal(
    small_config: Config, tmp_path: Path
) -> None:
    run = run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    kept = json.loads(run.heads_path.read_bytes())
    assert [head["hospital"] for head in kept] == sorted(
        (j.parent.name for j in journals_of(run)), key=str.lower
    )
    rewrite(run, heads=True)
    report = audited(run)
    assert sorted(finding.hospital for finding in report.findings) == sorted(h["hospital"] for h in kept)
    assert {finding.where for finding in report.findings} == {"heads.json"}


def test_a_hospital_that_is_shown_another_chain_refuses_its_own_round(
    founded: Founded, tmp_path: Path
) -> None:
    with second_chain(founded, tmp_path) as url:
        hospital = participant(founded, tmp_path, ledger=url)
        with pytest.raises(RewrittenChainError, match="this hospital has seen block"):
            hospital.train(founded.train)
    assert lines_of(journal_at(hospital), "submission") == []
    assert len(lines_of(journal_at(hospital), "contradiction")) == 1


def test_two_hospitals_that_are_shown_two_chains_find_it_by_one_anothers_heads(
    founded: Founded, tmp_path: Path
) -> None:
    other = heads_of(founded, 1)
    assert participant(founded, tmp_path / "same").train(replace(founded.train, heads=other))
    with second_chain(founded, tmp_path) as url:
        hospital = participant(founded, tmp_path, ledger=url, forgets=True)
        with pytest.raises(RewrittenChainError, match=r"0x\w+ has seen block"):
            hospital.train(replace(founded.train, heads=other))
    journal = journal_at(hospital)
    assert lines_of(journal, "submission") == []
    (said,) = lines_of(journal, "contradiction")
    (theirs,) = heads_from_bytes(other, founded.register.federation, founded.ledger.domain)
    assert said["witness"] == theirs.message.hospital
    assert theirs.signature.hex() in journal.read_text(), "the other one's own word is kept beside it"


def test_heads_that_contradict_the_chain_do_not_make_a_journal_longer_and_longer(
    founded: Founded, tmp_path: Path
) -> None:
    """A coordinator that has one hospital on its side could have any number of them signed."""
    place, facts = founded.run.hospital(1) / "identity.json", founded.run.read_facts()
    hospital = participant(founded, tmp_path)
    for _ in range(2):
        for block in range(1, 9):
            head = signed_head(place, facts, block, b"\1" * 32)
            with pytest.raises(RewrittenChainError, match=r"0x\w+ has seen block"):
                hospital.train(replace(founded.train, heads=heads_to_bytes([head])))
    said = lines_of(journal_at(hospital), "contradiction")
    assert [line["block"] for line in said] == [1, 2, 3, 4]
    witness = Identity.load(place).account.address
    assert len([h for h in lines_of(journal_at(hospital), "head") if h["hospital"] == witness]) == 4
    other = signed_head(hospital.disk.root / "identity.json", facts, 1, b"\1" * 32)
    with pytest.raises(RewrittenChainError):
        hospital.train(replace(founded.train, heads=heads_to_bytes([other])))
    assert len(lines_of(journal_at(hospital), "contradiction")) == 5, (
        "another hospital's word counts by itself"
    )


def test_a_hospital_signs_one_head_of_a_block_whatever_it_is_asked(founded: Founded, tmp_path: Path) -> None:
    hospital = participant(founded, tmp_path)
    journal = journal_at(hospital)
    before = len(lines_of(journal, "head"))
    for number in (70, 71, 70, 71):
        with pytest.raises(FederationError):
            hospital.train(replace(founded.train, round=number))
    assert len(lines_of(journal, "head")) <= before + 1


def test_a_chain_that_ends_before_what_another_one_saw_is_another_chain(
    founded: Founded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.chain_head._PATIENCE", 0.6)
    place = founded.run.hospital(1) / "identity.json"
    head = signed_head(place, founded.run.read_facts(), 10_000, b"\1" * 32)
    hospital = participant(founded, tmp_path)
    with pytest.raises(RewrittenChainError, match="there is no block 10000"):
        hospital.train(replace(founded.train, heads=heads_to_bytes([head])))


def test_two_chains_whose_coordinator_hands_nothing_on_are_found_by_the_journals(
    founded: Founded, tmp_path: Path
) -> None:
    with second_chain(founded, tmp_path) as url:
        hospital = participant(founded, tmp_path, ledger=url, forgets=True)
        assert isinstance(hospital.train(founded.train), UpdateReply), "it has nothing to hold against it"
    journal = journal_at(hospital)
    copy = RunDirectory(Path(shutil.copytree(founded.run.root, tmp_path / "copy")))
    (finding,) = [f for f in audited(copy, journal).findings if "a chain with block" in f.expected]
    assert finding.hospital == journal.parent.name


def test_a_strangers_head_stops_nobody(founded: Founded, tmp_path: Path) -> None:
    head = signed_head(STRANGER, founded.run.read_facts(), 1, b"\1" * 32)
    hospital = participant(founded, tmp_path)
    assert isinstance(hospital.train(replace(founded.train, heads=heads_to_bytes([head]))), UpdateReply)
    assert lines_of(journal_at(hospital), "contradiction") == []


def test_heads_of_strangers_keep_no_hospital_waiting(founded: Founded, tmp_path: Path, clock: Clock) -> None:
    """Anybody signs as many heads as a message holds, of blocks that no chain has."""
    facts = founded.run.read_facts()
    heads = [signed_head(bytes([9, n] * 16), facts, 10_000 + n, b"\1" * 32) for n in range(60)]
    hospital = participant(founded, tmp_path)
    Lookout.of(hospital.member).look("a round", heads=heads_to_bytes(heads))
    assert clock.waited == 0
    assert lines_of(journal_at(hospital), "contradiction") == []


def test_all_heads_of_members_together_are_waited_for_as_long_as_one(
    founded: Founded, tmp_path: Path, clock: Clock
) -> None:
    """The coordinator has hospitals on its side, and keys of them that are no member's any more."""
    facts, waits = founded.run.read_facts(), [0.0]
    place = founded.run.hospital(1) / "identity.json"
    for count in (1, 12):
        heads = [signed_head(place, facts, 10_000 + n, b"\1" * 32) for n in range(count)]
        hospital = participant(founded, tmp_path / str(count))
        with pytest.raises(RewrittenChainError, match=f"there is no block {9_999 + count}"):
            Lookout.of(hospital.member).look("a round", heads=heads_to_bytes(heads))
        waits.append(clock.waited)
    assert waits == [0, 10, 20]
    assert set(shown_hashes(founded.ledger.views, range(10_000, 10_020)).values()) == {None}
    assert clock.waited == 30


@pytest.mark.parametrize(
    "heads",
    [b"{", b"{}", b"[1]", b"[" * 5000, b"[" + b"{}," * 300 + b"{}]", b'[{"hospital": "0x"}]', b"\xff"],
)
def test_what_is_handed_on_and_no_list_of_heads_is_refused(
    founded: Founded, tmp_path: Path, heads: bytes
) -> None:
    hospital = participant(founded, tmp_path)
    with pytest.raises(FederationError):
        hospital.train(replace(founded.train, heads=heads))


def test_a_head_that_its_hospital_did_not_sign_is_refused(founded: Founded, tmp_path: Path) -> None:
    honest = heads_of(founded, 1)
    tree = json.loads(honest)
    tree[0]["block"] += 1
    hospital = participant(founded, tmp_path)
    with pytest.raises(FederationError, match="but signed by"):
        hospital.train(replace(founded.train, heads=json.dumps(tree).encode()))


def test_a_hospital_that_lies_about_its_head_stops_no_other(small_config: Config, tmp_path: Path) -> None:
    out, liars = tmp_path / "run", list[str]()

    def lie(name: str, reply: UpdateReply) -> UpdateReply:
        del name
        if not liars:
            liars.append(reply.hospital)
        if reply.hospital not in liars:
            return reply
        run = RunDirectory(out)
        (key,) = (p.parent / "identity.json" for p in run.hospitals.glob(f"*/{liars[0]}"))
        return replace(reply, head=heads_to_bytes([signed_head(key, run.read_facts(), 3, b"\1" * 32)]))

    run = run_federation(small_config, out, tamper=lie)
    report = audited(run, *journals_of(run))
    assert report.proven, [str(finding) for finding in report.findings]
    kept = {head["hospital"]: head["block_hash"] for head in json.loads(run.heads_path.read_bytes())}
    assert kept[liars[0]] != (b"\1" * 32).hex(), "the one that it signed before stands"


@pytest.mark.parametrize("data", [b"[", b"[]x", b"x" * 300_000], ids=["json", "more", "long"])
def test_kept_heads_that_are_none_are_a_finding(small_config: Config, tmp_path: Path, data: bytes) -> None:
    run = run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    files.write(run.heads_path, data)
    assert [finding.where for finding in audited(run).findings] == ["heads.json"]


def test_a_contradiction_of_blocks_that_the_chain_has_is_a_note(small_config: Config, tmp_path: Path) -> None:
    run = run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    journal, facts = journals_of(run)[0], run.read_facts()
    account = Identity.load(run.hospital(0) / "identity.json").account
    head = lines_of(journal, "head")[-1]
    there = bytes.fromhex(head["block_hash"])
    message = Contradiction(
        bytes.fromhex(facts.federation),
        account.address,
        account.address,
        head["block"],
        there,
        bytes(32),
        head["block"],
        there,
    )
    signed = Signed(message, sign(account, message, Domain(facts.chain_id, facts.contract)))
    with journal.open("a") as file:
        file.write(json.dumps({"kind": "contradiction", **signed_to_tree(signed)}) + "\n")
    report = audited(run, journal)
    assert report.proven, [str(finding) for finding in report.findings]
    assert any(note.endswith("it has that block") for note in report.notes)


def test_a_chain_is_asked_once_for_each_block_and_says_what_it_has_in_its_place() -> None:
    asked = []

    def chain(number: int) -> bytes | None:
        asked.append(number)
        return {1: b"a", 2: b"b"}.get(number)

    heads = [(1, b"a"), (1, b"a"), (2, b"x"), (2, b"b"), (3, b"c")]
    assert heads_not_in(chain, heads) == {(2, b"x"): b"b", (3, b"c"): None}
    assert asked == [1, 2, 3]


def test_an_endpoint_that_is_a_moment_behind_itself_accuses_nobody(founded: Founded, tmp_path: Path) -> None:
    """Behind one URL there may be many nodes, and the next one not have the last one's block yet."""
    own = json.loads(heads_of(founded, 0))[0]["block"]
    behind = 2

    def lag(method: str, params: list[Any], result: Any) -> Any:
        nonlocal behind
        if method == "eth_getBlockByNumber" and params[0] == hex(own) and behind:
            behind -= 1
            return None
        return result

    with closing(LyingProxy(founded.run.endpoint_path.read_text().strip(), lag)) as proxy:
        hospital = participant(founded, tmp_path, ledger=proxy.url)
        assert isinstance(hospital.train(founded.train), UpdateReply)
    assert not behind
    assert lines_of(journal_at(hospital), "contradiction") == []
