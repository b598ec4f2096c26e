"""A chain of others takes back its last block, as honest ones do: no hospital stops, or stops another.

An adversary who can have one block taken back would otherwise end a federation: each hospital would refuse
the chain until somebody removed what it remembers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from founded import Founded, found

from clients.chain_head import settled_head
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.lookout import Lookout
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.config import Config
from fedcxr.errors import ChainError, RewrittenChainError
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.ledger.statements import heads_from_bytes
from fedcxr.messages import UpdateReply
from server.heads import HeadExchange

DEEP = 6
OTHER = "0x" + "f" * 40  # gets what the coordinator hands on


@pytest.fixture
def chain(small_config: Config, anvil_binary: Path) -> AnvilChain:
    return AnvilChain(None, chain_id=small_config.ledger.chain_id, binary=anvil_binary)


@pytest.fixture
def founded(small_config: Config, tmp_path: Path, chain: AnvilChain) -> Iterator[Founded]:
    """A federation on a chain of others, whose configuration waits for no further block."""
    config = small_config.with_changes({"ledger.backend": "rpc", "ledger.url": chain._anvil.url})
    assert config.ledger.finality == 0
    with found(config, tmp_path / "founded", chain) as federation:
        yield federation


def asked(chain: AnvilChain, method: str, *params: Any) -> None:
    with closing(Endpoint(chain._anvil.url)) as node:  # behind our own front, which offers no such thing
        node.ask(method, *params)


def participant(founded: Founded, place: Path) -> Hospital:
    shutil.copytree(founded.run.hospital(0), place / "participant")
    return Hospital(HospitalDisk(place / "participant"))


def test_hospitals_go_on_where_a_chain_takes_its_last_block_back(
    founded: Founded, tmp_path: Path, chain: AnvilChain
) -> None:
    hospital = participant(founded, tmp_path)
    asked(chain, "anvil_mine", 1)  # so that what is taken back has nothing of the round
    assert isinstance(hospital.train(founded.train), UpdateReply)
    theirs = Lookout.of(hospital.member).head
    before = chain.w3.eth.get_block("latest")["hash"]
    asked(chain, "anvil_reorg", 1, [])
    assert chain.w3.eth.get_block("latest")["hash"] != before
    assert isinstance(hospital.train(replace(founded.train, heads=theirs)), UpdateReply)
    other = Lookout.of(Hospital(HospitalDisk(founded.run.hospital(1))).member)
    assert other.look("another one", heads=theirs) == []


def test_a_chain_that_takes_back_more_is_refused_all_the_same(
    founded: Founded, tmp_path: Path, chain: AnvilChain
) -> None:
    hospital = participant(founded, tmp_path)
    asked(chain, "anvil_mine", DEEP)
    assert isinstance(hospital.train(founded.train), UpdateReply)
    asked(chain, "anvil_reorg", DEEP, [])
    with pytest.raises(RewrittenChainError, match="this hospital has seen block"):
        hospital.train(founded.train)


def test_the_coordinator_hands_on_no_head_that_its_chain_has_taken_back(
    founded: Founded, tmp_path: Path, chain: AnvilChain
) -> None:
    hospital = participant(founded, tmp_path)
    asked(chain, "anvil_mine", DEEP)
    reply = hospital.train(founded.train)
    assert isinstance(reply, UpdateReply)
    federation, domain = founded.register.federation, founded.ledger.domain
    heads = HeadExchange(tmp_path / "heads.json", founded.ledger, federation)
    heads.receive(reply.hospital, reply.head)
    (signed,) = heads_from_bytes(heads.handed_on([OTHER])[OTHER], federation, domain)
    assert signed.message.hospital == reply.hospital
    heads.keep()
    asked(chain, "anvil_reorg", DEEP, [])
    assert heads.handed_on([OTHER]) == {OTHER: b""}
    assert HeadExchange(tmp_path / "heads.json", founded.ledger, federation).handed_on([OTHER]) == {
        OTHER: b""
    }
    heads.keep()
    assert heads_from_bytes((tmp_path / "heads.json").read_bytes(), federation, domain) == [signed]


def test_no_head_is_signed_that_the_endpoint_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.chain_head._PATIENCE", 0.0)
    ledger: Any = SimpleNamespace(head=lambda: (9, b"\1" * 32), block_hash=lambda number: None)
    assert settled_head(ledger, 0) == (9, b"\1" * 32)
    with pytest.raises(ChainError, match="has no block 6"):
        settled_head(ledger, 3)
