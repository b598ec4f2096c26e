"""What an auditor remembers from one audit to the next: a chain's head, and what was found.

A chain that fits together proves nothing of the chain that was shown before. So the head that an audit ended
with is kept, in a folder of the auditor's own, and a later chain of the same contract has to contain it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fedcxr import bounded, files, json_text
from fedcxr.audit.findings import AuditReport, Finding
from fedcxr.audit.history import Chain, ChainHead, heads_not_in
from fedcxr.errors import StoreError, UnwritableError

VARIABLE, OFF = "FEDCXR_STATE", "off"
FIRST = "no earlier audit of this contract is known here: there was no head to compare with"
"""What is said of a first audit."""

UNPROVEN = "the chain's head is not kept for later audits: nobody but the endpoint names it (--head)"
"""What is said of an audit that leaves nothing behind, whatever its endpoint invents."""

HISTORY = "the chain's history"
_FORMAT = "fedcxr/audited/1"
_MADE = "first-models"  # the folder of what was made again
_LONGEST = 1 << 20  # bytes of a file
_MOST_FINDINGS, _LONGEST_TEXT = 500, 400  # that are kept


@dataclass(frozen=True)
class Earlier:
    """What an earlier audit ended with.

    Attributes:
        head: of the chain; its number is -1 where only the hash is known.
        findings: of that audit.
        whose: audit it was, in words.
        chain_id, contract: what it was of; 0 and empty where that is not known.
    """

    head: ChainHead
    findings: tuple[Finding, ...] = ()
    whose: str = "an earlier audit"
    chain_id: int = 0
    contract: str = ""


@dataclass(frozen=True)
class AuditMemory:
    """What is remembered, and where.

    Attributes:
        folder: of the auditor; None keeps nothing.
        given: earlier audits that the auditor names.
    """

    folder: Path | None
    given: tuple[Earlier, ...] = field(default=())

    def recall(self, chain_id: int, contract: str) -> list[Earlier]:
        """The earlier audits of a contract: those that were named, and the one that was kept.

        Raises:
            StoreError: what was kept is damaged, or one that was named is of another contract.
        """
        for one in self.given:
            if one.contract and (one.chain_id, one.contract) != (chain_id, contract):
                of = f"{one.contract} on chain {one.chain_id}"
                raise StoreError(f"{one.whose} is of {of}, and not of {contract} on chain {chain_id}.")
        kept = self._kept(chain_id, contract)
        return [*self.given, *([kept] if kept else [])]

    def keep(self, chain: Chain, chain_id: int, contract: str, report: AuditReport, *, whole: bool) -> None:
        """Keep the head of a chain that contains what was seen before, and what was found on it.

        Of a part of a run the findings are kept beside those that earlier audits left.
        """
        if self.folder is None:
            return
        before = self._kept(chain_id, contract)
        findings = [*report.findings, *(() if whole or before is None else before.findings)]
        tree: dict[str, Any] = {
            "format": _FORMAT,
            "chain_id": chain_id,
            "contract": contract,
            "block": chain.head.number,
            "hash": chain.head.digest.hex(),
            "findings": [_row(one) for one in dict.fromkeys(findings)][:_MOST_FINDINGS],
        }
        # What others named may take twelve bytes a character: the head is kept, whatever becomes of findings.
        while len(text := json.dumps(tree, indent=1) + "\n") > _LONGEST:
            tree["findings"] = tree["findings"][: len(tree["findings"]) // 2]
        path = self._path(chain_id, contract)
        try:
            files.write(path, text, mode=0o600, shared=True)
        except UnwritableError:
            report.notes.append("the chain's head is not kept for later audits: its folder cannot be written")

    @property
    def has_made_any(self) -> bool:
        """Whether an earlier audit has made any federation's start again."""
        return self.folder is not None and next((self.folder / _MADE).glob("*"), None) is not None

    def has_made(self, start: bytes) -> bool:
        """Whether an earlier audit has made this very start again, as :meth:`keep_made` was told."""
        return self.folder is not None and self._made(start).is_file()

    def keep_made(self, start: bytes) -> None:
        """Keep that a start was made again here, bit for bit; it is as true in every later audit.

        Args:
            start: digest of a configuration, a layout and the first model that follows from them.
        """
        if self.folder is not None:
            with suppress(UnwritableError):  # it is made once more then
                files.write(self._made(start), "", mode=0o600, shared=True)

    def _made(self, start: bytes) -> Path:
        assert self.folder is not None
        return self.folder / _MADE / start.hex()

    def _path(self, chain_id: int, contract: str) -> Path:
        assert self.folder is not None
        return self.folder / "audits" / f"{chain_id}-{contract.lower()}.json"

    def _kept(self, chain_id: int, contract: str) -> Earlier | None:
        """What was kept of a contract; None where nothing was.

        Raises:
            StoreError: it is damaged.
        """
        if self.folder is None:
            return None
        path = self._path(chain_id, contract)
        try:
            tree = json_text.parse(bounded.read(path, _LONGEST))
            return _read(tree, chain_id, contract)
        except FileNotFoundError:
            return None
        except (StoreError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path}: what an earlier audit kept cannot be read ({error!s:.200}). Restore the file, or "
                "remove it: then nothing is known of earlier audits."
            ) from None


def state_folder(chosen: str = "") -> Path | None:
    """The folder in which this user's audits are remembered; None where they are not to be.

    Args:
        chosen: a folder, or ``off``; empty for ``$FEDCXR_STATE``, or else ``$XDG_STATE_HOME/fedcxr``, by
            default ``~/.local/state/fedcxr``.
    """
    chosen = chosen or os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return None
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "fedcxr"


def compare(earlier: Sequence[Earlier], chain: Chain, report: AuditReport, *, whole: bool) -> bool:
    """Hold a chain to what earlier audits saw, and their findings to this one's.

    Args:
        earlier: audits of the same contract.
        chain: as it is now.
        report: of this audit, which is finished but for this.
        whole: whether this audit looked at everything.

    Returns:
        Whether the chain contains what earlier audits saw.
    """
    if not earlier:
        report.notes.append(FIRST)
    consistent = True
    for one in earlier:
        for head, instead in _missing(chain, one.head):
            consistent = False
            report.find(HISTORY, f"one that contains {head}, which {one.whose} ended with", instead)
        if whole:
            report.notes += _no_longer(one, report)
    return consistent


def _missing(chain: Chain, head: ChainHead) -> list[tuple[str, str]]:
    if head.number >= 0:
        if head not in (missing := heads_not_in(chain.hash_of, [head])):
            return []
        found = missing[head]
        instead = "no such block" if found is None else str(ChainHead(head.number, found))
        return [(str(head), f"{instead}; its head is {chain.head}")]
    if any(chain.hash_of(number) == head.digest for number in range(chain.head.number, chain.first - 1, -1)):
        return []
    return [(f"block 0x{head.digest.hex()}", f"no such block; its head is {chain.head}")]


def _no_longer(one: Earlier, report: AuditReport) -> Iterator[str]:
    """What an earlier audit found and this one does not; its own words may have been cut short."""
    now = {(finding.where[:_LONGEST_TEXT], finding.round, finding.hospital) for finding in report.findings}
    for finding in one.findings:
        if (finding.where, finding.round, finding.hospital) not in now:
            yield (
                f"{one.whose} found, and this one does not: {finding}. What it was about has changed since, "
                "or this audit was not given it (a journal, a key)"
            )


def _row(finding: Finding) -> dict[str, Any]:
    return {
        key: value[:_LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in asdict(finding).items()
    }


def _read(tree: Any, chain_id: int, contract: str) -> Earlier:
    """Raises ValueError, KeyError, TypeError or AttributeError where it is not what :meth:`keep` writes."""
    if (tree["format"], tree["chain_id"], tree["contract"]) != (_FORMAT, chain_id, contract):
        raise ValueError("it is of another contract, or has another format")
    number, digest = tree["block"], bytes.fromhex(tree["hash"])
    if type(number) is not int or number < 0 or len(digest) != 32:
        raise ValueError("it names no block")
    return Earlier(ChainHead(number, digest), tuple(map(finding_of, tree["findings"])))


def finding_of(row: Any) -> Finding:
    """A finding from JSON.

    Raises:
        ValueError, TypeError: it is none.
    """
    finding = Finding(**row)
    words = (finding.where, finding.expected, finding.found, finding.hospital)
    if not all(isinstance(word, str) for word in words) or type(finding.round) not in (int, type(None)):
        raise ValueError("not a finding")
    return finding
