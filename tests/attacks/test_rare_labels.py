"""Whoever runs the rounds of a federation learns no label's rows that fewer than three hospitals move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from federation import Recorder, digests, run_federation
from masked_party import MaskedParty, found
from masked_runs import account_in, audited, copied
from rare_data import ALONE, FRACTURE, OF_THREE, THREE, rare_config
from typer.testing import CliRunner

from clients.hospital import Hospital
from fedcxr.audit.audit import audit
from fedcxr.audit.export.verification import verify
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.errors import FederationError, QuorumError
from fedcxr.ledger.protocol import Ledger
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.ledger.statements import Labels
from fedcxr.masked_rounds.rare_labels import rare_label_breaches
from fedcxr.messages import RefusalReply, RegisterReply, RegisterRequest, UpdateReply
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.report.summary import write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.run.founding import coordinator_identity, federation_id
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from fedcxr.update.fixed_point import Ring
from fedcxr.update.label_rows import label_rows
from fedcxr.update.layout import Layout
from fedcxr.update.round_config import RareLabels
from server.events import NotRegistered
from server.rare_labels import rare_labels
from server.registration import HospitalNode

ALL = range(5)
FOUR = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def rare(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return rare_config(small_config, tmp_path_factory.mktemp("rare") / "data")


@pytest.fixture(scope="module")
def five(rare: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaskedParty]:
    """Five hospitals have joined, of which one alone has a label; tests branch it."""
    with found(rare, tmp_path_factory.mktemp("five"), 5) as party:
        yield party


@pytest.fixture
def party(five: MaskedParty, tmp_path: Path) -> Iterator[MaskedParty]:
    with five.branch(tmp_path / "party") as branch:
        yield branch


@pytest.fixture(scope="module")
def honest(rare: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A whole run of both rounds; never written to after this."""
    return run_federation(rare, tmp_path_factory.mktemp("honest") / "run")


def rows_of(layout: Layout, label: int, vector: np.ndarray) -> np.ndarray:
    return np.concatenate([vector[place] for place in label_rows(layout, [label])])


def before_masks(act: Callable[[], object]) -> dict[int, Ring]:
    """What hospitals put their masks on meanwhile, by their seats."""
    seen: dict[int, Ring] = {}
    put_on = OutgoingMask.put_on

    def spy(self: OutgoingMask, vector: Ring) -> None:
        seen[self.seat] = vector.copy()
        put_on(self, vector)

    with patch.object(OutgoingMask, "put_on", spy):
        act()
    return seen


# ------------------------------------------------------------------------------------------ at the hospitals


def test_no_label_is_moved_by_fewer_than_three(party: MaskedParty) -> None:
    """The words of its rows are zero before masking at every hospital; those of a label of all are not."""
    party.open(ALL)
    config = party.round_config().rare
    assert config is not None
    assert FRACTURE in config.withheld
    common = next(label for label in range(len(LABELS)) if label not in config.withheld)
    seen = before_masks(lambda: party.collect(ALL))
    assert sorted(seen) == list(ALL)
    for vector in seen.values():
        for label in config.withheld:
            assert not rows_of(party.layout, label, vector).any()
        assert rows_of(party.layout, common, vector).any()


def test_with_say_the_one_that_has_a_label_is_seen_in_its_rows(rare: Config, tmp_path: Path) -> None:
    """The control: without the rule, one hospital's rows are unlike all others', which only decay."""
    say = rare.with_changes({"federation.rare_labels": "say"})
    with found(say, tmp_path, 5) as party:
        party.open(ALL)
        assert party.round_config().rare is None
        seen = before_masks(lambda: party.collect(ALL))
        size = {
            seat: int(np.abs(rows_of(party.layout, FRACTURE, vector).view(np.int32)).max())
            for seat, vector in seen.items()
        }
    assert size.pop(ALONE) > 10 * max(size.values())


def _without(rare: RareLabels) -> RareLabels:
    return replace(rare, withheld=tuple(label for label in rare.withheld if label != FRACTURE))


def _with(rare: RareLabels) -> RareLabels:
    return replace(rare, withheld=tuple(sorted({*rare.withheld, 0})))


def _claimed(rare: RareLabels) -> RareLabels:
    """Everyone has the label, by words that nobody signed."""
    stated = tuple(replace(one, labels=one.labels | 1 << FRACTURE) for one in rare.statements)
    return _without(replace(rare, statements=stated))


def _of_another(rare: RareLabels) -> RareLabels:
    """One hospital's good statement stands for all of them."""
    alone = rare.statements[ALONE]
    return _without(replace(rare, statements=tuple(replace(alone, seat=seat) for seat in ALL)))


def _often(rare: RareLabels) -> RareLabels:
    """One hospital's good statement is counted four times."""
    alone = rare.statements[ALONE]
    first, last = rare.statements[:ALONE], rare.statements[ALONE + 1 :]
    return _without(replace(rare, statements=(*first, *[alone] * 4, *last)))


@pytest.mark.parametrize("lie", [_without, _with, _claimed, _of_another, _often, lambda rare: None])
def test_a_list_that_the_statements_do_not_give_is_refused(
    party: MaskedParty, lie: Callable[[RareLabels], RareLabels | None]
) -> None:
    party.false_labels = lie
    party.open(ALL)
    seen = before_masks(lambda: [_refused(party, index) for index in ALL])
    assert seen == {}, "nothing was masked, let alone sent"


def _refused(party: MaskedParty, index: int) -> None:
    assert isinstance(party.train(index), RefusalReply), f"hospital {index}"


def test_a_hospital_whose_statement_is_left_out_refuses(party: MaskedParty) -> None:
    """The others cannot know that it made one; without it the round is one of four, and it is not masked."""

    def leave_out(rare: RareLabels) -> RareLabels:
        return replace(rare, statements=tuple(one for one in rare.statements if one.seat != 4))

    party.false_labels = leave_out
    party.open(ALL)
    replies = [party.train(index) for index in ALL]
    assert isinstance(replies[4], RefusalReply)


def test_a_statement_of_who_does_not_take_part_counts_for_nothing(party: MaskedParty) -> None:
    party.open(ALL)
    stated = party.rare_labels()
    assert stated is not None
    party.abort()
    party.false_labels = lambda rare: replace(rare, statements=stated.statements)
    party.open(FOUR)
    _refused(party, 0)


def test_all_withhold_the_same_labels(party: MaskedParty, tmp_path: Path) -> None:
    """Whoever is shown another list has another context, on the same chain not even that."""
    party.open(ALL)
    request, other = party.train_request(), party.round_config()
    assert other.rare is not None
    shorter = replace(other, rare=_without(other.rare))
    with pytest.raises(FederationError, match="another round configuration"):
        party.hospital(0).train(replace(request, round_config=shorter.to_bytes()))
    with party.branch(tmp_path / "one") as one, party.branch(tmp_path / "two") as two:
        one.abort()
        one.open(ALL)
        two.abort()
        two.false_labels = _without
        two.open(ALL)
        assert one.attempt().attempt == two.attempt().attempt
        assert one.attempt().context != two.attempt().context
        assert isinstance(one.train(0), UpdateReply)
        _refused(two, 1)


def test_a_further_attempt_may_withhold_others(small_config: Config, tmp_path: Path) -> None:
    """One that has a label comes for one that has not, and all weights are the same: nothing is kept."""
    config = rare_config(small_config, tmp_path / "data", 6)
    others = (*FOUR, 5)
    with found(config.with_changes({"federation.weighting": "uniform"}), tmp_path, 6) as party:
        party.open(ALL)
        weights = {each.seat: each.weight for each in party.attempt().participants}
        first = before_masks(lambda: party.collect(ALL))
        party.abort()
        party.open(others)
        assert weights[0] == party.attempt().of(0).weight
        again = before_masks(lambda: party.collect(others))
    assert sorted(again) == list(others)
    for seat in FOUR:
        assert not rows_of(party.layout, FRACTURE, again[seat]).any()
        assert not rows_of(party.layout, OF_THREE, first[seat]).any()
        assert rows_of(party.layout, OF_THREE, again[seat]).any() == (seat in THREE)


def test_a_federation_that_withholds_nothing_refuses_a_list(rare: Config, tmp_path: Path) -> None:
    with found(rare.with_changes({"federation.rare_labels": "say"}), tmp_path, 5) as party:
        party.participants = ALL
        listed = replace(party.round_config(), rare=RareLabels((), (FRACTURE,)))
        with patch.object(MaskedParty, "round_config", lambda self, exponent=0: listed):
            party.open(ALL)
            _refused(party, 0)
        parts, views = rare.privacy.colluder_parts, party.ledger.views
        (breach,) = rare_label_breaches(views, 1, parts, listed.rare, withholds=False)
        assert (breach.what, breach.found) == ("the withheld labels", "[12]")


def test_labels_are_stated_once(party: MaskedParty, caplog: pytest.LogCaptureFixture) -> None:
    """Other images come to a hospital, and it says what it has said."""
    request = party._register_request
    before = party.hospital(ALONE).register(request)
    assert before.labels >> FRACTURE & 1
    with patch("clients.rare_labels.labels_of", lambda examples, config: 1):
        after = party.hospital(ALONE).register(request)
    assert (after.labels, after.labels_signature) == (before.labels, before.labels_signature)
    assert "the first statement stands" in caplog.text


# ------------------------------------------------------------------------------- at the coordinator and audit


def test_a_federation_in_which_one_has_a_label_is_clean(rare: Config, honest: RunDirectory) -> None:
    report = audited(honest, *(journal_of(honest, seat) for seat in ALL))
    assert report.findings == []
    assert report.released != ""
    models = [model_file.read(honest.model(number), layout_of(honest)) for number in range(3)]
    base = rows_of(layout_of(honest), FRACTURE, models[0])
    assert base.any()
    for model in models[1:]:
        rows = rows_of(layout_of(honest), FRACTURE, model)
        assert rows.tobytes() == base.tobytes(), "its rows are the base model's, bit for bit"
        assert (rows_of(layout_of(honest), 0, model) != rows_of(layout_of(honest), 0, models[0])).any()
    write_summary(honest)
    assert "**Withheld: Pleural Other, Fracture.**" in honest.summary_path.read_text()


def test_it_is_a_rule_of_training_and_not_of_masking(
    rare: Config, honest: RunDirectory, tmp_path: Path
) -> None:
    """The same hospitals without masks release the same models."""
    sealed = rare.with_changes({"privacy.envelope": "sealed", "federation.rare_labels": "withhold"})
    run = run_federation(sealed, tmp_path / "run")
    assert digests(run) == digests(honest)
    assert audit(run, [coordinator_identity(run).envelope_key]).findings == []


def test_a_resumed_run_withholds_the_same_and_says_so(
    rare: Config, honest: RunDirectory, tmp_path: Path
) -> None:
    """A coordinator dies after a round is final and before its line; the next one asks all anew."""

    class KilledError(Exception):
        pass

    def dies(*given: object) -> None:
        raise KilledError

    with patch("server.records.RoundRecords.write", dies), pytest.raises(KilledError):
        run_federation(rare, tmp_path / "run")
    run = run_federation(rare, tmp_path / "run")
    assert digests(run) == digests(honest)
    assert [line.withheld for line in read_rounds(run)] == [("Pneumonia", "Pleural Other", "Fracture")] * 2
    assert audited(run, *(journal_of(run, seat) for seat in ALL)).findings == []


def journal_of(run: RunDirectory, seat: int) -> Path:
    return run.hospital(seat) / account_in(run, seat).address / "journal.jsonl"


def layout_of(run: RunDirectory) -> Layout:
    return Layout.from_json(run.layout_path.read_text())


@pytest.mark.parametrize("lie", [_without, _with, _claimed, _often, lambda rare: None])
def test_a_coordinator_that_withheld_otherwise_is_convicted(
    rare: Config, tmp_path: Path, lie: Callable[[RareLabels], RareLabels | None]
) -> None:
    """Even where every hospital followed it."""

    def choose(*given: object) -> RareLabels | None:
        made = rare_labels(*given)  # type: ignore[arg-type]
        assert made is not None
        return lie(made)

    one = rare.with_changes({"federation.rounds": 1})
    with patch("server.coordinator.rare_labels", choose), patch("clients.hospital.check_rare_labels"):
        run = run_federation(one, tmp_path / "run")
    report = audited(run)
    assert report.findings != []
    assert {finding.where.split(" of ")[0] for finding in report.findings} <= {
        "the withheld labels",
        "the labels",
        "the statements",
    }
    assert {finding.hospital for finding in report.findings} == {""}, "no hospital is blamed"


def test_an_auditor_cannot_leave_out_that_a_round_withheld_otherwise(rare: Config, tmp_path: Path) -> None:
    """An export has the round's configuration, with what hospitals stated: its reader counts again."""

    def choose(*given: object) -> RareLabels | None:
        made = rare_labels(*given)  # type: ignore[arg-type]
        assert made is not None
        return _without(made)

    one = rare.with_changes({"federation.rounds": 1})
    with patch("server.coordinator.rare_labels", choose), patch("clients.hospital.check_rare_labels"):
        run = run_federation(one, tmp_path / "run")
    out, key = tmp_path / "audit.zip", run.keys / "coordinator.json"
    with patch("fedcxr.audit.round_audit.check_rare_labels"):
        said = CliRunner().invoke(app, ["audit", str(run.root), "--export", str(out), "--sign", str(key)])
    assert said.exit_code == 0, said.output
    verified = verify(out.read_bytes())
    assert any("the report does not say so" in problem for problem in verified.problems)
    assert any("the withheld labels" in found for found in verified.recomputed)


def test_an_export_of_a_round_that_withheld_rightly_is_good(honest: RunDirectory, tmp_path: Path) -> None:
    out, key = tmp_path / "audit.zip", honest.keys / "coordinator.json"
    said = CliRunner().invoke(app, ["audit", str(honest.root), "--export", str(out), "--sign", str(key)])
    assert said.exit_code == 0, said.output
    assert verify(out.read_bytes()).problems == []


@pytest.mark.parametrize("gone", [True, False])
def test_a_statement_that_changes_from_round_to_round_is_found(
    rare: Config, tmp_path: Path, gone: bool
) -> None:
    """One that is gone was left out of the list; a second one its hospital has signed."""
    out, rounds = tmp_path / "run", iter((1, 2))

    def choose(config: Config, ledger: Ledger, members: Mapping[str, HospitalNode]) -> RareLabels | None:
        if next(rounds) == 2:
            account = Identity.load(out / "hospitals" / "0002" / "identity.json").account
            assert ledger.views is not None
            second = Labels(ledger.views.federation, account.address, 1)
            signature = sign(account, second, ledger.views.domain)
            node = replace(members[account.address], labels=1, labels_signature=signature)
            members = {**members, account.address: node}
        made = rare_labels(config, ledger, members)
        assert made is not None
        kept = tuple(one for one in made.statements if not gone or one.labels != 1)
        return replace(made, statements=kept)

    with patch("server.coordinator.rare_labels", choose), patch("clients.hospital.check_rare_labels"):
        run = run_federation(rare, out)
    (finding,) = [one for one in audited(run).findings if one.where == "the labels of seat 2"]
    assert finding.round == 2
    assert "Fracture" in finding.expected
    assert finding.hospital == ("" if gone else account_in(run, ALONE).address)


def _moving(index: int) -> AbstractContextManager[object]:
    """One hospital moves the rows of labels that are withheld."""
    honest = Hospital.train

    def train(self: Hospital, request: object) -> object:
        if self.name != f"synthetic-{index + 1:02}":
            return honest(self, request)  # type: ignore[arg-type]
        with patch("clients.signed_update.clear_rows"):
            return honest(self, request)  # type: ignore[arg-type]

    return patch.object(Hospital, "train", train)


def test_a_sum_that_moved_a_withheld_row_is_not_released(rare: Config, tmp_path: Path) -> None:
    with _moving(ALONE), pytest.raises(QuorumError, match=r"withheld, .*Fracture"):
        run_federation(rare, tmp_path / "run")


def test_a_sum_that_moved_a_withheld_row_is_found(rare: Config, tmp_path: Path) -> None:
    one = rare.with_changes({"federation.rounds": 1})
    with _moving(ALONE), patch("server.coordinator.objection", lambda *given: ""):
        run = run_federation(one, tmp_path / "run")
    found = {(finding.where, finding.hospital) for finding in audited(run).findings}
    assert ("rows of Fracture", "") in found
    assert {where.split(" of ")[0] for where, _ in found} == {"rows"}


def test_a_hospital_that_states_two_things_is_convicted_by_its_journal(
    honest: RunDirectory, tmp_path: Path
) -> None:
    run = copied(honest, tmp_path / "run")
    account, journal, facts = account_in(run, ALONE), journal_of(run, ALONE), run.read_facts()
    second = Labels(federation_id(run.config), account.address, 1)
    signature = sign(account, second, Domain(facts.chain_id, facts.contract))
    line = {"kind": "labels", **signed_to_tree(Signed(second, signature))}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
    (finding,) = audited(run, journal).findings
    assert finding.hospital == account.address
    assert "Fracture" in finding.expected
    assert "No Finding" in finding.found


def test_a_line_that_names_other_labels_is_found(honest: RunDirectory, tmp_path: Path) -> None:
    run = copied(honest, tmp_path / "run")
    text = run.metrics.path.read_text()
    assert '"Fracture"' in text
    run.metrics.path.write_text(text.replace(', "Fracture"', ""))
    assert {finding.where for finding in audited(run).findings} == {"metrics.jsonl withheld"}


def test_a_hospital_that_states_nothing_is_not_registered(rare: Config, tmp_path: Path) -> None:
    honest = Hospital.register

    def register(self: Hospital, request: RegisterRequest) -> RegisterReply:
        reply = honest(self, request)
        other = replace(reply, labels=reply.labels ^ 1 << FRACTURE)
        return other if self.name == "synthetic-01" else reply

    watched = Recorder()
    one = rare.with_changes({"federation.rounds": 1})
    with patch.object(Hospital, "register", register):
        run = run_federation(one, tmp_path / "run", observer=watched)
    (left,) = watched.of(NotRegistered)
    assert isinstance(left, NotRegistered)
    assert "states no labels" in left.reason
    assert audited(run).findings == []
