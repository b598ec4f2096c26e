"""One finished federation, and copies of it to damage."""

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator
from copy import copy as copy_of
from pathlib import Path
from typing import Any

import pytest
from federation import run_federation

from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.chain.embedded import replay
from fedcxr.config import Config
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Audit = Callable[[RunDirectory], AuditReport]


def duplicate(run: RunDirectory, place: Path) -> RunDirectory:
    """A copy without what an audit has no use for."""
    shutil.copytree(run.root, place, ignore=shutil.ignore_patterns("cache", "hospitals"))
    return RunDirectory(place)


@pytest.fixture(scope="session")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Three hospitals, two rounds; never written to after this."""
    return run_federation(small_config, tmp_path_factory.mktemp("audited") / "run")


@pytest.fixture(scope="session")
def auditor_key(finished: RunDirectory) -> EnvelopePrivateKey:
    return Identity.load(finished.keys / "auditor.json").envelope_key


@pytest.fixture
def copy(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    return duplicate(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def executed(finished: RunDirectory) -> Iterator[replay.Replayed]:
    """The finished run's chain, executed again once for all tests that leave the chain alone."""
    with replay.verify(finished.chain_path) as replayed:
        yield replayed


@pytest.fixture(scope="session")
def answers() -> dict[tuple[str, ...], Any]:
    """What the contract of the finished run answered, by the question; nothing is written to its chain."""
    return {}


def remembered(method: Callable[..., Any], answers: dict[tuple[str, ...], Any]) -> Callable[..., Any]:
    """A question to a contract that is asked once."""

    def ask(connection: ContractConnection, *arguments: object, **named: object) -> Any:
        question = (method.__name__, connection.address, repr(arguments), repr(named))
        if question not in answers:
            answers[question] = method(connection, *arguments, **named)
        return copy_of(answers[question])

    return ask


@pytest.fixture
def quick_audit(
    finished: RunDirectory,
    executed: replay.Replayed,
    auditor_key: EnvelopePrivateKey,
    answers: dict[tuple[str, ...], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Audit:
    """An audit of a copy whose chain is known to be whole: it is executed and asked once."""
    assert executed.w3 is not None
    contract = FederationViews.attach(executed.w3, finished.read_facts().contract)
    views = functools.cache(contract.round)
    monkeypatch.setattr(replay, "verify", lambda path: contextlib.nullcontext(executed))
    monkeypatch.setattr(FederationViews, "round", lambda self, number: views(number))
    for method in (ContractConnection.call, ContractConnection.events, ContractConnection.events_of_round):
        monkeypatch.setattr(ContractConnection, method.__name__, remembered(method, answers))
    return lambda run: audit(run, [auditor_key])
