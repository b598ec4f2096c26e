"""A chain that is founded again, at the URL, address and chain id of one that this process has read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from contract_party import FEDERATION, Party

from clients.disk import HospitalDisk
from clients.ledger import attach_ledger
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.here import shown_here
from fedcxr.chain.rpc_server import SEND_GAS, Front, RpcServer
from fedcxr.store.hospital_settings import HospitalData, HospitalSettings

URL = "http://127.0.0.1:1"  # nothing listens there: it is answered in this process or not at all


@pytest.fixture
def disk(tmp_path: Path) -> HospitalDisk:
    settings = HospitalSettings(name="one", ledger=URL, data=HospitalData(root="nowhere"))
    (tmp_path / "hospital.toml").write_text(settings.to_toml())
    return HospitalDisk(tmp_path)


@pytest.mark.parametrize("longer", [0, 1, 3])
def test_nothing_that_was_read_of_the_former_chain_is_believed_of_the_present_one(
    disk: HospitalDisk, longer: int
) -> None:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        party = Party.found(chain)
        with shown_here(URL, Front(chain, SEND_GAS)):
            before = attach_ledger(disk, party.ledger.address, 1337)
            assert before is not None
            party.open()
            assert before.round(1).participants == tuple(party.addresses)
            assert before.genesis_digest == b"G" * 32
            assert attach_ledger(disk, party.ledger.address, 1337) is before
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        again = Party.found(chain, genesis_digest=b"H" * 32)
        assert again.ledger.address == party.ledger.address
        for _ in range(longer):
            again.whole_round()
        with shown_here(URL, Front(chain, SEND_GAS)):
            now = attach_ledger(disk, party.ledger.address, 1337)
            assert now is not None
            assert (now.federation, now.genesis_digest) == (FEDERATION, b"H" * 32)
            assert now.last_finalized == longer
            assert not now.round_events(longer + 1).opened


def test_a_chain_that_this_process_shows_no_more_is_asked_where_it_is_shown(disk: HospitalDisk) -> None:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain, closing(RpcServer(chain)) as server:
        party = Party.found(chain)
        with shown_here(server.url, server.front):
            here = attach_ledger(disk, party.ledger.address, 1337, server.url)
        there = attach_ledger(disk, party.ledger.address, 1337, server.url)
        assert here is not None
        assert there is not None
        assert there.head() == party.ledger.views.head()
