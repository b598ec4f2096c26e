"""A signed, self-contained export of an audit, for somebody who has neither the run nor the chain.

::

    manifest.json      SHA-256 of every other member
    signature.json     the auditor's address, and its EIP-712 signature over the manifest's SHA-256
    audit.json         the report, what was asked for, and with which software
    contract.json      address, chain, federation, and the contract's code with its hash
    artifact.json      the artifact that the contract was held to: of the known ones that which created it
    chain.json         headers, and the blocks that may have events: transactions and receipts
    events.json        the contract's events, decoded
    blobs/ROOT         round configurations and metrics: what is small of what events name by its Merkle root;
                       of masked rounds the seeds, which audit.json names
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from platform import python_version
from typing import ClassVar

from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from fedcxr.audit.chain.decoded_events import decode_events
from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack
from fedcxr.audit.export.seeds import ExportedSeeds
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import LedgerSource
from fedcxr.audit.scope import Scope
from fedcxr.errors import ChainError
from fedcxr.ledger.artifact import NAME, known_artifacts
from fedcxr.ledger.signing import Domain, Struct, sign

_SMALL = 1 << 16  # bytes of a blob that an export takes along


@dataclass(frozen=True)
class AuditStatement(Struct):
    """What an auditor signs: the SHA-256 of an export's manifest."""

    types: ClassVar[dict[str, str]] = {"manifest": "bytes32"}
    manifest: bytes


@dataclass
class Exhibits:
    """What an export shows besides the report; :meth:`keep` takes it from an audit while that is open."""

    source: LedgerSource
    proof: ChainProof | None = None
    code: bytes = b""
    blobs: dict[str, bytes] = field(default_factory=dict)
    opened_by: list[str] = field(default_factory=list)
    seeds: ExportedSeeds = field(default_factory=ExportedSeeds)

    def keep(self, evidence: Evidence) -> None:
        self.proof, self.code = self.source.exhibit(evidence.ledger)
        self.seeds = ExportedSeeds.of(evidence)
        seeds = set(self.seeds.roots.values())
        small = evidence.small.items()
        self.blobs = {root.hex(): data for root, data in small if len(data) <= _SMALL or root in seeds}
        names = {
            evidence.ledger.coordinator_key_digest: "coordinator",
            evidence.ledger.auditor_key_digest: "auditor",
        }
        digests = [reader.key_digest for reader in evidence.readers]
        self.opened_by = [names[digest] for digest in digests if digest]  # what all can read has none


def export(
    report: AuditReport,
    exhibits: Exhibits,
    scope: Scope,
    account: LocalAccount,
    now: Callable[[], str],
) -> bytes:
    """The export of an audit, signed.

    Args:
        report: of the audit.
        exhibits: that were kept of it.
        scope: that was asked for.
        account: the auditor's.
        now: the time, in words.

    Raises:
        ChainError: the audit never came to the contract: there is nothing to prove.
    """
    proof = exhibits.proof
    if proof is None:
        raise ChainError("the audit found no contract: there is nothing that an export could prove.")
    artifact = known_artifacts()[created_by(proof) or NAME]
    artifact_json = artifact.to_json().encode()
    try:
        events: object = decode_events(proof, artifact)
    except ChainError:  # a contract that is not ours, which the report says
        events = []
    members = {
        "audit.json": canonical(
            {
                "report": report.tree(),
                "scope": asdict(scope),
                "opened_by": exhibits.opened_by,
                "made": now(),
                "fedcxr": version("fedcxr"),
                "python": python_version(),
                **exhibits.seeds.to_tree(),
            }
        ),
        "artifact.json": artifact_json,
        "contract.json": canonical(
            {
                "address": proof.contract,
                "chain_id": proof.chain_id,
                "federation": report.federation,
                "code": "0x" + exhibits.code.hex(),
                "code_keccak256": "0x" + keccak(exhibits.code).hex(),
                "artifact_sha256": hashlib.sha256(artifact_json).hexdigest(),
            }
        ),
        "chain.json": canonical(proof.tree()),
        "events.json": canonical(events),
        **{f"blobs/{root}": data for root, data in exhibits.blobs.items()},
    }
    manifest = manifest_of(members)
    statement = AuditStatement(hashlib.sha256(manifest).digest())
    signature = sign(account, statement, Domain(proof.chain_id, proof.contract))
    members[MANIFEST] = manifest
    members[SIGNATURE] = canonical({"address": account.address, "signature": "0x" + signature.hex()})
    return pack(members)


def created_by(proof: ChainProof) -> str | None:
    """Name of the known artifact that created the contract; None where none did, which the report says."""
    with contextlib.suppress(ChainError):
        return proof.artifact()
    return None
