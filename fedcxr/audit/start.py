"""Where a federation starts from, made again unless an earlier audit of the same auditor's has done that."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fedcxr.audit.evidence import Evidence
from fedcxr.audit.memory import AuditMemory
from fedcxr.config import Config
from fedcxr.update.layout import Vector


def start_of(
    evidence: Evidence, config: Config | None, pretrained: Path | None, memory: AuditMemory | None
) -> Vector | None:
    """The first model, held to its configuration; None when nothing has it.

    The contract has three digests, of the configuration, of the layout and of the model: the same three are
    the same model in every audit. Where it came out bit for bit, that is remembered, for it takes seconds.
    """
    ledger, report, memory = evidence.ledger, evidence.report, memory or AuditMemory(None)
    start = hashlib.sha256(ledger.config_digest + ledger.layout_digest + ledger.genesis_digest).digest()
    if config is not None and memory.has_made(start) and (there := evidence.genesis()) is not None:
        if named := config.model.pretrained_digest:
            evidence.named.add(bytes.fromhex(named))
        return there
    from fedcxr.audit.first_model import check_first_model  # torch, which takes seconds to load

    said = len(report.findings), len(report.unchecked), len(report.notes)
    found = check_first_model(evidence, config, pretrained)
    if said == (len(report.findings), len(report.unchecked), len(report.notes)):
        memory.keep_made(start)
    return found
