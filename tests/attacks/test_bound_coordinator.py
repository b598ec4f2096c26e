"""The adversary is a coordinator that goes beyond the configuration which its members agreed to.

It opens rounds that the configuration does not have, opens one for seconds in place of a day, gives one
hospital nearly all the weight, and challenges its own wrong sum before anybody else does. The contract is the
real one, on the embedded chain.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from contract_party import LocalChain, Party
from disputed_run import BOND, tell_wrong_sum
from federation import run_federation

from fedcxr.audit.audit import AuditReport, audit
from fedcxr.audit.disputes.challenge import prepare_challenge
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.config import Config
from fedcxr.errors import ConfigError, ContractRejectedError, FederationError, QuorumError
from fedcxr.ledger.bounds import UNBOUND, Bounds, configured_bounds
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.deployment_parameters import differences
from fedcxr.ledger.protocol import RoundView
from fedcxr.run.ledger_access import reading_ledger, writing_ledger
from fedcxr.store.blobs import BlobStore
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")


@pytest.fixture
def short(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1, "evaluation.bootstrap": 0})


@pytest.fixture
def capped(short: Config) -> Config:
    """None of the three hospitals has more than two fifths of the weight."""
    return short.with_changes({"federation.largest_share": 0.4, "federation.min_hospitals": 3})


def refused(name: str, call: object) -> ContractRejectedError:
    with pytest.raises(ContractRejectedError) as raised:
        call()  # type: ignore[operator]
    assert raised.value.name == name
    return raised.value


def audited(run: RunDirectory) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])


# ------------------------------------------------------------------------------- rounds and deadlines


def test_a_round_that_the_configuration_does_not_have_is_not_opened(
    chain: LocalChain, short: Config, tmp_path: Path
) -> None:
    run = run_federation(short.with_changes({"federation.calibrate": True}), tmp_path / "run")
    with writing_ledger(run) as ledger:
        assert ledger.last_finalized == 2  # one of training, and the calibration
        error = refused("NoSuchRound", lambda: open_more(ledger, short.ledger.deadline))
    assert error.arguments == (2, 3)


def test_a_round_of_five_seconds_is_not_opened(chain: LocalChain, small_config: Config) -> None:
    party = Party.found(chain, bounds=configured_bounds(small_config))
    deadline = small_config.ledger.deadline
    refused("DeadlineTooNear", lambda: party.open(seconds=5))
    refused("DeadlineTooNear", lambda: party.open(seconds=deadline // 2 - 60))
    party.open(seconds=deadline)


def test_an_honest_coordinator_opens_whatever_its_chains_clock_says(
    chain: LocalChain, small_config: Config
) -> None:
    party = Party.found(chain, bounds=configured_bounds(small_config))
    party.travel(10 * small_config.ledger.deadline)  # the chain runs ahead
    party.open(seconds=small_config.ledger.deadline)
    party.ledger.abort(1, "and so does an attempt that waited for its block for a tenth of the deadline")
    seconds = small_config.ledger.deadline
    party.open(seconds=seconds - seconds // 11)


def test_an_aborted_attempt_costs_no_round(chain: LocalChain) -> None:
    party = Party.found(chain, bounds=Bounds(rounds=1))
    for _ in range(3):
        party.open()
        party.ledger.abort(1, "again")
    party.whole_round()
    refused("NoSuchRound", party.open)


def open_more(ledger: object, seconds: int) -> RoundView:
    """Ask the contract of a finished run for one more round."""
    views = ledger.views  # type: ignore[attr-defined]
    hospitals = [member.address for member in views.members() if member.is_active_hospital]
    return ledger.open_round(  # type: ignore[attr-defined, no-any-return]
        views.last_finalized + 1,
        base=views.model_digest,
        config_digest=hashlib.sha256(b"more").digest(),
        participants=hospitals,
        deadline_seconds=seconds,
    )


@pytest.mark.parametrize(
    "lax",
    [{"rounds": 9}, {"shortest_deadline": 5}, {"largest_share": 0}],
    ids=["rounds", "deadline", "share"],
)
def test_a_contract_that_binds_less_than_the_configuration_is_refused_and_found(
    chain: LocalChain, capped: Config, tmp_path: Path, lax: dict[str, int]
) -> None:
    loose = replace(configured_bounds(capped), **lax)
    with (
        patch("fedcxr.run.founding.configured_bounds", lambda config: loose),
        pytest.raises(FederationError),
    ):
        run_federation(capped, tmp_path / "run")
    (name,) = lax
    logs = [path.read_text() for path in (tmp_path / "run").rglob("hospital.log")]
    assert logs
    assert all(f"the server's {name} is" in log for log in logs)
    report = audited(RunDirectory(tmp_path / "run", trusted=True))
    assert [finding.where for finding in report.findings] == [f"the contract's {name}"]


def test_an_earlier_contract_binds_nothing_and_is_held_to_no_more_than_its_time_knew(
    chain: LocalChain, short: Config, capped: Config
) -> None:
    party = Party.found(chain)
    deployed = party.ledger.views.deployment_parameters
    assert {"rounds", "shortest_deadline"} <= differences(deployed, UNBOUND, short).keys()
    assert not {"rounds", "shortest_deadline", "largest_share"} & differences(deployed, None, short).keys()
    assert "largest_share" in differences(deployed, None, capped)


# --------------------------------------------------------------------------------------------- shares


def test_a_giant_has_no_more_of_the_weight_than_its_share(chain: LocalChain) -> None:
    free, bound = (
        Party.found(chain, (1_000_000, 100, 100, 100), bounds=bounds)
        for bounds in (UNBOUND, Bounds(largest_share=3000))
    )
    shares = [max(view.weights.values()) / sum(view.weights.values()) for view in (free.open(), bound.open())]
    assert shares[0] > 0.99
    assert shares[1] < 0.3 + 1 / 4000


def test_a_giant_among_too_few_is_not_asked_at_all(chain: LocalChain) -> None:
    party = Party.found(chain, (1_000_000, 100, 100), bounds=Bounds(largest_share=3000))
    assert refused("TooFewForShare", party.open).arguments == (3, 4)


def test_who_loses_the_others_updates_does_not_raise_the_giants_share(chain: LocalChain) -> None:
    party = Party.found(chain, (1_000_000, 100, 100, 100), bounds=Bounds(largest_share=3000))
    party.open()
    assert all(v.accepted for v in party.ledger.submit([party.signed(h) for h in party.hospitals]))
    party.close()
    lost = {party.addresses[1]: "its bytes were lost"}
    error = refused("ShareTooLarge", lambda: party.finalize(lost))
    assert error.arguments[0] == 0
    party.finalize()


def test_a_run_with_a_largest_share_is_clean_and_says_so(
    chain: LocalChain, capped: Config, tmp_path: Path
) -> None:
    run = run_federation(capped, tmp_path / "run")
    report = audited(run)
    assert (report.findings, report.proven) == ([], True)
    said = "the contract binds: 1 rounds, each open for 77,760 s at least, 40.00% of the weight at most"
    assert any(note.startswith(said) for note in report.notes)


def test_an_attempt_in_which_one_would_have_too_much_is_given_up_with_the_reason(
    chain: LocalChain, short: Config, tmp_path: Path
) -> None:
    asked = short.with_changes({"federation.largest_share": 0.5, "federation.min_hospitals": 2})
    away = "synthetic-03"
    with pytest.raises(QuorumError, match="of the weight that could be included"):
        run_federation(asked, tmp_path / "run", tamper=lambda name, reply: None if name == away else reply)
    run = RunDirectory(tmp_path / "run", trusted=True)
    with reading_ledger(run) as ledger:
        (aborted,) = ledger.events("RoundAborted")
    assert "federation.largest_share is 0.5" in aborted["args"]["reason"]
    assert len(run_federation(asked, run.root).metrics.rounds) == 1  # all are back


@pytest.mark.parametrize(
    ("federation", "why"),
    [
        ({"largest_share": 0.3, "min_hospitals": 3}, "with fewer than 4 hospitals"),
        ({"largest_share": 0.5}, "with fewer than 2 hospitals"),
        ({"largest_share": 0.33333, "min_hospitals": 4}, "at most four digits"),
        ({"largest_share": 0.0, "min_hospitals": 4}, "greater than 0"),
    ],
)
def test_a_configuration_in_which_the_share_cannot_hold_is_refused(
    chain: LocalChain, short: Config, federation: dict[str, object], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        short.with_changes({f"federation.{key}": value for key, value in federation.items()})


def test_a_share_that_is_not_asked_for_leaves_the_digest_as_it_was(
    chain: LocalChain, short: Config, capped: Config
) -> None:
    assert "largest_share" not in short.canonical_json()
    assert '"largest_share":0.4' in capped.canonical_json()


# ----------------------------------------------------------------------------------------------- bond


def test_a_coordinator_that_challenges_itself_first_gains_nothing(chain: LocalChain, tmp_path: Path) -> None:
    root = tmp_path / "run"
    party = tell_wrong_sum(root)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=party.ledger.domain.chain_id)) as own:
        views = type(party.ledger.views).attach(own.w3, party.ledger.address)
        court = DisputeCourt(own.w3, views.court, party.coordinator)
        before = own.w3.eth.get_balance(party.coordinator.address)
        court.challenge(*prepare_challenge(views, BlobStore(str(root / "blobs")), 1, 1))
        assert court.bond == 0
        assert own.w3.eth.get_balance(party.coordinator.address) <= before
        assert own.w3.eth.get_balance(own.w3.to_checksum_address(court.address)) == BOND
        court.announce_release()
