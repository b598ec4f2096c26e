"""The index over a real anvil: what it reorganises is read again, and at rest its journal is left alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_party import Party

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.errors import ChainError
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.indexer.events import definitions
from fedcxr.indexer.location import ChainLocation, IndexedLedger, ask
from fedcxr.indexer.members import Members
from fedcxr.indexer.rewards import read_rewards
from fedcxr.indexer.scan import Scan

CHAIN_ID = 1337


def contents(ledger: IndexedLedger) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [tuple(row) for row in ledger.index.select(name)] for name in definitions()}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_an_anvil_reorganised_is_read_again(anvil_binary: Path, tmp_path: Path, depth: int) -> None:
    with closing(AnvilChain(None, chain_id=CHAIN_ID, binary=anvil_binary)) as chain:
        party = Party.found(chain)
        party.whole_round()
        url = chain._anvil.url  # behind our own front, which offers no such thing
        location, said = ChainLocation(party.ledger.address, url=url, index=tmp_path / "index"), []
        before = ask(location, contents)
        head = chain.w3.eth.block_number
        with closing(Endpoint(url)) as node:
            node.ask("anvil_reorg", depth, [])
        after = ask(location, contents, say=said.append)
        assert after == ask(ChainLocation(party.ledger.address, url=url, index=tmp_path / "fresh"), contents)
    assert said == [f"the chain took blocks back; everything after block {head - depth:,} was read again."]
    # Finalizing, closing and submitting were the last three blocks.
    lost = ("RoundFinalized", "RoundClosed", "UpdateAccepted")
    assert all(before[name] for name in lost)
    assert [bool(after[name]) for name in lost] == [n >= depth for n in range(3)]


def test_an_anvils_chain_at_rest_is_read_from_a_copy_of_its_journal(
    anvil_binary: Path, tmp_path: Path
) -> None:
    journal, endpoint = tmp_path / "ledger.journal", tmp_path / "ledger.url"
    with closing(AnvilChain(journal, chain_id=CHAIN_ID, binary=anvil_binary)) as chain:
        party = Party.found(chain)
        party.whole_round()
        live = ask(
            ChainLocation(party.ledger.address, url=chain._anvil.url, index=tmp_path / "live"), contents
        )

    def location(binary: Path) -> ChainLocation:
        return ChainLocation(
            party.ledger.address,
            chain_id=CHAIN_ID,
            file=tmp_path / "ledger.sqlite",
            journal=journal,
            anvil=str(binary),
            endpoint=endpoint,
            index=tmp_path / "index",
        )

    written = journal.read_bytes()
    assert ask(location(anvil_binary), contents) == live

    def credited(ledger: IndexedLedger) -> bool:
        return read_rewards(
            ledger.index, Members.of(ledger.index), ledger.source, party.ledger.address
        ).agrees

    assert ask(location(anvil_binary), credited)
    assert journal.read_bytes() == written
    # What has not moved is answered without an anvil; what has, is not.
    nowhere = tmp_path / "no-anvil"
    assert ask(location(nowhere), lambda ledger: ledger.scan) == Scan()
    journal.touch()
    with pytest.raises(ChainError, match="no such program"):
        ask(location(nowhere), contents)
