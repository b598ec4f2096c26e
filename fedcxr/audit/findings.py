"""What an audit has to say: findings, what it could not check, and what it checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

SO_FAR = "so far "
"""Start of the note on a run that has not finalized all its rounds."""

PARTIES = "that the hospitals are different parties: a key says nothing of who holds it"
"""What no audit can know."""

FIRST_MODEL = "the first model: "
"""Start of what is unchecked where nobody made the first model again: its weights may have been planted."""

SUMS = "that the updates in the store have their roots, open and add up to the models: an export has none"
"""What no export can prove."""

_HEAD = re.compile(r"that block \d+, 0x[0-9a-f]+, is the head of the consortium's chain: .*")
_SEALED = re.compile(r"round (\d+), 0x\w+: (what is sealed in )?its update \((.*)\)")
_REMOVED = "removed by the run's keeper"


def unknown_head(number: int, digest: bytes) -> str:
    """What is unchecked of a chain whose head only the endpoint has named."""
    said = f"that block {number}, 0x{digest.hex()}, is the head of the consortium's chain"
    return f"{said}: give a hash that you have from elsewhere (--head)"


def head_is_unknown(unchecked: Iterable[str]) -> bool:
    """Whether :func:`unknown_head` is among what is unchecked: then all of it may be of another chain."""
    return any(_HEAD.fullmatch(str(line)) for line in unchecked)


def first_model_is_unknown(unchecked: Iterable[str]) -> bool:
    """Whether nobody has made the first model again: then it may be anything, and what follows from it."""
    return any(str(line).startswith(FIRST_MODEL) for line in unchecked)


def is_of_an_unknown(unchecked: Iterable[str]) -> bool:
    """Whether what was recomputed is of an unknown chain, or follows from an unknown first model."""
    return head_is_unknown(unchecked) or first_model_is_unknown(unchecked)


def sealed_update(number: int, hospital: str, why: str) -> str:
    """What is unchecked of an update that could not be opened."""
    return f"round {number}, {hospital}: what is sealed in its update ({why})"


def removed_update(number: int, hospital: str) -> str:
    """What is unchecked of an update that whoever keeps the run has removed."""
    return f"round {number}, {hospital}: its update ({_REMOVED})"


def updates_were_removed(unchecked: Iterable[str]) -> bool:
    """Whether :func:`removed_update` is among what is unchecked."""
    return any(match[3] == _REMOVED for line in unchecked if (match := _SEALED.fullmatch(str(line))))


def in_short(unchecked: Iterable[str]) -> list[str]:
    """What is unchecked, with one line for all updates that could not be looked at for the same reason."""
    lines: list[str] = []
    closed: dict[tuple[str, str], list[str]] = {}
    for line in unchecked:
        if (match := _SEALED.fullmatch(line)) is None:
            lines.append(line)
        else:
            closed.setdefault((match[2] or "", match[3]), []).append(match[1])
    for (what, why), rounds in reversed(closed.items()):
        many = f"{len(rounds)} update{'s' * (len(rounds) > 1)}"
        several = f"{len(set(rounds))} round{'s' * (len(set(rounds)) > 1)}"
        advice = ": --key FILE gives the coordinator's or the auditor's" if why == "no key" else ""
        lines.insert(0, f"{what}{many} of {several} ({why}{advice})")
    return lines


@dataclass(frozen=True)
class Finding:
    """Something that is not as the ledger says.

    Attributes:
        where: the file, blob or row.
        expected: by the ledger.
        found: what is there.
        round: 0 is where the federation started; None when it belongs to no round.
        hospital: ledger address; empty when it belongs to none.
    """

    where: str
    expected: str
    found: str
    round: int | None = None
    hospital: str = ""

    def __str__(self) -> str:
        place = "" if self.round is None else f"round {self.round}, "
        who = f"hospital {self.hospital}, " if self.hospital else ""
        return f"{place}{who}{self.where}: expected {self.expected}, found {self.found}"


@dataclass
class AuditReport:
    """The result of one audit.

    Attributes:
        federation: hex id.
        contract: address.
        released: hex digest of the last finalized model, as recomputed; empty when it could not be.
        rounds: finalized rounds looked at.
        planned: rounds that the configuration asks for; 0 where the audit has no configuration. JSON has it
            as a note, where it is more than ``rounds``.
        updates: accepted updates looked at.
        bytes: of updates read.
        bytes_of_models: of model files read.
        findings: empty when the run is clean.
        unchecked: what could not be checked, and why; never counted as passed.
        notes: what the ledger states, or somebody says, and nothing can prove right or wrong.
    """

    federation: str = ""
    contract: str = ""
    released: str = ""
    rounds: int = 0
    planned: int = 0
    updates: int = 0
    bytes: int = 0
    bytes_of_models: int = 0
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(
        self, where: str, expected: str, found: str, number: int | None = None, hospital: str = ""
    ) -> None:
        """Add a finding; round 0 is where the federation started."""
        self.findings.append(Finding(where, expected, found, number, hospital))

    @property
    def clean(self) -> bool:
        """Nothing was found; whether everything could be looked at, :attr:`complete` says."""
        return not self.findings

    @property
    def complete(self) -> bool:
        return not self.unchecked

    @property
    def proven(self) -> bool:
        """The released model was recomputed from the first, on the consortium's chain; nothing was found."""
        return self.clean and bool(self.released) and not is_of_an_unknown(self.unchecked)

    @property
    def unfinished(self) -> bool:
        """Not every round that the configuration asks for was looked at."""
        return self.rounds < self.planned

    def tree(self) -> dict[str, Any]:
        """The report with its verdicts, as JSON has it."""
        verdict = {"clean": self.clean, "complete": self.complete, "proven": self.proven}
        fields = asdict(self)
        del fields["planned"]
        return {**verdict, **fields}

    def to_json(self) -> str:
        return json.dumps(self.tree(), indent=2)
