"""What was read of the contract's events is not read again, and is what a reader sees who begins anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_party import LocalChain, Party, account

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.errors import ChainError, LedgerError
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.contract_events import ContractEvents
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.signing import HOSPITAL
from fedcxr.ledger.views import FederationViews


class Asked(ContractConnection):
    """A connection that notes which blocks were searched."""

    def __init__(self, ledger: FederationViews) -> None:
        super().__init__(ledger.w3, ledger.address)
        self.searched: list[tuple[int, int]] = []

    def logs(self, first: int, last: int, topics: Sequence[str | None] = ()) -> Sequence[Any]:
        self.searched.append((first, last))
        return super().logs(first, last, topics)


def fresh(party: Party) -> FederationViews:
    return FederationViews.attach(party.chain.w3, party.ledger.address)


def history(party: Party) -> Iterator[str]:
    """A federation's steps, each done when its name is given."""
    first, second, third = party.hospitals
    party.open()
    yield "opened"
    party.ledger.submit([party.signed(first), party.signed(second, samples=0)])
    yield "one accepted, one rejected"
    party.ledger.abort(1, "for a trial")
    yield "aborted"
    party.open()
    yield "opened again"
    party.rotate(third, account(701))
    party.hospitals[2] = account(701)
    yield "a key rotated"
    party.ledger.submit([party.signed(hospital) for hospital in party.hospitals])
    yield "all accepted"
    party.close()
    yield "closed"
    party.finalize({first.address: "not to be read"})
    yield "finalized"
    party.whole_round()
    yield "another round"


def test_what_is_followed_is_what_a_fresh_reader_reads(party: Party) -> None:
    followed = fresh(party)
    for step in history(party):
        for number in range(1, party.ledger.views.last_finalized + 2):
            now = fresh(party)
            assert followed.round_events(number).events == now.round_events(number).events, step
            if now.round_events(number).opened:
                assert followed.round(number) == now.round(number), step
        assert list(map(str, followed.rejections(1))) == list(map(str, now.rejections(1))), step
        assert list(followed.rotations()) == now.events("KeyRotated"), step
        assert followed.registered_samples() == {m.seat: m.samples for m in now.members()}, step


def test_a_look_searches_what_has_come_and_a_few_blocks_before_it(party: Party) -> None:
    connection = Asked(party.ledger.views)
    followed = ContractEvents(connection)
    for _ in range(4):
        party.whole_round()
    followed.of_round(4)
    searched = len(connection.searched)
    followed.of_round(4)
    assert len(connection.searched) == searched
    party.open()
    head, _ = followed.head()
    assert connection.searched[searched:] == [(head - 8, head)]
    assert followed.of_round(4) is followed.of_round(4)


def test_only_the_last_rounds_are_kept(party: Party) -> None:
    for _ in range(5):
        party.whole_round()
    followed = ContractEvents(ContractConnection(party.chain.w3, party.ledger.address))
    for number in range(1, 6):
        followed.of_round(number)
    assert list(followed._rounds) == [3, 4, 5]


def test_the_same_view_is_given_as_long_as_nothing_has_come(opened: Party) -> None:
    followed = fresh(opened)
    seen = followed.round(1)
    assert followed.round(1) is seen
    opened.ledger.submit([opened.signed(opened.hospitals[0])])
    assert followed.round(1) is not seen
    assert opened.hospitals[0].address in followed.round(1).accepted


def test_an_update_of_somebody_who_was_not_asked_is_no_view(opened: Party) -> None:
    opened.ledger.submit([opened.signed(opened.hospitals[0])])
    *events, accepted = fresh(opened).round_events(1).events
    planted = {**accepted, "args": {**accepted["args"], "hospital": opened.outsider.address}}
    with pytest.raises(LedgerError, match=f"{opened.outsider.address}.*not asked"):
        RoundEvents(1, [*events, accepted, planted]).view(())


def test_within_one_look_the_contract_is_as_it_was_then(opened: Party) -> None:
    followed = fresh(opened)
    first, second, _ = opened.hospitals
    with followed.one_look():
        opened.ledger.submit([opened.signed(first)])
        with followed.one_look():
            assert followed.round(1).accepted == {}
        opened.ledger.submit([opened.signed(second)])
        assert followed.round(1).accepted == {}
    assert followed.round(1).accepted.keys() == {first.address, second.address}


def test_a_block_is_asked_for_once(opened: Party) -> None:
    followed = fresh(opened)
    number, digest = followed.head()
    block = opened.chain.w3.eth.get_block(number)
    assert (followed.block_hash(number), followed.timestamp(number)) == (digest, block["timestamp"])
    assert followed.block_hash(number + 1) is None
    with pytest.raises(ChainError, match=f"no block {number + 1}"):
        followed.timestamp(number + 1)


@pytest.mark.parametrize("longer", [0, 1, 5])
def test_a_chain_that_took_blocks_back_is_read_anew(anvil_binary: Path, longer: int) -> None:
    with closing(AnvilChain(None, chain_id=1337, binary=anvil_binary)) as chain:
        party = Party.found(chain)
        party.open()
        followed = fresh(party)
        party.ledger.submit([party.signed(party.hospitals[0])])
        assert party.hospitals[0].address in followed.round(1).accepted
        assert followed.goes_on()
        block, before = followed.head()
        with closing(Endpoint(chain._anvil.url)) as node:
            node.ask("anvil_reorg", 1, [])
            if longer:
                node.ask("anvil_mine", longer)
        assert not followed.goes_on()
        assert followed.round(1).accepted == {} == fresh(party).round(1).accepted
        assert followed.block_hash(block) not in (None, before)


def test_blocks_taken_back_are_not_forgotten_because_somebody_else_looked(anvil_binary: Path) -> None:
    """Who shares what was read has more than events of it: seats, and what the contract was founded with."""
    with closing(AnvilChain(None, chain_id=1337, binary=anvil_binary)) as chain:
        party = Party.found(chain)
        followed = fresh(party)
        party.open()
        assert followed.round(1).accepted == {}
        with closing(Endpoint(chain._anvil.url)) as node:
            node.ask("anvil_reorg", 1, [])
            node.ask("anvil_mine", 1)
        followed.head()
        assert not followed.goes_on()


def test_what_was_seen_within_anothers_look_is_no_fresh_look(opened: Party) -> None:
    followed = fresh(opened)
    with followed.one_look():
        opened.ledger.submit([opened.signed(opened.hospitals[0])])
        assert followed.goes_on()
    with followed.one_look():
        assert followed.round(1).accepted.keys() == {opened.hospitals[0].address}


def test_events_that_a_node_gave_late_are_not_lost(chain: LocalChain) -> None:
    class Behind(ContractConnection):
        late = False

        def logs(self, first: int, last: int, topics: Sequence[str | None] = ()) -> Sequence[Any]:
            read = super().logs(first, last, topics)
            return [log for log in read if log["blockNumber"] < last] if self.late else read

    party = Party.found(chain)
    party.open()
    connection = Behind(chain.w3, party.ledger.address)
    followed = ContractEvents(connection)
    followed.of_round(1)
    connection.late = True
    party.ledger.submit([party.signed(party.hospitals[0])])
    assert not followed.of_round(1).of("UpdateAccepted")
    connection.late = False
    party.ledger.submit([party.signed(party.hospitals[1])])
    assert len(followed.of_round(1).of("UpdateAccepted")) == 2


def test_a_closed_round_has_what_a_node_far_behind_did_not_give(party: Party) -> None:
    party.open()
    party.ledger.submit([party.signed(hospital) for hospital in party.hospitals])
    for number in range(10):
        party.register(account(300 + number), 5, HOSPITAL)
    kept = party.ledger.views._events
    opened, *accepted, _ = kept.of_round(1).events
    kept._rounds[1] = RoundEvents(1, (opened, *accepted))
    assert len(party.ledger.round(1).accepted) == 2
    party.close()
    assert len(party.ledger.round(1).accepted) == 3
