"""A signed export of an audit: it verifies offline, and any tampering is found."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from lying_proxy import LyingProxy
from web3 import Web3

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack, unpack
from fedcxr.audit.export.export import Exhibits, export
from fedcxr.audit.export.verification import Verified, verify
from fedcxr.audit.ledger_source import EndpointLedger, LedgerSource, RunLedger
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.errors import ConfigError, StoreError
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory

AUDITOR = Account.from_key(b"\x07" * 32)


def exported(source: LedgerSource, run: RunDirectory, *keys: EnvelopePrivateKey, **scope: Any) -> bytes:
    exhibits, asked = Exhibits(source), Scope(**scope)
    request = Request(keys, scope=asked)
    report = conduct_audit(source, RunSources(run), request, keep=exhibits.keep)
    return export(report, exhibits, asked, AUDITOR, lambda: "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def file(finished: RunDirectory, auditor_key: EnvelopePrivateKey) -> bytes:
    return exported(RunLedger(finished), finished, auditor_key)


@pytest.fixture(scope="module")
def url(finished: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    copied = shutil.copyfile(finished.chain_path, tmp_path_factory.mktemp("chain") / "ledger.sqlite")
    with (
        closing(EmbeddedChain(copied, chain_id=finished.config.ledger.chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        yield server.url


def test_an_export_says_what_it_proves_and_who_says_the_rest(finished: RunDirectory, file: bytes) -> None:
    result = verify(file, signer=AUDITOR.address)
    assert result.problems == []
    assert result.signer == AUDITOR.address
    assert result.report["proven"]
    assert result.own_artifact
    assert f"released model: {read_rounds(finished)[-1].model}" in result.states
    assert any("events in this export" in line for line in result.proves)
    assert any("with the key of auditor" in line for line in result.states)


def test_it_holds_events_blobs_and_the_contracts_code(finished: RunDirectory, file: bytes) -> None:
    members = unpack(file)
    events = json.loads(members["events.json"])
    assert [e["event"] for e in events].count("UpdateAccepted") == 6
    released = [e["values"]["modelDigest"] for e in events if e["event"] == "RoundFinalized"][-1]
    assert released == "0x" + read_rounds(finished)[-1].model
    assert len([name for name in members if name.startswith("blobs/")]) == 2 + 6  # configurations, metrics
    code = json.loads(members["contract.json"])
    assert code["code_keccak256"] == Web3.to_hex(Web3.keccak(hexstr=code["code"]))
    private = {p.read_text() for p in finished.keys.glob("*.json")}
    secrets = {value for text in private for value in json.loads(text).values()}
    assert not any(secret.encode() in file or bytes.fromhex(secret) in file for secret in secrets)


def test_over_rpc_the_same_events_are_exported(
    finished: RunDirectory, url: str, file: bytes, auditor_key: EnvelopePrivateKey
) -> None:
    facts = finished.read_facts()
    other = exported(EndpointLedger(url, facts.contract, None, facts), finished, auditor_key)
    assert verify(other).authentic
    here, there = unpack(file), unpack(other)
    assert here["events.json"] == there["events.json"]
    assert here["chain.json"] == there["chain.json"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(file: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(file) - 1))
    changed = bytearray(file)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not verify(bytes(changed)).authentic


def test_a_flipped_bit_of_every_member_is_found_though_the_zip_is_sound(file: bytes) -> None:
    members = unpack(file)
    rng = random.Random(1)
    for name, content in members.items():
        for _ in range(4):
            changed = bytearray(content)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            assert not verify(pack({**members, name: bytes(changed)})).authentic, name


def test_a_member_dropped_or_added_is_found(file: bytes) -> None:
    members = unpack(file)
    for name in members:
        assert not verify(pack({k: v for k, v in members.items() if k != name})).authentic, name
    assert "more.json, which was added" in verify(pack({**members, "more.json": b"{}"})).problems[0]
    changed = pack({**members, "audit.json": members["audit.json"] + b" "})
    assert "changed: audit.json." in verify(changed).problems[0]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:  # as another program would write it
        for name in members.keys() - {"chain.json"}:
            archive.writestr(name, members[name])
    assert "begins no member" in verify(buffer.getvalue()).problems[0]
    left_out = pack({name: data for name, data in members.items() if name != "chain.json"})
    assert "members are missing" in verify(left_out).problems[0]
    assert not verify(file + b"x").authentic
    assert not verify(b"x" + file).authentic
    assert not verify(file[:-1]).authentic


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_member_of_one_name_is_found(file: bytes) -> None:
    buffer = io.BytesIO(file)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("audit.json", unpack(file)["audit.json"])
    assert not verify(buffer.getvalue()).authentic


def resigned(members: dict[str, bytes], **changes: bytes) -> Verified:
    """What an auditor who lies can do: change members, and sign all of it again."""
    from fedcxr.audit.export.export import AuditStatement, hashlib
    from fedcxr.ledger.signing import Domain, sign

    kept = {k: v for k, v in {**members, **changes}.items() if k not in (MANIFEST, SIGNATURE)}
    manifest = manifest_of(kept)
    chain = json.loads(members["chain.json"])
    domain = Domain(chain["chain_id"], chain["contract"])
    signature = sign(AUDITOR, AuditStatement(hashlib.sha256(manifest).digest()), domain)
    kept[MANIFEST] = manifest
    kept[SIGNATURE] = canonical({"address": AUDITOR.address, "signature": "0x" + signature.hex()})
    return verify(pack(kept))


def edited(members: dict[str, bytes], name: str, edit: Callable[[Any], None]) -> dict[str, bytes]:
    tree = json.loads(members[name])
    edit(tree)
    return {name: canonical(tree)}


def test_even_its_signer_cannot_make_it_say_what_the_chain_does_not(file: bytes) -> None:
    members = unpack(file)
    assert resigned(members).authentic

    def report(**values: object) -> dict[str, bytes]:
        return edited(members, "audit.json", lambda tree: tree["report"].update(values))

    def chain(edit: Callable[[Any], None]) -> dict[str, bytes]:
        return edited(members, "chain.json", edit)

    def last_receipt(tree: Any) -> list[str]:
        return tree["blocks"][max(tree["blocks"], key=int)]["receipts"]  # type: ignore[no-any-return]

    def other_event(tree: Any) -> None:
        receipts = last_receipt(tree)
        receipts[0] = receipts[0][:-2] + ("00" if receipts[0][-2:] != "00" else "01")

    for changes in (
        report(released="11" * 32),
        report(released=""),
        report(proven=False),
        report(clean=False),
        report(complete=False),
        report(rounds=1),
        report(federation="22" * 32),
        report(contract="0x" + "33" * 20),
        chain(lambda tree: tree["headers"].pop()),
        chain(lambda tree: tree["headers"].pop(2)),
        chain(lambda tree: tree.update(head="00" * 32)),
        chain(lambda tree: tree["blocks"].pop(max(tree["blocks"], key=int))),
        chain(other_event),
        edited(members, "events.json", lambda tree: tree.pop()),
        edited(members, "events.json", lambda tree: tree[-1]["values"].update(modelDigest="0x" + "11" * 32)),
        edited(members, "contract.json", lambda tree: tree.update(code="0x00")),
        edited(members, "contract.json", lambda tree: tree.update(address="0x" + "33" * 20)),
        {"blobs/" + "11" * 32: b"something else"},
    ):
        assert not resigned(members, **changes).authentic, list(changes)


def test_another_contracts_artifact_is_told_apart(file: bytes) -> None:
    members = unpack(file)
    artifact = json.loads(members["artifact.json"])
    artifact["compiler"] = "another"
    text = (json.dumps(artifact, indent=1, sort_keys=True) + "\n").encode()
    digest = __import__("hashlib").sha256(text).hexdigest()
    contract = edited(members, "contract.json", lambda tree: tree.update(artifact_sha256=digest))
    result = resigned(members, **{"artifact.json": text}, **contract)
    assert result.authentic
    assert not result.own_artifact
    assert any("NOT that" in line for line in result.proves)


def test_a_second_form_of_the_signature_is_found(file: bytes) -> None:
    """Who has a signature (r, s, v) can write (r, n - s, v ^ 1), without the key."""
    members = unpack(file)
    seal = json.loads(members[SIGNATURE])
    signature = bytes.fromhex(seal["signature"][2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    other = (order - int.from_bytes(signature[32:64])).to_bytes(32)
    for form in (
        signature[:32] + other + bytes([signature[64] ^ 7]),  # 27 and 28 differ in three bits
        signature[:64] + bytes([signature[64] - 27]),
        signature.hex().upper(),
    ):
        text = form if isinstance(form, str) else form.hex()
        changed = {**seal, "signature": "0x" + text}
        assert not verify(pack({**members, SIGNATURE: canonical(changed)})).authentic


def test_somebody_elses_signature_is_told_apart(file: bytes) -> None:
    other = Account.from_key(b"\x08" * 32).address
    result = verify(file, signer=other)
    assert not result.authentic
    assert other in result.problems[0]


def test_findings_and_what_is_unchecked_are_in_it(
    copy: RunDirectory, auditor_key: EnvelopePrivateKey
) -> None:
    copy.model(2).write_bytes(copy.model(1).read_bytes())
    result = verify(exported(RunLedger(copy), copy, auditor_key, first=2, last=2))
    assert result.authentic
    assert [f["where"] for f in result.report["findings"]] == ["round-0002.safetensors"]
    assert "round 1: not asked for" in result.report["unchecked"]
    assert not result.report["proven"]


def test_what_an_endpoint_could_not_prove_is_in_the_report_and_in_the_verification(
    finished: RunDirectory, url: str, auditor_key: EnvelopePrivateKey
) -> None:
    facts = finished.read_facts()

    def lying(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == hex(5):
            return {**result, "gasUsed": "0x1"}
        return result

    with contextlib.closing(LyingProxy(url, lying)) as proxy:
        source = EndpointLedger(proxy.url, facts.contract, None, facts)
        result = verify(exported(source, finished, auditor_key))
    assert result.authentic  # it says itself that something is wrong
    assert any(f["where"] == "block 6" for f in result.report["findings"])
    assert result.proves == []


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    del tmp_path
    for data in (b"", b"PK", b"\x00" * 1000):
        assert not verify(data).authentic
        with pytest.raises(StoreError):
            unpack(data)


def test_a_scope_is_frozen() -> None:
    with pytest.raises(ConfigError):
        replace(Scope(), first=9).rounds(2)
