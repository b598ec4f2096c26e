"""What an audit takes, against ``sha256sum`` over the same bytes in the same run; the page cache is warm."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.sources import RunSources
from fedcxr.bench.round import run_protocol
from fedcxr.errors import AuditFailedError
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Say = Callable[[str], None]
_HOSPITALS, _ROUNDS = 4, 2
_REPEATS = 5


@dataclass(frozen=True)
class AuditBench:
    """The figures of ``fedcxr bench audit``; each time is a median.

    Attributes:
        audit_over_sha256sum: a whole audit with a key (every update hashed, opened, hashed again, added;
            every model computed and compared) over ``sha256sum`` of the same files; goal at most 1.5.
        audit_without_key_over_sha256sum: the same without a key: nothing is opened.
        audit_over_openssl: a whole audit over one process that hashes the files with OpenSSL's SHA-256, which
            uses the processor's SHA instructions; a ``sha256sum`` built on OpenSSL would be that fast.
        audit_without_key_over_openssl: the same without a key.
        command_over_sha256sum: ``fedcxr audit RUN`` from the shell, with what Python takes to start.
        seconds, seconds_without_key, command_seconds, sha256sum_seconds, openssl_seconds: what was divided.
        megabytes: of the files: every blob and model of the run.
        megabytes_a_second: of a whole audit.
        updates: sealed, of ``parameters`` values each.
        cores: that this process may use.
    """

    audit_over_sha256sum: float
    audit_without_key_over_sha256sum: float
    audit_over_openssl: float
    audit_without_key_over_openssl: float
    command_over_sha256sum: float
    seconds: float
    seconds_without_key: float
    command_seconds: float
    sha256sum_seconds: float
    openssl_seconds: float
    megabytes: float
    megabytes_a_second: float
    updates: int
    parameters: int
    cores: int


def bench_audit(say: Say, model: str = "semssxl", repeats: int = _REPEATS) -> AuditBench:
    """Make a run without training, and audit it; about two minutes on two cores with the full model.

    Raises:
        AuditFailedError: the audit of an honest run was not clean; a figure of it would mean nothing.
    """
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as directory:
        say(f"a run of {_HOSPITALS} hospitals and {_ROUNDS} rounds, without training")
        run = run_protocol(Path(directory), model, _HOSPITALS, _ROUNDS, lambda event: None)
        files = [p for place in ("blobs", "models") for p in (run.root / place).rglob("*") if p.is_file()]
        works: dict[str, Callable[[], None]] = {
            "sha256sum": lambda: _sha256sum(files),
            "openssl": lambda: _openssl(files),
            "audit": lambda: audit_with_key(run),
            "keyless": lambda: _audit(run, []),
            "command": lambda: _command(run),
        }
        measured: dict[str, list[float]] = {}
        for turn in range(repeats + 1):  # the first fills the page cache, and is not counted
            say(f"measuring, {turn} of {repeats}" if turn else "warming up")
            for name, work in works.items():
                started = time.perf_counter()
                work()
                measured.setdefault(name, []).append(time.perf_counter() - started)
        took = {name: statistics.median(times[1:]) for name, times in measured.items()}
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        return AuditBench(
            audit_over_sha256sum=took["audit"] / took["sha256sum"],
            audit_without_key_over_sha256sum=took["keyless"] / took["sha256sum"],
            audit_over_openssl=took["audit"] / took["openssl"],
            audit_without_key_over_openssl=took["keyless"] / took["openssl"],
            command_over_sha256sum=took["command"] / took["sha256sum"],
            seconds=took["audit"],
            seconds_without_key=took["keyless"],
            command_seconds=took["command"],
            sha256sum_seconds=took["sha256sum"],
            openssl_seconds=took["openssl"],
            megabytes=megabytes,
            megabytes_a_second=megabytes / took["audit"],
            updates=_HOSPITALS * _ROUNDS,
            parameters=run.read_layout().size,
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        )


def audit_with_key(run: RunDirectory) -> None:
    """Audit a run of a bench with its auditor's key.

    Raises:
        AuditFailedError: it is not clean; a figure of it would mean nothing.
    """
    _audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])


def _audit(run: RunDirectory, keys: Sequence[EnvelopePrivateKey]) -> None:
    report = conduct_audit(RunLedger(run), RunSources(run), Request(keys))
    if not report.clean or bool(keys) != report.proven:
        raise AuditFailedError(f"the bench's own run: {[str(finding) for finding in report.findings]}")


def _command(run: RunDirectory) -> None:
    command = [sys.executable, "-m", "fedcxr", "audit", str(run.root), "--json", "--state", "off"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _sha256sum(files: Sequence[Path]) -> None:
    subprocess.run(["sha256sum", "--", *files], check=True, stdout=subprocess.DEVNULL)


def _openssl(files: Sequence[Path]) -> None:
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
