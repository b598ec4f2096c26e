"""A finished run, damaged in every place: the audit must name what is not as the ledger says."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from fedcxr.audit.audit import audit
from fedcxr.audit.findings import FIRST_MODEL, AuditReport, Finding
from fedcxr.config import load
from fedcxr.errors import ConfigError, EnvelopeError, LedgerError, StoreError
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import LedgerFacts, RunDirectory
from fedcxr.training.first_model import FirstModel
from fedcxr.update.model_file import read, vector_digest

Audit = Callable[[RunDirectory], AuditReport]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def blobs(run: RunDirectory) -> list[Path]:
    """Those that rounds name; configuration, layout and first model are in the store as well."""
    started = {path.name for path in beginnings(run)}
    return sorted(p for p in (run.root / "blobs").rglob("*") if p.is_file() and p.name not in started)


def beginnings(run: RunDirectory) -> list[Path]:
    """The layout, the first model and the configuration in the store."""
    layout = run.read_layout()
    first = vector_digest(read(run.model(0), layout))
    digests = (layout.digest, first, run.config.digest())
    return [run.root / "blobs" / digest.hex()[:2] / digest.hex() for digest in digests]


def updates(run: RunDirectory) -> list[Path]:
    return [p for p in blobs(run) if p.stat().st_size > 10_000]


def only(report: AuditReport) -> Finding:
    assert len(report.findings) == 1, [str(f) for f in report.findings]
    return report.findings[0]


def state(run: RunDirectory) -> dict[str, tuple[int, int, bytes]]:
    """Everything that can be seen of a directory from outside."""
    paths = [run.root, *run.root.rglob("*")]
    return {
        str(p): (p.stat().st_mtime_ns, p.stat().st_mode, p.read_bytes() if p.is_file() else b"")
        for p in paths
    }


@pytest.mark.parametrize("who", ["auditor", "coordinator"])
def test_a_clean_run_is_recomputed_with_either_key_and_not_written_to(copy: RunDirectory, who: str) -> None:
    before = state(copy)
    report = audit(copy, [Identity.load(copy.keys / f"{who}.json").envelope_key])
    assert (report.findings, report.unchecked) == ([], [])
    assert (report.rounds, report.updates) == (2, 6)
    assert report.released == read_rounds(copy)[-1].model
    assert report.bytes == sum(p.stat().st_size for p in updates(copy))
    assert state(copy) == before


def test_without_a_key_nothing_that_is_sealed_counts_as_checked(copy: RunDirectory) -> None:
    report = audit(copy, [])
    assert report.clean
    assert not report.complete
    assert report.released == ""
    assert len(report.unchecked) == 7
    assert sum("no key" in said for said in report.unchecked) == 6
    assert "released model" in report.unchecked[-1]


def test_without_a_key_bytes_and_model_files_are_checked_all_the_same(copy: RunDirectory) -> None:
    flip(updates(copy)[0], 9000)
    copy.model(2).write_bytes(copy.model(1).read_bytes())
    found = [f.where for f in audit(copy, []).findings]
    assert found == ["blob", "round-0002.safetensors"] or found == ["round-0002.safetensors", "blob"]


def test_a_strangers_key_is_refused_and_accuses_nobody(finished: RunDirectory) -> None:
    with pytest.raises(EnvelopeError, match="neither the coordinator's nor the auditor's"):
        audit(finished, [EnvelopePrivateKey.generate("MLKEM768_X25519")])


def test_a_flipped_byte_of_every_blob_is_a_finding_of_its_own(copy: RunDirectory, quick_audit: Audit) -> None:
    rng = random.Random(1)
    everything = blobs(copy)
    assert len(everything) == 2 + 6 + 6  # round configurations, updates, metrics
    for path in everything:
        flip(path, rng.randrange(path.stat().st_size), rng.randrange(8))
    report = quick_audit(copy)
    by_name = {f.expected: f for f in report.findings}
    assert set(by_name) == {p.name for p in everything}
    for path in everything:
        finding = by_name[path.name]
        assert "its bytes have the root" in finding.found
        assert finding.round in (1, 2)
        assert bool(finding.hospital) == (finding.where in ("blob", "metrics"))
    assert report.released == ""


def test_what_the_store_holds_of_the_beginning_must_be_what_it_says(
    copy: RunDirectory, quick_audit: Audit
) -> None:
    for path in beginnings(copy):
        flip(path, path.stat().st_size // 2)
        assert path.name in only(quick_audit(copy)).where
        flip(path, path.stat().st_size // 2)
    assert quick_audit(copy).clean


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_byte_at_any_place_of_a_blob_is_found(
    copy: RunDirectory, quick_audit: Audit, seed: int
) -> None:
    rng = random.Random(seed)
    path = rng.choice(blobs(copy))
    flip(path, rng.randrange(path.stat().st_size), rng.randrange(8))
    assert only(quick_audit(copy)).expected == path.name


def test_a_damaged_update_leaves_the_other_rounds_checked(copy: RunDirectory, quick_audit: Audit) -> None:
    """The next round starts from the model that the ledger holds, which the model's file still has."""
    view_of = {line.model: line.round for line in read_rounds(copy)}
    assert len(view_of) == 2
    victim = updates(copy)[0]
    flip(victim, victim.stat().st_size - 1)
    report = quick_audit(copy)
    assert only(report).where == "blob"
    assert report.released == ""
    assert any("released model" in said for said in report.unchecked)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def directory_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [remove, truncate, empty, directory_instead])
def test_a_blob_that_is_gone_or_cut_short_is_named(
    copy: RunDirectory, quick_audit: Audit, damage: Callable[[Path], None]
) -> None:
    everything = blobs(copy)
    for path in everything:
        damage(path)
    report = quick_audit(copy)
    assert {f.expected for f in report.findings} == {p.name for p in everything}


def test_a_store_that_is_gone_is_named_and_not_made_again(copy: RunDirectory, quick_audit: Audit) -> None:
    shutil.rmtree(copy.root / "blobs")
    before = state(copy)
    assert {f.where for f in quick_audit(copy).findings} == {"round configuration", "blob", "metrics"}
    assert state(copy) == before


def test_two_hospitals_swapped_blobs_are_both_named(copy: RunDirectory, quick_audit: Audit) -> None:
    a, b = updates(copy)[:2]
    a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_bytes)
    b.write_bytes(a_bytes)
    found = {f.expected: f for f in quick_audit(copy).findings}
    assert set(found) == {a.name, b.name}
    assert b.name in found[a.name].found
    assert all(f.hospital for f in found.values())


def test_a_blob_that_the_ledger_does_not_name_must_be_what_it_says(
    copy: RunDirectory, quick_audit: Audit
) -> None:
    """Rejected updates and those of aborted rounds are in the store too."""
    store = copy.blob_store()
    root = store.put(b"a rejected update")
    assert quick_audit(copy).clean
    flip(Path(store.path(root)), 3)
    assert root.hex() in only(quick_audit(copy)).where
    Path(store.path(root)).unlink()
    (copy.root / "blobs" / "stray").write_bytes(b"?")
    assert only(quick_audit(copy)).where == "blobs/stray"
    (copy.root / "blobs" / "stray").rename(copy.root / "blobs" / "died.tmp")
    assert quick_audit(copy).clean


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_byte_anywhere_in_a_model_file_is_found(
    copy: RunDirectory, quick_audit: Audit, number: int
) -> None:
    path = copy.model(number)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    rng = random.Random(number)
    places = [0, 3, 7, 8, header - 1, header, len(whole) - 1]
    places += [rng.randrange(header) for _ in range(8)] + [rng.randrange(len(whole)) for _ in range(4)]
    for offset in places:
        flip(path, offset, rng.randrange(8))
        report = quick_audit(copy)
        found = {f.where for f in report.findings}
        assert path.name in found, offset
        assert all(f.where == path.name for f in report.findings) or number == 0
        path.write_bytes(whole)
    assert quick_audit(copy).clean


def test_a_changed_model_file_says_from_which_byte_on(copy: RunDirectory, quick_audit: Audit) -> None:
    path = copy.model(2)
    size = path.stat().st_size
    flip(path, size - 7)
    finding = only(quick_audit(copy))
    assert (finding.round, finding.where) == (2, path.name)
    assert f"first difference at byte {size - 7}" in finding.found
    path.write_bytes(path.read_bytes()[:100])
    assert "100 bytes" in only(quick_audit(copy)).found


def test_another_rounds_model_in_its_place_is_found(copy: RunDirectory, quick_audit: Audit) -> None:
    copy.model(1).write_bytes(copy.model(2).read_bytes())
    assert only(quick_audit(copy)).where == "round-0001.safetensors"


def test_the_released_model_must_be_there(copy: RunDirectory, quick_audit: Audit) -> None:
    copy.model(2).unlink()
    finding = only(quick_audit(copy))
    assert (finding.round, finding.found) == (2, "no such file")


def test_an_older_model_may_be_pruned(copy: RunDirectory, quick_audit: Audit) -> None:
    copy.model(1).unlink()
    report = quick_audit(copy)
    assert report.clean
    assert report.released


def test_without_the_file_of_the_first_model_it_is_made_again(copy: RunDirectory, quick_audit: Audit) -> None:
    copy.model(0).unlink()
    report = quick_audit(copy)
    assert only(report).where == "round-0000.safetensors"
    assert report.released


def test_without_the_first_model_sums_are_checked_and_nothing_is_released(
    copy: RunDirectory, quick_audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.model(0).unlink()
    of, seed = FirstModel.of, copy.config.seed
    monkeypatch.setattr(FirstModel, "of", lambda c, w: of(c.with_changes({"seed": seed + 1}), w))
    report = quick_audit(copy)
    assert only(report).where == "round-0000.safetensors"
    assert report.released == ""
    assert any(said.startswith(FIRST_MODEL) for said in report.unchecked)


def test_a_model_that_no_round_released_is_found(copy: RunDirectory, quick_audit: Audit) -> None:
    shutil.copy(copy.model(1), copy.model(3))
    assert only(quick_audit(copy)).where == "round-0003.safetensors"


@pytest.mark.parametrize("name", ["config.toml", "layout.json", "ledger.json"])
def test_a_flipped_byte_of_a_small_file_is_a_finding_and_no_exception(
    copy: RunDirectory, quick_audit: Audit, name: str
) -> None:
    path = copy.root / name
    whole = path.read_bytes()
    config = load(copy.config_path)
    facts = copy.read_facts()
    rng = random.Random(name)
    harmless = 0
    for offset in rng.sample(range(len(whole)), min(30, len(whole))):
        flip(path, offset, rng.randrange(8))
        if report := quick_audit(copy).findings:
            assert any(f.where.split()[0] == name for f in report), (offset, report)
        elif name == "config.toml":  # 1e-05 and 1E-05 are one value: the ledger holds values
            harmless += 1
            assert load(path) == config
        else:
            harmless += 1
            assert name == "ledger.json"
            assert copy.read_facts() == facts
        path.write_bytes(whole)
    assert harmless < 4


@pytest.mark.parametrize("name", ["config.toml", "layout.json", "ledger.json", "ledger.sqlite"])
@pytest.mark.parametrize("damage", [remove, truncate, empty, directory_instead])
def test_a_file_that_is_gone_or_cut_short_is_a_finding_and_no_exception(
    copy: RunDirectory, auditor_key: EnvelopePrivateKey, name: str, damage: Callable[[Path], None]
) -> None:
    damage(copy.root / name)
    before = state(copy)
    report = audit(copy, [auditor_key])
    assert any(f.where.split()[0].startswith((name, "the")) for f in report.findings), report.findings
    assert report.released == "" or name == "config.toml"
    assert report.released or report.unchecked
    assert state(copy) == before


@pytest.mark.parametrize("text", ["[" * 100_000, "[1, 2]", '{"federation": 1}', "null", "\\ud800"])
def test_nonsense_in_a_json_file_is_a_finding(copy: RunDirectory, quick_audit: Audit, text: str) -> None:
    for path in (copy.layout_path, copy.metrics.path):
        whole = path.read_bytes()
        path.write_text(text + "\n")
        assert any(f.where.startswith(path.name) for f in quick_audit(copy).findings), path
        path.write_bytes(whole)
    (copy.root / "ledger.json").write_text(text)
    assert only(quick_audit(copy)).where == "ledger.json"


def test_facts_of_another_type_are_a_finding(copy: RunDirectory, quick_audit: Audit) -> None:
    tree = json.loads((copy.root / "ledger.json").read_text())
    for key, value in (("contract", 5), ("contract", ""), ("federation", None), ("chain_id", "1")):
        (copy.root / "ledger.json").write_text(json.dumps({**tree, key: value}))
        assert only(quick_audit(copy)).where == "ledger.json"


def test_another_contract_or_chain_is_named(copy: RunDirectory, quick_audit: Audit) -> None:
    facts = copy.read_facts()
    copy.write_facts(LedgerFacts(facts.federation, 1, facts.contract))
    finding = only(quick_audit(copy))
    assert (finding.where, finding.expected, finding.found) == ("ledger.json chain_id", "61370", "1")
    copy.write_facts(LedgerFacts(facts.federation, facts.chain_id, "0x" + "11" * 20))
    assert only(quick_audit(copy)).where == "ledger.json contract"
    copy.write_facts(LedgerFacts("ab" * 32, facts.chain_id, facts.contract))
    assert only(quick_audit(copy)).where == "ledger.json federation"


def rewrite(run: RunDirectory, lines: Iterable[Mapping[str, object]]) -> None:
    run.metrics.path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_metrics_that_are_not_the_ledgers_are_named(copy: RunDirectory, quick_audit: Audit) -> None:
    lines = copy.metrics.read()
    (name, entry), *_ = lines[1]["hospitals"].items()

    def with_changes(**changes: object) -> list[dict[str, object]]:
        return [lines[0], {**lines[1], **changes}]

    def with_entry(**changes: object) -> list[dict[str, object]]:
        return with_changes(hospitals={**lines[1]["hospitals"], name: {**entry, **changes}})

    for changed, where in (
        (with_changes(model="00" * 32), "metrics.jsonl model"),
        (with_changes(included=[]), "metrics.jsonl included"),
        (with_changes(excluded={"0x": "no"}), "metrics.jsonl excluded"),
        (with_changes(hospitals=[]), "metrics.jsonl hospitals"),
        (with_entry(loss=entry["loss"] + 1e-9), f"metrics.jsonl hospitals.{name}.loss"),
        (with_entry(images=1), f"metrics.jsonl hospitals.{name}.images"),
        (with_entry(better=1), f"metrics.jsonl hospitals.{name}.better"),
    ):
        rewrite(copy, changed)
        finding = only(quick_audit(copy))
        assert (finding.where, finding.round) == (where, 2)
    rewrite(copy, with_entry(address="0x" + "11" * 20))
    stranger, missing = quick_audit(copy).findings
    assert stranger.where == f"metrics.jsonl hospitals.{name}.address"
    assert (missing.where, missing.hospital) == ("metrics.jsonl hospitals", entry["address"])


def test_a_line_too_many_is_named(copy: RunDirectory, quick_audit: Audit) -> None:
    lines = copy.metrics.read()
    rewrite(copy, [*lines, lines[1]])
    assert only(quick_audit(copy)).where == "metrics.jsonl line 3"
    rewrite(copy, [*lines, {**lines[1], "round": 9}])
    assert only(quick_audit(copy)).found == "a line of round 9"


def test_another_partition_than_the_rounds_name_is_found(copy: RunDirectory, quick_audit: Audit) -> None:
    digest = copy.partition_digest()
    flip(copy.partition_path, 100)
    finding = only(quick_audit(copy))
    assert (finding.where, finding.expected) == ("partition.json", digest)
    copy.partition_path.unlink()
    assert only(quick_audit(copy)).found == "no such file"


def test_a_line_of_metrics_that_is_none_is_named(copy: RunDirectory, quick_audit: Audit) -> None:
    flip(copy.metrics.path, 0)
    report = quick_audit(copy)
    assert only(report).where == "metrics.jsonl line 1"
    assert any("no line" in said for said in report.unchecked)


def test_a_line_of_metrics_that_a_crash_cut_short_or_lost_is_only_unchecked(
    copy: RunDirectory, quick_audit: Audit
) -> None:
    copy.metrics.path.write_bytes(copy.metrics.path.read_bytes()[:-40])
    report = quick_audit(copy)
    assert report.clean
    assert report.unchecked == ["round 2: metrics.jsonl has no line of it"]
    copy.metrics.path.unlink()
    assert len(quick_audit(copy).unchecked) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM chain WHERE key = (SELECT key FROM chain ORDER BY length(value) DESC LIMIT 1)",
        "UPDATE chain SET value = zeroblob(length(value)) WHERE key ="
        " (SELECT key FROM chain ORDER BY length(value) DESC LIMIT 1 OFFSET 1)",
        "INSERT INTO chain VALUES (x'1234', x'5678')",
    ],
)
def test_a_row_of_the_ledger_that_is_changed_is_named(
    copy: RunDirectory, auditor_key: EnvelopePrivateKey, statement: str
) -> None:
    connection = sqlite3.connect(copy.chain_path)
    assert connection.execute(statement).rowcount == 1
    connection.commit()
    connection.close()
    report = audit(copy, [auditor_key])
    assert not report.clean
    assert any("ledger.sqlite" in f.where or "block" in f.where for f in report.findings), report.findings


def test_a_chain_with_a_flipped_byte_is_a_finding_and_no_exception(
    copy: RunDirectory, auditor_key: EnvelopePrivateKey
) -> None:
    whole = copy.chain_path.read_bytes()
    rng = random.Random(3)
    for _ in range(4):
        offset = rng.randrange(len(whole))
        flip(copy.chain_path, offset, rng.randrange(8))
        report = audit(copy, [auditor_key])
        # SQLite's free space says nothing; everything else must be found.
        assert report.findings or report.released, offset
        copy.chain_path.write_bytes(whole)


def test_a_place_without_a_run_has_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run directory"):
        audit(RunDirectory(tmp_path), [])


def test_a_run_without_a_ledger_has_an_error_of_its_own(copy: RunDirectory) -> None:
    copy.chain_path.unlink()
    facts = copy.read_facts()
    copy.write_facts(LedgerFacts(facts.federation, 0, ""))
    with pytest.raises(LedgerError, match="nothing to audit"):
        audit(copy, [])
    (copy.root / "ledger.json").unlink()
    with pytest.raises(LedgerError, match="no ledger yet"):
        audit(copy, [])


def test_a_damaged_configuration_does_not_hide_the_blobs(copy: RunDirectory, quick_audit: Audit) -> None:
    copy.config_path.write_text("not = [toml")
    with pytest.raises(ConfigError):
        copy.blob_store()
    report = quick_audit(copy)
    assert only(report).where == "config.toml"
    assert report.released
