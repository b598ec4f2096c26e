"""One chain in memory a module, one contract a test."""

from collections.abc import Iterator

import pytest
from contract_party import Party

from fedcxr.ledger.chain import EmbeddedChain


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    chain = EmbeddedChain(None, chain_id=1337)
    yield chain
    chain.close()


@pytest.fixture
def party(chain: EmbeddedChain) -> Party:
    return Party.found(chain)


@pytest.fixture
def opened(party: Party) -> Party:
    """With round 1 open for the three hospitals."""
    party.open()
    return party
