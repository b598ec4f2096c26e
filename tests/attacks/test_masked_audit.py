"""Whoever writes the files of a masked round gets past no audit, breaks none, and frames nobody."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masked_runs import (
    attempt_of,
    audited,
    copied,
    court_of_others,
    masked_config,
    publish,
    run_masked,
    seeds_of,
)
from web3.datastructures import AttributeDict

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.audit import masked_round
from fedcxr.audit.blob_check import BlobChecker, BlobResult, BlobTask
from fedcxr.audit.published_answers import answer_faults
from fedcxr.chain.embedded import replay
from fedcxr.config import Config
from fedcxr.errors import FederationError
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.signing import Domain, Submission
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.seeds_file import SeedsFile
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.store.run_directory import RunDirectory

Open = tuple[MaskedAttempt, tuple[int, ...], Domain]


@pytest.fixture(scope="module")
def masked(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return masked_config(small_config, tmp_path_factory.mktemp("masked") / "data")


@pytest.fixture(scope="module")
def honest(masked: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Five hospitals, two rounds; never written to after this."""
    return run_masked(masked, tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture(scope="module")
def executed(honest: RunDirectory) -> Iterator[replay.Replayed]:
    with replay.verify(honest.chain_path) as replayed:
        yield replayed


@pytest.fixture
def run(
    honest: RunDirectory, executed: replay.Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDirectory:
    """A copy whose chain is known to be whole."""
    monkeypatch.setattr(replay, "verify", lambda path: contextlib.nullcontext(executed))
    court_of_others(monkeypatch)
    return copied(honest, tmp_path / "run")


@pytest.fixture(scope="module")
def opened(honest: RunDirectory) -> Open:
    return attempt_of(honest, 1)


def test_a_mask_from_a_file_is_not_believed(
    masked: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that adds to the sum while it takes the masks off is found out: they are made anew here."""
    honest_unmask = MaskedSum.unmask

    def unmask(self: MaskedSum, added: Sequence[bytes], taken_off: Sequence[bytes]) -> None:
        honest_unmask(self, added, taken_off)
        self.total[7] += np.uint32(1 << 16)

    with monkeypatch.context() as patch:
        patch.setattr(MaskedSum, "unmask", unmask)
        forged = run_masked(masked.with_changes({"federation.rounds": 1}), tmp_path / "forged")
    report = audited(forged)
    assert {finding.where for finding in report.findings} == {"aggregate root", "model digest"}
    assert {finding.hospital for finding in report.findings} == {""}


def test_a_vector_has_no_place_among_the_seeds(run: RunDirectory, opened: Open) -> None:
    tree = json.loads(seeds_of(run, 1, *opened[:2]).to_bytes())
    for name in ("mask", "unmasking", "vector"):
        publish(run, 1, json.dumps({**tree, name: "00" * 64}, sort_keys=True, separators=(",", ":")).encode())
        (finding,) = audited(run).findings
        assert (finding.where, finding.hospital) == ("seeds file", "")


def _twisted(rng: random.Random, tree: Any) -> Any:
    """A tree with one of its places changed, wherever it is."""
    if rng.random() < 0.3 or not isinstance(tree, dict | list) or not tree:
        odd = [None, True, -1, 3.0, 2**70, "", "00", "é" * 70, [], {}, [[0]], [[1, 2, 3, 4, 5, 6]], "0" * 64]
        return rng.choice(odd)
    if isinstance(tree, dict):
        name = rng.choice(sorted(tree))
        return {**tree, name: _twisted(rng, tree[name])}
    place = rng.randrange(len(tree))
    return [*tree[:place], _twisted(rng, tree[place]), *tree[place + rng.randrange(2) :]]


def _spoilt(rng: random.Random, good: bytes) -> bytes:
    if rng.random() < 0.3:
        at = rng.randrange(len(good))
        return good[:at] + rng.randbytes(rng.randrange(4)) + good[at + rng.randrange(40) :]
    twisted = _twisted(rng, json.loads(good))
    return json.dumps(twisted, sort_keys=True, separators=(",", ":")).encode()


def test_no_seeds_file_is_more_than_an_error(honest: RunDirectory, opened: Open) -> None:
    attempt, accepted, domain = opened
    good, read = seeds_of(honest, 1, attempt, accepted).to_bytes(), 0
    for place in range(1500):
        data = _spoilt(random.Random(place), good)
        try:
            found = SeedsFile.from_bytes(data, attempt, accepted)
        except FederationError:
            continue
        read += 1
        assert found.to_bytes() == data
        list(answer_faults(attempt, accepted, {}, found.answers, domain))
    assert read > 10, "some are seeds files, of other seeds and answers"


@pytest.mark.parametrize("place", range(6))
def test_a_spoilt_file_ends_in_a_finding_and_no_audit(run: RunDirectory, opened: Open, place: int) -> None:
    good = seeds_of(run, 1, *opened[:2]).to_bytes()
    data = _spoilt(random.Random(place), good)
    publish(run, 1, data if place else bytes(9 << 20))
    report = audited(run)
    assert (report.clean, report.proven) == (False, False)
    assert {finding.round for finding in report.findings} == {1}
    assert report.rounds == 2
    assert not [said for said in report.unchecked if said.startswith("round 2")]


@pytest.mark.parametrize("kind", ["cut short", "zeros", "noise", "one bit"])
def test_a_spoilt_header_ends_in_a_finding_and_no_audit(
    run: RunDirectory, opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = BlobChecker.check

    def spoil(self: BlobChecker, task: BlobTask) -> BlobResult:
        result = check(self, task)
        assert task.opening is not None
        hospital = opened[0].of(2).account
        if (task.opening.context.hospital, task.opening.context.round) != (hospital, 1):
            return result
        head = result.head
        changed = {
            "cut short": head[:100],
            "zeros": bytes(len(head)),
            "noise": random.Random(0).randbytes(len(head)),
            "one bit": head[:2000] + bytes([head[2000] ^ 1]) + head[2001:],
        }
        return replace(result, head=changed[kind])

    monkeypatch.setattr(BlobChecker, "check", spoil)
    report = audited(run)
    assert report.findings
    assert {finding.round for finding in report.findings} == {1}
    assert report.rounds == 2


Events = Sequence[Any]


def altered(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """A chain of the coordinator's own: the last event of a name says something else, under no signature."""
    followed = FederationViews.followed

    def forged(self: FederationViews, asked: str) -> Events:
        events = list(followed(self, asked))
        if asked == name:
            values = dict(events[-1]["args"])
            change(values)
            events[-1] = AttributeDict({**events[-1], "args": AttributeDict(values)})
        return events

    monkeypatch.setattr(FederationViews, "followed", forged)


@pytest.mark.parametrize("which", ["mask key", "envelope key"])
def test_a_key_that_nobody_signed_is_not_used(
    run: RunDirectory, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = EnvelopePrivateKey.generate("MLKEM768_X25519", masks=True).public.data

    def invent(values: dict[str, Any]) -> None:
        key = bytes(values["envelopeKey"])
        values["envelopeKey"] = key[:-32] + fresh[-32:] if which == "mask key" else fresh[:-32] + key[-32:]

    altered(monkeypatch, "MemberJoined", invent)
    report = audited(run)
    assert {(finding.where, finding.hospital) for finding in report.findings} == {("masked round", "")}
    assert len(report.findings) == 2, "of each round"
    assert not report.released
    assert report.updates == 9
    assert sum("none that can be unmasked" in said for said in report.unchecked) == 9


def test_a_header_that_nobody_signed_is_not_believed(
    run: RunDirectory, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, honest_words = opened[0].of(2).account, RoundEvents.submission

    def another_root(self: RoundEvents, federation: bytes, address: str) -> Submission:
        said = honest_words(self, federation, address)
        return replace(said, root=bytes(32)) if (self.number, address) == (1, hospital) else said

    monkeypatch.setattr(RoundEvents, "submission", another_root)
    (finding,) = audited(run).findings
    assert (finding.where, finding.round, finding.hospital) == ("submission of a masked update", 1, hospital)


def test_a_successor_that_nobody_signed_is_none(
    run: RunDirectory, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that the chain alone gives to a seat signs nothing for it."""
    monkeypatch.setattr(masked_round, "may_sign", lambda ledger, hospital, signer: hospital.seat != 2)
    found = {(finding.where, finding.hospital) for finding in audited(run).findings}
    assert found == {("submission of a masked update", opened[0].of(2).account)}
