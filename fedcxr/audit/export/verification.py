"""Verify an audit's export offline, and say what it proves.

What follows from the export is computed again (:mod:`fedcxr.audit.export.recomputation`); what its signer
states besides counts for whoever knows the signer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from fedcxr import json_text
from fedcxr.audit.chain.decoded_events import decode_events
from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.export.archive import FORMAT, MANIFEST, SIGNATURE, changes, manifest_of, read_json, unpack
from fedcxr.audit.export.export import AuditStatement
from fedcxr.audit.export.recomputation import omissions, recompute, scope_of
from fedcxr.audit.export.report_rules import report_problems, require_form
from fedcxr.audit.export.seeds import ExportedSeeds
from fedcxr.audit.export.signer import SignerStanding
from fedcxr.audit.findings import SO_FAR, AuditReport, head_is_unknown, is_of_an_unknown
from fedcxr.audit.history import ChainHead, ProvenChain
from fedcxr.audit.memory import UNPROVEN, AuditMemory, compare, finding_of
from fedcxr.errors import FedcxrError, StoreError
from fedcxr.ledger.artifact import Artifact, artifact_that
from fedcxr.ledger.signing import Domain, recover
from fedcxr.update import merkle

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1, SEC 2
_MEMBERS = {"audit.json", "contract.json", "artifact.json", "chain.json", "events.json"}


@dataclass
class Verified:
    """What became of an export.

    Attributes:
        signer: address of whoever signed it; empty when the signature is bad.
        problems: what does not fit; empty when the export is what was signed, and consistent.
        proves: what follows from it without trust in the signer.
        conduct: what follows from it of who did what, in the words of an audit.
        states: what is the signer's word.
        report: the audit's report, as JSON has it; empty when it cannot be read.
        own_artifact: whether the contract was held to an artifact that the fedcxr that verifies knows.
        artifact: name of the artifact that the contract was held to, the present one or an earlier one; empty
            when the fedcxr that verifies does not know it.
        known_as: by what the reader knows the signer; empty when it is nobody's.
        former: why the signer is no auditor any more, by the ledger; empty where it says no such thing.
        recomputed: findings that follow from the export itself, whoever signed it.
        proven: whether what the signer states amounts to a released model that is proven.
        notes: what is said of earlier audits, and what of the export's own could not be looked at.
        head: of the chain in it, where that fits together.
        chain_id: of that chain.
        whole: whether the audit looked at everything.
    """

    signer: str = ""
    problems: list[str] = field(default_factory=list)
    proves: list[str] = field(default_factory=list)
    conduct: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    own_artifact: bool = False
    artifact: str = ""
    known_as: str = ""
    former: str = ""
    recomputed: list[str] = field(default_factory=list)
    proven: bool = False
    notes: list[str] = field(default_factory=list)
    head: ChainHead | None = None
    chain_id: int = 0
    whole: bool = False

    @property
    def authentic(self) -> bool:
        return not self.problems


def verify(
    data: bytes, *, signer: str = "", head: bytes | None = None, memory: AuditMemory | None = None
) -> Verified:
    """Verify an export's bytes.

    Args:
        data: of the file.
        signer: address that must have signed it; empty for anybody's.
        head: hash of the chain's head as the reader has it from elsewhere. With it the chain in the export is
            the reader's, and so are the auditors that have joined on it; without it anyone could have made
            both.
        memory: of earlier audits, whose chain the export's has to contain; None for none. An export is
            remembered where its reader knows the signer.

    Raises:
        StoreError: what is remembered is damaged, or is of another contract.
    """
    result, proof = Verified(), None
    try:
        members = unpack(data)
        proof = _verify(members, head, result)
    except FedcxrError as error:
        result.problems.append(str(error))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        result.problems.append(f"it cannot be read: {type(error).__name__}: {error!s:.200}")
    if signer and result.signer != signer:
        result.problems.append(f"signed by {result.signer or 'nobody'}, expected {signer}")
    elif signer and not result.former:
        result.known_as = "the address that was asked for"
    if memory is not None and proof is not None and not result.problems:
        unproven = head is None and head_is_unknown(result.report["unchecked"])
        _remember(memory, proof, result, unproven=unproven)
    if result.problems:
        result.known_as, result.proven = "", False
        result.proves.clear()
        result.conduct.clear()
        result.states.clear()
    return result


def _remember(memory: AuditMemory, proof: ChainProof, result: Verified, *, unproven: bool) -> None:
    """Hold an export to earlier audits, and keep what a known signer ended with, where the head is known."""
    chain, found, report = ProvenChain(proof), result.report["findings"], AuditReport()
    whole = result.whole
    earlier = memory.recall(proof.chain_id, proof.contract)
    report.findings += map(finding_of, found)
    consistent = compare(earlier, chain, report, whole=whole)
    result.recomputed += map(str, report.findings[len(found) :])
    result.notes += report.notes
    if unproven:
        result.notes.append(UNPROVEN)
    elif consistent and result.known_as:
        memory.keep(chain, proof.chain_id, proof.contract, report, whole=whole)


def _verify(members: Mapping[str, bytes], head: bytes | None, result: Verified) -> ChainProof | None:
    """Say what there is to say of an export; its chain, where that fits together."""
    signed = {name: content for name, content in members.items() if name not in (MANIFEST, SIGNATURE)}
    if members.keys() - signed.keys() != {MANIFEST, SIGNATURE} or not signed.keys() >= _MEMBERS:
        raise StoreError("it is not complete: members are missing.")
    if members[MANIFEST] != manifest_of(signed):
        which = "; ".join(changes(members)) or "the manifest itself"
        raise StoreError(f"its members are not those of its {FORMAT} manifest; changed: {which}.")
    contract = read_json(members["contract.json"])
    proof = ChainProof.from_tree(read_json(members["chain.json"]))
    signer = result.signer = _signer(members, proof)
    audit = read_json(members["audit.json"])
    require_form(audit["report"])
    result.report = audit["report"]
    artifact = Artifact(**json_text.parse(members["artifact.json"]))
    if artifact.to_json().encode() != members["artifact.json"]:
        raise StoreError("artifact.json is not as it would be written.")
    said = {(f["where"], f["expected"], f["found"]) for f in result.report["findings"]}
    differences = proof.differences(artifact=artifact)
    if head is not None and head != proof.head:
        result.problems.append(f"the chain's head: expected 0x{head.hex()}, found 0x{proof.head.hex()}")
    result.recomputed = [f"{d.where}: expected {d.expected}, found {d.found}" for d in differences]
    result.problems += [
        f"{d.where}: expected {d.expected}, found {d.found}: the report does not say so"
        for d in differences
        if tuple(d) not in said
    ]
    whole = not differences
    events = _events(proof, artifact, said, result)
    if events is not None and read_json(members["events.json"]) != events:
        result.problems.append("events.json: not the events of the receipts")
    result.problems += _contract_problems(contract, proof, artifact, members["artifact.json"], said)
    result.problems += report_problems(result.report, audit["scope"], proof, events or [])
    for name in signed.keys() - _MEMBERS:
        root = name.removeprefix("blobs/")
        if name == root or merkle.root(members[name]).hex() != root:
            result.problems.append(f"{name}: not a blob under its root")
    result.artifact = artifact_that(lambda known: known == artifact) or ""
    result.own_artifact = bool(result.artifact)
    standing = SignerStanding.of(signer, events or [])
    result.former = standing.former
    if head is not None and whole and standing.auditor:
        result.known_as = "an auditor of the federation, by the ledger"
    released, unchecked = result.report["released"], result.report["unchecked"]
    result.proven = whole and not said and bool(released) and not is_of_an_unknown(unchecked)
    _say(result, audit, proof, len(events or []), whole=whole)
    if not whole:
        return None
    result.head, result.chain_id = ChainHead(proof.last, proof.head), proof.chain_id
    result.whole = scope_of(audit["scope"]).whole
    if result.own_artifact:
        _recompute(result, proof, audit, signed)
    return proof


def _recompute(
    result: Verified, proof: ChainProof, audit: Mapping[str, Any], members: Mapping[str, bytes]
) -> None:
    """Say what follows from the export, and what its signer states otherwise."""
    blobs = {
        bytes.fromhex(name.removeprefix("blobs/")): data
        for name, data in members.items()
        if name.startswith("blobs/")
    }
    fresh = recompute(proof, scope_of(audit["scope"]), blobs, ExportedSeeds.from_tree(audit))
    result.recomputed += map(str, fresh.findings)
    result.problems += (
        f"{result.signer} states otherwise: {what}" for what in omissions(fresh, result.report)
    )
    result.conduct += fresh.notes
    result.notes += fresh.unchecked


def _signer(members: Mapping[str, bytes], proof: ChainProof) -> str:
    """The address of whoever signed the manifest.

    Raises:
        StoreError: it is not the one that the export names, or the signature has another form.
    """
    seal = read_json(members[SIGNATURE])
    signature = bytes.fromhex(seal["signature"].removeprefix("0x"))
    statement = AuditStatement(hashlib.sha256(members[MANIFEST]).digest())
    signer = recover(statement, signature, Domain(proof.chain_id, proof.contract))
    if signer != seal["address"]:
        raise StoreError(f"its signature is by {signer}, and not by {seal['address']}.")
    if not _is_one_form(signature) or seal != {"address": signer, "signature": "0x" + signature.hex()}:
        raise StoreError("its signature is not as it would be written.")
    return signer


def _is_one_form(signature: bytes) -> bool:
    """Whether it is the one form that signing gives (EIP-2): anyone can make a second one of it."""
    s = int.from_bytes(signature[32:64])
    return len(signature) == 65 and s <= _ORDER // 2 and signature[64] in (27, 28)


def _events(
    proof: ChainProof, artifact: Artifact, said: set[tuple[str, str, str]], result: Verified
) -> list[dict[str, Any]] | None:
    try:
        return decode_events(proof, artifact)
    except FedcxrError as error:
        if not said:
            result.problems.append(str(error))
        return None


def _contract_problems(
    contract: Mapping[str, Any],
    proof: ChainProof,
    artifact: Artifact,
    artifact_json: bytes,
    said: set[tuple[str, str, str]],
) -> Iterator[str]:
    code = bytes.fromhex(contract["code"].removeprefix("0x"))
    for what, expected, found in (
        ("address", proof.contract, contract["address"]),
        ("chain_id", proof.chain_id, contract["chain_id"]),
        ("code_keccak256", "0x" + keccak(code).hex(), contract["code_keccak256"]),
        ("artifact_sha256", hashlib.sha256(artifact_json).hexdigest(), contract["artifact_sha256"]),
    ):
        if expected != found:
            yield f"contract.json {what}: expected {expected}, found {found}"
    if not artifact.created(code) and not any(where == "the contract" for where, _, _ in said):
        yield "contract.json code: not the artifact's, and the report does not say so"


def _say(result: Verified, audit: Mapping[str, Any], proof: ChainProof, events: int, *, whole: bool) -> None:
    report = result.report
    if whole:
        result.proves += [
            f"on every chain with block {proof.last}, 0x{proof.head.hex()}, the contract {proof.contract} "
            f"has the {events} events in this export, from block {proof.first} on, and no others",
            "the contract was created by the bytecode of the artifact in this export, which is "
            + ("that" if result.own_artifact else "NOT that")
            + " of the fedcxr that verifies it",
        ]
    by = " and ".join(audit["opened_by"]) or "nobody"
    result.states += [
        f"{result.signer} signed it, made on {audit['made']} with fedcxr {audit['fedcxr']}; updates were "
        f"opened with the key of {by}",
        f"{report['rounds']} rounds, {report['updates']} updates of {report['bytes'] / 1e6:,.0f} MB, "
        f"{len(report['findings'])} findings, {len(report['unchecked'])} unchecked",
        f"released model: {report['released'] or '(not recomputed)'}",
        *(note for note in report["notes"] if note.startswith(SO_FAR)),
        "that the block is one of the consortium's chain: compare its hash with somebody who follows it",
    ]
