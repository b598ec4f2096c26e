"""The adversary writes what somebody else's terminal shows: reasons, names, notes, errors, files and URLs.

Whatever it writes is one line there. It moves no cursor, chooses no colour, makes no link and begins
no line.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import told_run
from federation import run_federation

from fedcxr.api.audit import audit_keys
from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack, unpack
from fedcxr.audit.export.export import AuditStatement, Exhibits, export, hashlib
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.cli import main
from fedcxr.config import Config
from fedcxr.indexer import follow
from fedcxr.indexer.location import opened
from fedcxr.indexer.members import Members
from fedcxr.ledger.signing import Domain, sign
from fedcxr.run.logfile import log_to
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics
from server.console import Console
from server.event_log import log_event
from server.events import Event, FederationStarted, HospitalAnswered, NotRegistered, RoundFinalized

ROOT = Path(__file__).resolve().parents[2]
MARK = "PLANTED"
WORDS = (
    "so\nPLANTED\rPLANTED\x1b[2J\x1b]0;t\x07\x9b31m\x7f\u2028PLANTED\u2029\x85PLANTED\x0bPLANTED\t\u202e"
    "\u2066\u200b\u200f\u061c [red]x[/red] [/] [link=http://192.0.2.7]y[/link] :bomb: <img src=x> | `z $x$"
)
OURS = re.compile(r"\r?\x1b\[([0-9;]*m|\?25[lh]|\d*[AK])")  # colours, and a bar that is drawn anew
A = "0x" + "11" * 20


@dataclass(frozen=True)
class Shown:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Show = Callable[..., Shown]


def check(text: str, *, coloured: bool = False) -> str:
    """No character of a text commands a terminal, and nothing planted begins a line."""
    if coloured:
        text = OURS.sub("", text)
    commands = {c for c in text if not c.isprintable() and c != "\n"}
    assert not commands, (commands, text)
    assert not [line for line in text.splitlines() if re.match(f" ?{MARK}", line)], text
    return text


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Show]:
    """Run a command to its end, and check what it printed; no traceback is one."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("COLUMNS", "100")

    def shown(*words: object, coloured: bool = False) -> Shown:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["fedcxr", *map(str, words)])
            if coloured:
                patch.setenv("FORCE_COLOR", "1")
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return Shown(
            int(ended.value.code or 0), check(said.out, coloured=coloured), check(said.err, coloured=coloured)
        )

    yield shown


# The ledger ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on whose ledger every reason is planted, and in whose metrics every name."""
    root = tmp_path_factory.mktemp("told") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told_run, "NASTY", WORDS)
        party = told_run.tell(root)
    hospitals = {f"{i}{WORDS}\udc1b": {"address": a} for i, a in enumerate(party.addresses)}
    (root / "metrics.jsonl").write_text(json.dumps({"round": 1, "hospitals": hospitals}) + "\n")
    return root


def who(run: Path) -> str:
    """The address of a hospital of the run."""
    (line,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return str([entry["address"] for entry in line["hospitals"].values()][2])


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize(
    "words", ["show", "rounds", "hospital", "update", "rewards", "bond"], ids=lambda word: f"ledger-{word}"
)
def test_the_ledgers_words_are_only_words(told: Path, show: Show, words: str, coloured: bool) -> None:
    asked = {"hospital": (who(told),), "update": ("1", who(told))}.get(words, ())
    said = show("ledger", words, *asked, told, coloured=coloured)
    assert said.code == 0, said.all
    if words != "bond":
        assert "[red]" in said.out
        shown = "".join(said.out.split())  # a cell may be folded within a word
        assert "\\x1b[2J" in shown
        assert ":bomb:" in shown
    tree = show("ledger", words, *asked, told, "--json")
    json.loads(tree.out)


def test_a_name_that_nobody_has_is_answered_with_those_there_are(told: Path, show: Show) -> None:
    said = show("ledger", "hospital", "nobody", told, coloured=True)
    assert said.code == 50
    assert "[red]x[/red] [/]" in said.err


def test_an_event_is_a_line(told: Path, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    def finite(location: Any, **options: Any) -> Iterator[object]:
        yield follow.Notice("away", WORDS)
        with opened(location, progress=options["progress"]) as ledger:
            members = Members.of(ledger.index)
            for name, row in ledger.index.after(0):
                yield follow.Seen(name, row, members)

    monkeypatch.setattr(follow, "follow", finite)
    (told / "ledger.index.sqlite").unlink(missing_ok=True)
    said = show("ledger", "watch", told)
    assert sum(MARK in line for line in said.err.splitlines()) == 1
    lines = said.out.splitlines()
    assert sum("RoundAborted" in line and MARK in line for line in lines) == 1
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines)
    for line in show("ledger", "watch", told, "--json").out.splitlines():
        json.loads(line)


# A run directory ----------------------------------------------------------------------------------------


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


# Messages of hospitals ----------------------------------------------------------------------------------

METRICS = HospitalMetrics("ab" * 16, 10, 20, 2, 1.0, 0.1, 0.3, {"bce": 0.3}, 7)
EVENTS: tuple[Event, ...] = (
    NotRegistered(1, WORDS),
    FederationStarted({A: WORDS}, {A: 10}, 2, 3),
    HospitalAnswered(2, A, WORDS, None, None),
    HospitalAnswered(2, WORDS, WORDS, None, None),
    HospitalAnswered(2, A, "", METRICS, 0.9),
    HospitalAnswered(2, A, "", None, None),
    RoundFinalized(2, bytes(32), (WORDS,), 1.0, None),
)


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
def test_what_hospitals_say_is_a_line_each_on_screen_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, coloured: bool
) -> None:
    if coloured:
        monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console()
    with log_to(tmp_path / "run.log"):
        for event in EVENTS:
            console(event)
            log_event(event)
    said = check(capsys.readouterr().out, coloured=coloured)
    assert "[red]x[/red] [/]" in said
    assert len(check((tmp_path / "run.log").read_text()).splitlines()) == len(EVENTS)


# The edge -----------------------------------------------------------------------------------------------

_PRINTS = re.compile(
    r"print|((typer|click)\.)?(secho|echo|echo_via_pager)|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?"
    r"|.*\.from_(markup|ansi)"
)
_OF_RICH = {"rich", "rich.console", "rich.markup", "rich.prompt", "rich.pretty", "rich.traceback"}


def prints(path: Path) -> Iterator[str]:
    """Where a file writes to the terminal, and not through :mod:`fedcxr.terminal`."""
    tree = ast.parse(path.read_text())
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    passed = {inner for node in for_types for inner in ast.walk(node)}
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if _PRINTS.fullmatch(called):
                yield f"{where} calls {called}"
        elif isinstance(node, ast.ImportFrom) and node not in passed and node.module in _OF_RICH:
            yield f"{where} imports {', '.join(alias.name for alias in node.names)} of {node.module}"
        elif isinstance(node, ast.Import) and any(alias.name in _OF_RICH for alias in node.names):
            yield f"{where} imports rich"


def test_nobody_prints_past_the_edge() -> None:
    sources = [p for folder in ("fedcxr", "server", "clients") for p in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 200
    found = [said for p in sources if ROOT / "fedcxr" / "terminal" not in p.parents for said in prints(p)]
    assert found == []
