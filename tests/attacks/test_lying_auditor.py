"""The auditor is bought: its export has every event, and its report leaves out what they prove.

All of it is signed anew, so that nothing but the events speaks against the report.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from federation import run_federation
from test_coordinator_drops import dropping, give_up
from typer.testing import CliRunner, Result

from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack, unpack
from fedcxr.audit.export.export import AuditStatement
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import (
    AUDITOR,
    Departure,
    Domain,
    Refusal,
    Registration,
    Rotation,
    sign,
)
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Edit = Callable[[Any], None]  # of audit.json
ANOTHER: LocalAccount = Account.from_key(b"\x09" * 32)
FINDING = {"where": "x", "expected": "y", "found": "z", "round": None, "hospital": ""}


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)], env={"COLUMNS": "400"})


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity.load_or_create(tmp_path_factory.mktemp("auditor") / "auditor.json", "X25519")


def write(run: RunDirectory, change: Callable[[FederationLedger], None]) -> str:
    """What the coordinator writes after the run; the hash of the head then."""
    coordinator = Identity.load(run.keys / "coordinator.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        change(FederationLedger(chain.w3, run.read_facts().contract, coordinator))
        return bytes(chain.w3.eth.get_block("latest")["hash"]).hex()


def join(ledger: FederationLedger, auditor: Identity) -> None:
    key = auditor.envelope_key.public.data
    joining = Registration(
        ledger.views.federation, auditor.account.address, AUDITOR, 0, hashlib.sha256(key).digest()
    )
    ledger.register(joining, key, sign(auditor.account, joining, ledger.domain))


@pytest.fixture(scope="module")
def honest(small_config: Config, bought: Identity, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes({"federation.rounds": 1})
    run = run_federation(config, tmp_path_factory.mktemp("lying") / "run")
    write(run, lambda ledger: join(ledger, bought))
    return run


@pytest.fixture
def run(honest: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(honest.root, tmp_path / "run"))


def exported(run: RunDirectory, place: Path) -> dict[str, bytes]:
    call(run.root, "--export", place)
    return unpack(place.read_bytes())


def resigned(
    members: dict[str, bytes], place: Path, signer: LocalAccount, edit: Edit = lambda tree: None
) -> Path:
    """The export with another report, as its auditor signs it."""
    tree, chain = json.loads(members["audit.json"]), json.loads(members["chain.json"])
    edit(tree)
    kept = {k: v for k, v in members.items() if k not in (MANIFEST, SIGNATURE)} | {
        "audit.json": canonical(tree)
    }
    manifest = manifest_of(kept)
    statement = AuditStatement(hashlib.sha256(manifest).digest())
    signature = sign(signer, statement, Domain(chain["chain_id"], chain["contract"]))
    kept[MANIFEST] = manifest
    kept[SIGNATURE] = canonical({"address": signer.address, "signature": "0x" + signature.hex()})
    place.write_bytes(pack(kept))
    return place


def clean(tree: Any) -> None:
    """A report in which nothing was found."""
    tree["report"].update(findings=[], clean=True, proven=True)


def caught(result: Result, by: str) -> str:
    assert isinstance(result.exception, AuditFailedError), result.output
    assert result.exception.exit_code == 90
    assert f"{by} states otherwise" in result.output
    return result.output


def test_a_dropped_hospital_that_a_report_leaves_out_is_found(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.with_changes({"federation.rounds": 1, "federation.round_timeout": 20})
    give_up(config, tmp_path / "run", monkeypatch)
    victims: list[str] = []
    run = run_federation(config, tmp_path / "run", tamper=dropping(victims))
    signer = Identity.load(run.keys / "auditor.json").account
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "lie.zip", signer, clean)
    for words in (("--signer", signer.address), ()):  # whoever signed it
        said = caught(call("verify", file, *words), signer.address)
        assert f"hospital {victims[0]}, participants: expected an update of it" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": [{**FINDING, "more": 1}]},
        {"findings": [{**FINDING, "where": 5}]},
        {"findings": [{**FINDING, "round": "7"}]},
        {"findings": {}},
        {"unchecked": 5},
        {"unchecked": [5]},
        {"notes": [5]},
        {"rounds": "1"},
    ],
    ids=["more", "words", "round", "findings", "unchecked", "line", "note", "rounds"],
)
def test_a_report_of_another_form_is_a_problem(
    run: RunDirectory, tmp_path: Path, changes: dict[str, Any]
) -> None:
    def spoil(tree: Any) -> None:
        found = bool(changes.get("findings"))
        tree["report"].update(changes, clean=not found, proven=not found)

    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "odd.zip", ANOTHER, spoil)
    for words in (("verify", file), ("verify", file, "--signer", ANOTHER.address)):
        assert isinstance(call(*words).exception, AuditFailedError)
    assert isinstance(call(run.root, "--since", file).exception, StoreError)


def refuse(run: RunDirectory, number: int) -> str:
    """A hospital's word on the ledger that it was handed another model."""
    (hospital, *_) = (Identity.load(path).account for path in sorted(run.hospitals.glob("*/identity.json")))

    def bring(ledger: FederationLedger) -> None:
        refusal = Refusal(ledger.views.federation, number, hospital.address, b"\x07" * 32)
        ledger.refuse(refusal, sign(hospital, refusal, ledger.domain))

    write(run, bring)
    return hospital.address


def test_a_refusal_that_a_report_leaves_out_is_found(
    run: RunDirectory, bought: Identity, tmp_path: Path
) -> None:
    hospital = refuse(run, 2)
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "lie.zip", bought.account, clean)
    said = caught(call("verify", file, "--signer", bought.account.address), bought.account.address)
    assert f"round 2, hospital {hospital}, base model as handed out" in said


def test_a_finding_that_the_export_proves_needs_nobodys_word(
    run: RunDirectory, bought: Identity, tmp_path: Path
) -> None:
    refuse(run, 2)
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "truth.zip", bought.account)
    result = call("verify", file)
    assert isinstance(result.exception, AuditFailedError), result.output
    assert "states otherwise" not in result.output
    assert "by the export itself: round 2" in result.output


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        ("2 updates", lambda tree: tree["report"].update(updates=2)),
        ("what was asked for", lambda tree: tree["scope"].update(first="1")),
        (
            "rounds (--rounds) from 5",
            lambda tree: (tree["scope"].update(first=5), tree["report"].update(released="", proven=False)),
        ),
    ],
)
def test_other_figures_than_the_events_have_are_found(
    run: RunDirectory, bought: Identity, tmp_path: Path, what: str, edit: Edit
) -> None:
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "lie.zip", bought.account, edit)
    result = call("verify", file, "--signer", bought.account.address)
    assert isinstance(result.exception, AuditFailedError), result.output
    assert what in result.output


def test_an_honest_report_is_proven_again(run: RunDirectory, bought: Identity, tmp_path: Path) -> None:
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "truth.zip", bought.account)
    result = call("verify", file, "--signer", bought.account.address)
    assert result.exit_code == 0, result.output
    hospitals = [line for line in result.output.splitlines() if "is registered with" in line]
    assert len(hospitals) == 3
    assert all("proven: round 1" in line and "of the sum" in line for line in hospitals)
    assert "stated: that the updates in the store have their roots, open and add up" in result.output


def suspend(ledger: FederationLedger, auditor: Identity) -> None:
    ledger.membership.suspend(auditor.account.address)


def leave(ledger: FederationLedger, auditor: Identity) -> None:
    departure = Departure(ledger.views.federation, auditor.account.address)
    ledger.membership.leave(departure, sign(auditor.account, departure, ledger.domain))


def rotate(ledger: FederationLedger, auditor: Identity) -> None:
    key = auditor.envelope_key.public.data
    rotation = Rotation(
        ledger.views.federation, auditor.account.address, ANOTHER.address, hashlib.sha256(key).digest()
    )
    signed = (sign(account, rotation, ledger.domain) for account in (auditor.account, ANOTHER))
    ledger.membership.rotate_key(rotation, key, *signed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (suspend, "it was suspended, by block"),
        (leave, "it left, by block"),
        (rotate, f"its seat has another key since, that of {ANOTHER.address}"),
    ],
)
def test_who_is_no_auditor_any_more_vouches_for_nothing(
    run: RunDirectory,
    bought: Identity,
    tmp_path: Path,
    change: Callable[[FederationLedger, Identity], None],
    why: str,
) -> None:
    """Its key may have gone to anybody; it signed after the export's head, which is in what it signed."""
    head = write(run, lambda ledger: change(ledger, bought))
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "late.zip", bought.account)
    for words in (("--head", head), ("--signer", bought.account.address)):
        result = call("verify", file, *words)
        assert isinstance(result.exception, AuditIncompleteError), result.output
        assert why in str(result.exception)
        assert f"who is no auditor of the federation any more: {why}" in result.output
    file = resigned(exported(run, tmp_path / "audit.zip"), tmp_path / "new.zip", ANOTHER)
    known = call("verify", file, "--head", head)
    assert (known.exit_code == 0) is (change is rotate), known.output
