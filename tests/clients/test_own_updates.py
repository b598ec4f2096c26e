"""Of several updates that a hospital sent, the one that the contract keeps is known by all its fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from unittest.mock import patch

import pytest
from federation import run_federation

from clients.own_updates import sight
from clients.watched import SentUpdate
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.config import Config
from fedcxr.ledger.signing import Signed, Submission, commitment
from fedcxr.ledger.views import FederationViews


@pytest.fixture(scope="module")
def ledger(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederationViews]:
    config = small_config.with_changes({"federation.rounds": 1})
    run = run_federation(config, tmp_path_factory.mktemp("own") / "run")
    facts = run.read_facts()
    with closing(EmbeddedChain(run.chain_path, chain_id=facts.chain_id)) as chain:
        yield FederationViews.attach(chain.w3, facts.contract)


@pytest.fixture
def kept(ledger: FederationViews) -> SentUpdate:
    """The update that the contract keeps of the round's first hospital."""
    view, attempt = ledger.round(1), ledger.round_events(1).attempts[-1]
    hospital = view.participants[0]
    submission = attempt.submission(ledger.federation, hospital)
    return SentUpdate(Signed(submission, bytes(65)), view.seats[hospital], 0)


def other(sent: SentUpdate, **changes: object) -> SentUpdate:
    message: Submission = replace(sent.signed.message, **changes)  # type: ignore[arg-type]
    return replace(sent, signed=replace(sent.signed, message=message))


def test_what_is_kept_is_seen_in_the_events_alone(ledger: FederationViews, kept: SentUpdate) -> None:
    with patch.object(FederationViews, "commitment", side_effect=AssertionError):
        sighting = sight(ledger, [other(kept, root=b"\1" * 32), kept])
    assert (sighting.fate, sighting.sent) == ("taken", (kept,))


@pytest.mark.parametrize(
    "changes",
    [{"root": b"\1" * 32}, {"size": 8**9}, {"samples": 8**9}, {"metrics": b"\1" * 32}, {"base": bytes(32)}],
)
def test_another_update_under_the_same_name_is_not_taken_for_it(
    ledger: FederationViews, kept: SentUpdate, changes: dict[str, object]
) -> None:
    sighting = sight(ledger, [other(kept, **changes)])
    assert sighting.found == commitment(kept.signed.message), "the contract was asked what it keeps"
    assert "under the round's root" in sighting.why
