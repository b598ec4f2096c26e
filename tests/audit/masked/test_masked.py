"""The audit of masked rounds proves them without a key, and holds seeds and answers to what was signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from masked_runs import (
    MISSING,
    Open,
    account_in,
    answered,
    audited,
    change,
    name_seeds,
    of_seat,
    places,
    seeds_of,
    unchecked_sum,
)

from fedcxr.audit.scope import Scope
from fedcxr.masked_rounds.answers import SHARE, Seeds, entry
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory


def test_a_masked_run_is_proven_without_a_key(honest: RunDirectory, opened: Open) -> None:
    assert opened[1] == (0, 2, 3, 4), "seat 1 is missing, so that seeds of pairs are due"
    report = audited(honest)
    assert (report.findings, report.unchecked) == ([], [])
    assert report.proven
    assert report.released == read_rounds(honest)[-1].model
    assert (report.rounds, report.updates) == (2, 9)


@pytest.mark.parametrize("workers", [2])
def test_workers_add_masked_updates_to_the_shared_sum(honest: RunDirectory, workers: int) -> None:
    assert audited(honest, workers=workers).proven


@pytest.mark.parametrize("asked", [Scope(2, 2), Scope(1, 1)])
def test_one_round_is_audited_by_itself(honest: RunDirectory, asked: Scope) -> None:
    report = audited(honest, scope=asked)
    assert report.clean
    assert not [said for said in report.unchecked if "its sum" in said]


def test_one_hospital_is_audited_by_itself(honest: RunDirectory, run: RunDirectory, opened: Open) -> None:
    own = seeds_of(run, 1, *opened[:2]).seeds
    forged = Seeds({**own.own, 3: bytes(32)}, own.pairs)
    assert places(change(run, opened, seeds=forged)) == {("seed of a mask", 1, of_seat(opened, 3))}
    accused = audited(run, scope=Scope(hospital=of_seat(opened, 3)))
    assert places(accused) == {("seed of a mask", 1, of_seat(opened, 3))}
    assert audited(run, scope=Scope(hospital=of_seat(opened, 2))).clean


def test_seeds_that_are_not_there_are_a_finding_and_the_other_round_is_audited(
    run: RunDirectory, opened: Open
) -> None:
    name_seeds(run, 2, "")
    report = audited(run)
    (finding,) = report.findings
    assert (finding.where, finding.round) == ("seeds file", 2)
    assert "the seeds of round 2 are not published" in finding.found
    assert unchecked_sum(report, 2)
    assert not unchecked_sum(report, 1)
    assert (report.clean, report.proven, report.released) == (False, False, "")


def test_a_file_that_the_store_lost_is_a_finding(run: RunDirectory) -> None:
    Path(run.blob_store().path(bytes.fromhex(read_rounds(run)[0].seeds))).unlink()
    report = audited(run)
    assert [(f.where, f.round) for f in report.findings] == [("seeds file", 1)]
    assert unchecked_sum(report)


@pytest.mark.parametrize("kind", ["own", "pair"])
def test_a_seed_that_is_not_its_commitments_names_its_hospital(
    run: RunDirectory, opened: Open, kind: str
) -> None:
    own, pairs = seeds_of(run, 1, *opened[:2]).seeds
    forged = Seeds({**own, 2: bytes(32)}, pairs)
    if kind == "pair":
        forged = Seeds(own, {**pairs, (2, MISSING): bytes(32)})
    report = change(run, opened, seeds=forged)
    assert places(report) == {("seed of a mask", 1, of_seat(opened, 2))}
    assert unchecked_sum(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda own, pairs: Seeds({s: v for s, v in own.items() if s != 2}, pairs),
        lambda own, pairs: Seeds({**own, MISSING: bytes(32)}, pairs),
        lambda own, pairs: Seeds(own, {}),
        lambda own, pairs: Seeds(own, {**pairs, (0, 2): bytes(32)}),
    ],
)
def test_seeds_are_exactly_those_that_are_due(
    run: RunDirectory, opened: Open, spoil: Callable[..., Seeds]
) -> None:
    own, pairs = seeds_of(run, 1, *opened[:2]).seeds
    report = change(run, opened, seeds=spoil(own, pairs))
    assert places(report) == {("seeds file", 1, "")}
    assert unchecked_sum(report)


def test_an_answer_for_another_set_names_its_hospital(run: RunDirectory, opened: Open) -> None:
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    another = answered(attempt, 2, (0, 1, 2, 3), entries, account_in(run, 2), domain)
    report = change(run, opened, answers=(another,))
    (finding,) = report.findings
    assert (finding.where, finding.hospital) == ("answer in the seeds file", of_seat(opened, 2))
    assert "was shown another chain, or lies" in finding.found
    assert report.released, "the sum is right, whatever a hospital was shown"


@pytest.mark.parametrize("seat", [2, MISSING])
def test_what_nobody_of_the_set_signed_blames_nobody_of_it(
    run: RunDirectory, opened: Open, seat: int
) -> None:
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    by = account_in(run, 4 if seat == 2 else seat)
    report = change(run, opened, answers=(answered(attempt, seat, accepted, entries, by, domain),))
    (finding,) = report.findings
    assert (finding.where, finding.hospital) == ("answer in the seeds file", "")
    assert "the file is the coordinator's" in finding.found


@pytest.mark.parametrize("spoilt", ["a share", "a form"])
def test_an_entry_that_fits_no_commitment_names_who_answered(
    run: RunDirectory, opened: Open, spoilt: str
) -> None:
    attempt, accepted, domain = opened
    entries = bytearray(seeds_of(run, 1, attempt, accepted).answers[0].entries)
    assert entries[34] == SHARE, "seat 0's second neighbour is in the set"
    entries[34 : 2 * 34] = entry(SHARE, bytes(33)) if spoilt == "a share" else bytes([7]) * 34
    forged = answered(attempt, 0, accepted, bytes(entries), account_in(run, 0), domain)
    report = change(run, opened, answers=(forged,))
    assert places(report) == {("answer in the seeds file", 1, of_seat(opened, 0))}
