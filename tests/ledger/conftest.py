"""One chain in memory a module, embedded and anvil in turn; one contract a test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_party import LocalChain, Party

from fedcxr.errors import ChainError
from fedcxr.ledger.anvil import find_anvil
from fedcxr.ledger.anvil_chain import AnvilChain
from fedcxr.ledger.chain import EmbeddedChain


@pytest.fixture(scope="session")
def anvil_binary() -> Path:
    """The anvil that npm installed."""
    try:
        return find_anvil()
    except ChainError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


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
