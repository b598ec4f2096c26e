"""The adversary writes what somebody else's terminal shows: reasons, names, notes, errors, files and URLs.

Whatever it writes is one line there. It moves no cursor, chooses no colour, makes no link and begins
no line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import told_run
from federation import run_federation
from planted import MARK, WORDS, A, Show, check

from fedcxr.api.audit import audit_keys
from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack, unpack
from fedcxr.audit.export.export import AuditStatement, Exhibits, export, hashlib
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config
from fedcxr.ledger.signing import Domain, sign
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("hostile") / "run", evaluated=True).root


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def rename_hospitals(run: Path) -> None:
    """Give the hospitals of ``metrics.jsonl`` planted names, and the round a planted exclusion and model."""
    path = run / "metrics.jsonl"
    tree = json.loads(path.read_text())
    tree["hospitals"] = {f"{i}{WORDS}": entry for i, entry in enumerate(tree["hospitals"].values())}
    scores = tree["evaluation"]["hospitals"]
    tree["evaluation"]["hospitals"] = {f"{i}{WORDS}": entry for i, entry in enumerate(scores.values())}
    tree["excluded"] = {WORDS: WORDS}
    path.write_text(json.dumps(tree) + "\n")


def plant_files(run: Path) -> None:
    """Names of files that a listing would print."""
    for folder, name in (
        ("blobs/aa", WORDS),
        ("blobs", f"{WORDS}2"),
        ("models", f"{WORDS}.tmp"),
        (".", WORDS),
    ):
        place = run / folder / name.replace("/", "-")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x")
    os.close(os.open(os.fsencode(run / "blobs") + b"/\xff\x1b\n" + MARK.encode(), os.O_CREAT | os.O_WRONLY))


def plant_journal(run: Path) -> None:
    for path in run.glob("hospitals/*/0x*/journal.jsonl"):
        line = {"kind": "Submission", "signature": WORDS, "hospital": WORDS, WORDS: WORDS}
        path.write_text(json.dumps(line) + "\n" + json.dumps({"kind": WORDS}) + "\n")


PLANTS = {"metrics": rename_hospitals, "files": plant_files, "journals": plant_journal}


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize("what", PLANTS)
def test_findings_and_notes_of_an_audit_are_lines(run: Path, show: Show, what: str, coloured: bool) -> None:
    PLANTS[what](run)
    journals = [x for path in run.glob("hospitals/*/0x*/journal.jsonl") for x in ("--journal", path)]
    said = show("audit", run, *(journals if what == "journals" else ()), coloured=coloured)
    assert said.code == 90, said.all
    assert MARK in said.all
    assert all(line[0] in "✗?·✓" for line in said.out.splitlines())
    json.loads(show("audit", run, "--json").out)


def test_a_run_that_is_complete_is_said_and_its_pages_hold_no_html(run: Path, show: Show) -> None:
    rename_hospitals(run)
    said = show("simulate", "--resume", run, "--no-report")
    assert said.code in (0, 60), said.all
    from fedcxr.report.summary import write_summary

    page = check(write_summary(RunDirectory(run)).read_text())
    assert MARK in page
    assert "<img" not in page
    assert not [line for line in page.splitlines() if line.startswith("|") and line.count(" | ") > 20]


def test_garbage_is_named_on_one_line(run: Path, show: Show) -> None:
    plant_files(run)
    said = show("store", "gc", run, "--dry-run", coloured=True)
    assert said.code == 0, said.all
    listed = [line for line in said.out.splitlines() if MARK in line]
    assert listed
    assert all(" bytes, " in line for line in listed)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.toml", lambda t: f"{t}\n[{json.dumps(WORDS)}]\n", ("audit", "{run}")),
        (
            "config.toml",
            lambda t: re.sub("(?m)^name = .*", lambda _: f"name = {json.dumps(WORDS)}", t, count=1),
            ("audit", "{run}"),
        ),
        (
            "config.toml",
            lambda t: t.replace("[store]\n", f"[store]\nurl = {json.dumps('s3://' + WORDS)}\n"),
            ("audit", "{run}"),
        ),
        ("config.toml", lambda t: t + WORDS, ("report", "{run}")),
        ("config.toml", lambda t: t + WORDS, ("simulate", "--resume", "{run}")),
        ("ledger.json", lambda t: json.dumps({WORDS: WORDS}), ("ledger", "show", "{run}")),
        (
            "ledger.json",
            lambda t: json.dumps({**json.loads(t), "contract": WORDS, "federation": WORDS}),
            ("audit", "{run}"),
        ),
        ("layout.json", lambda t: json.dumps({WORDS: WORDS}), ("audit", "{run}")),
        (
            "metrics.jsonl",
            lambda t: json.dumps({"round": 1, WORDS: WORDS, "model": 1}) + "\n",
            ("report", "{run}"),
        ),
        ("partition.json", lambda t: json.dumps({WORDS: WORDS}), ("report", "{run}")),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else "-".join(value) if isinstance(value, tuple) else ""
    ),
)
def test_an_error_is_one_line(
    run: Path, show: Show, file: str, change: Callable[[str], str], words: tuple[str, ...]
) -> None:
    (run / file).write_text(change((run / file).read_text()))
    said = show(*(word.replace("{run}", str(run)) for word in words))
    assert said.code, said.all
    assert re.match(r"[A-Z]\w+: ", said.err.splitlines()[0]) or said.out
    assert len(said.err.splitlines()) == 2


def test_an_image_and_a_table_of_the_strangers_are_named_on_one_line(
    run: Path, show: Show, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    row = json.dumps(f"data/patient1/study1/{WORDS.replace('`', '')}.jpg")
    table = tmp_path / "data" / "t.csv"
    table.write_bytes(f"Path\n{json.loads(row)!s}\n".replace("so\n", "so").replace("\r", "").encode())
    said = show("predict", run, "--data", tmp_path / "data", "--csv", table, "--out", tmp_path / "p.csv")
    assert said.code in (20, 21, 22), said.all
    assert MARK in said.err


# An export ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(finished: Path) -> bytes:
    run = RunDirectory(finished)
    source = RunLedger(run)
    exhibits, scope = Exhibits(source), Scope()
    keys, _ = audit_keys(run, None)
    report = conduct_audit(source, RunSources(run), Request(keys, scope=scope), keep=exhibits.keep)
    return export(report, exhibits, scope, told_run.account(7), lambda: "2026-01-01T00:00:00Z")


def made(file: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The export, with another statement, signed by a stranger."""
    members = {k: v for k, v in unpack(file).items() if k not in (MANIFEST, SIGNATURE)}
    audit = json.loads(members["audit.json"])
    change(audit)
    members["audit.json"] = canonical(audit)
    contract = json.loads(members["contract.json"])
    members[MANIFEST] = manifest_of(members)
    stranger = told_run.account(8)
    statement = AuditStatement(hashlib.sha256(members[MANIFEST]).digest())
    signature = sign(stranger, statement, Domain(contract["chain_id"], contract["address"]))
    seal = {"address": stranger.address, "signature": "0x" + bytes(signature).hex()}
    return pack({**members, SIGNATURE: canonical(seal)})


def _notes(audit: dict[str, Any]) -> None:
    audit |= {"made": WORDS, "fedcxr": WORDS, "opened_by": [WORDS]}
    audit["report"]["notes"].append(f"so far {WORDS}")


def _findings(audit: dict[str, Any]) -> None:
    finding = {"where": WORDS, "expected": WORDS, "found": WORDS, "round": 1, "hospital": WORDS}
    audit["report"] |= {"findings": [finding], "clean": False, "proven": False}


def _unchecked(audit: dict[str, Any]) -> None:
    sealed = f"round 1, {A}: what is sealed in its update ({WORDS})"
    audit["report"] |= {"unchecked": [WORDS, sealed], "complete": False}


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize("change", [_notes, _findings, _unchecked])
def test_what_an_export_states_is_a_line_each(
    exported: bytes, tmp_path: Path, show: Show, change: Callable[[dict[str, Any]], None], coloured: bool
) -> None:
    (tmp_path / "audit.zip").write_bytes(made(exported, change))
    said = show("audit", "verify", tmp_path / "audit.zip", coloured=coloured)
    assert MARK in said.out
    assert all(line[0] in "✗?·✓" for line in said.out.splitlines())
    json.loads(show("audit", "verify", tmp_path / "audit.zip", "--json").out)
