"""One chain in memory a module, embedded and anvil in turn; one contract a test."""

from collections.abc import Iterator

import pytest
from contract_party import LocalChain, Party

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.embedded.chain import EmbeddedChain


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def chain(request: pytest.FixtureRequest) -> Iterator[LocalChain]:
    chain: LocalChain
    if request.param == "anvil":
        chain = AnvilChain(None, chain_id=1337, binary=request.getfixturevalue("anvil_binary"))
    else:
        chain = EmbeddedChain(None, chain_id=1337)
    yield chain
    chain.close()


@pytest.fixture
def party(chain: LocalChain) -> Party:
    return Party.found(chain)


@pytest.fixture
def opened(party: Party) -> Party:
    """With round 1 open for the three hospitals."""
    party.open()
    return party
