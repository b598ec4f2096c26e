"""What an auditor remembers of earlier audits: in a folder of its own, or in what it names itself."""

from __future__ import annotations

from pathlib import Path

from fedcxr import bounded
from fedcxr.audit.export.archive import LARGEST
from fedcxr.audit.export.verification import verify
from fedcxr.audit.history import ChainHead
from fedcxr.audit.memory import AuditMemory, Earlier, finding_of, state_folder
from fedcxr.errors import ConfigError, StoreError
from fedcxr.store.run_directory import RunDirectory


def memory_of(run: RunDirectory | None = None, *, state: str = "", since: str = "") -> AuditMemory:
    """The memory of this user's audits.

    Args:
        run: that is audited, where there is a directory.
        state: the folder; ``off`` for none, and empty for the usual one
            (:func:`fedcxr.audit.memory.state_folder`).
        since: the hash of a head that the chain had, or the export of an earlier audit; empty for none.

    Raises:
        ConfigError: the folder is in the run's, or ``since`` is neither a hash nor a file.
        StoreError: the export cannot be read, or does not hold.
    """
    folder = state_folder(state)
    if folder is not None and run is not None and folder.resolve().is_relative_to(run.root.resolve()):
        raise ConfigError(
            f"{folder}: what an audit remembers does not belong into the run that it audits: choose another "
            "folder (--state)."
        )
    return AuditMemory(folder, (earlier_audit(since),) if since else ())


def earlier_audit(since: str) -> Earlier:
    """An earlier audit, by the head that it ended with or by its export.

    Raises:
        ConfigError: neither a hash nor a file.
        StoreError: the export cannot be read, or does not hold.
    """
    path = Path(since)
    if path.is_file():
        return _exported(path)
    try:
        digest = bytes.fromhex(since.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ConfigError(f"--since {since}: neither the hash of a head in hexadecimal nor a file.")
    return Earlier(ChainHead(-1, digest), whose="what --since names")


def _exported(path: Path) -> Earlier:
    try:
        result = verify(bounded.read(path, LARGEST))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}.") from None
    if result.problems or result.head is None:
        why = next(iter((*result.problems, *result.recomputed)), "nothing of its chain is proven")
        raise StoreError(f"{path}: not the export of an audit whose chain holds: {why}")
    findings = tuple(map(finding_of, result.report["findings"]))
    return Earlier(
        result.head, findings, f"the audit in {path.name}", result.chain_id, result.report["contract"]
    )
