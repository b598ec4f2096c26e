"""A federation whose updates travel in another form: fewer bytes, and an audit that adds them."""

import itertools
from pathlib import Path

import pytest
from federation import digests, run_federation

from fedcxr.audit.audit import Request, audit, conduct_audit
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config
from fedcxr.errors import ConfigError
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def runs(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    """The same federation in each form."""
    place = tmp_path_factory.mktemp("forms")
    return {
        form: run_federation(small_config.with_changes({"federation.update_form": form}), place / form)
        for form in ("plain", "packed", "short")
    }


def test_a_packed_federation_releases_the_very_models_of_a_plain_one(runs: dict[str, RunDirectory]) -> None:
    assert digests(runs["packed"]) == digests(runs["plain"])
    assert not set(digests(runs["short"])) & set(digests(runs["plain"]))


def test_bytes_that_travel_become_fewer_with_each_form(runs: dict[str, RunDirectory]) -> None:
    sent = {form: sum(line.bytes_up or 0 for line in read_rounds(run)) for form, run in runs.items()}
    assert sent["short"] < 0.85 * sent["packed"] < 0.6 * sent["plain"]


@pytest.mark.parametrize("form", ["packed", "short"])
@pytest.mark.parametrize("workers", [None, 2])
def test_every_form_is_recomputed_with_either_key_here_and_in_worker_processes(
    runs: dict[str, RunDirectory], form: str, workers: int | None
) -> None:
    run = runs[form]
    for who in ("auditor", "coordinator"):
        key = Identity.load(run.keys / f"{who}.json").envelope_key
        report = conduct_audit(RunLedger(run), RunSources(run), Request([key], workers=workers))
        assert (report.findings, report.unchecked) == ([], [])
        assert report.released == digests(run)[-1]


def test_short_updates_end_with_the_same_bits_when_they_are_trained_again(
    runs: dict[str, RunDirectory], small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes({"federation.update_form": "short"})
    assert digests(run_federation(config, tmp_path / "again", backwards=True)) == digests(runs["short"])


def test_a_committee_judges_what_travels_packed(small_config: Config, tmp_path: Path) -> None:
    judged = small_config.with_changes({"validation.policy": "committee", "validation.committee": 1})
    run = run_federation(judged.with_changes({"federation.update_form": "packed"}), tmp_path / "run")
    assert all(line.included for line in read_rounds(run))
    assert audit(run, [Identity.load(run.keys / "auditor.json").envelope_key]).proven


def test_open_updates_are_plain_since_the_court_adds_their_bytes(small_config: Config) -> None:
    for form in ("packed", "short"):
        with pytest.raises(ConfigError, match=r"wants privacy\.envelope = 'sealed'"):
            small_config.with_changes({"federation.update_form": form, "privacy.envelope": "open"})


def test_the_plain_form_leaves_a_configurations_digest_as_it_was(small_config: Config) -> None:
    assert '"update_form"' not in small_config.canonical_json()
    packed, short = (
        small_config.with_changes({"federation.update_form": form}) for form in ("packed", "short")
    )
    for one, other in itertools.combinations((small_config, packed, short), 2):
        assert one.digest() != other.digest()
