"""A journal of what was asked of a chain that keeps its blocks in memory alone.

Every line is on the disk before what it says is done, so that a chain killed at any moment is rebuilt, block
by block and hash by hash, from its first line on. A line names the hash of the block that it builds on: a
journal that was changed, or a node that computes otherwise, is noticed.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedcxr import bounded, files, json_text
from fedcxr.errors import ChainError, StoreError

FORMAT = "fedcxr/chain-journal/1"
LONGEST = 1 << 30
"""Bytes of a journal; those of a thousand rounds of 17 hospitals have some 60 million."""


@dataclass(frozen=True)
class Beginning:
    """What the first block is made of.

    Attributes:
        chain_id: of the chain.
        timestamp: of the first block, seconds.
        gas_limit: of every block.
        fork: Ethereum's rules, by their name.
    """

    chain_id: int
    timestamp: int
    gas_limit: int
    fork: str = "prague"


@dataclass(frozen=True)
class Step:
    """One request to the chain that changes it.

    Attributes:
        over: hex hash of the latest block before it.
        raw: a signed transaction for the pool, in hex; empty when there is none.
        mine: timestamp of a block that is made then; 0 when none is.
    """

    over: str
    raw: str = ""
    mine: int = 0


class Journal:
    """Lines in a file, or in memory; one owner at a time."""

    def __init__(self, path: Path | None, beginning: Beginning) -> None:
        """Open the journal at ``path``, or begin one.

        Raises:
            ChainError: damaged, of another chain id, in use, or it cannot be written.
        """
        self._where = str(path) if path else "the journal"
        self.steps: list[Step] = []
        self.beginning = beginning
        self._file: int | None = None
        self._end = 0  # of the file
        self._ends: list[int] = []  # of the file before each line
        if path is None:
            return
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise ChainError(f"{path}: cannot be opened: {error.strerror}.") from None
        try:
            self._open(path)
        except StoreError as error:
            self.close()
            raise ChainError(f"{error}") from None
        except BaseException:
            self.close()
            raise

    def append(self, step: Step) -> None:
        """Append a step; it is on the disk when this returns.

        Raises:
            ChainError: the disk does not take it; the step must not be done.
        """
        self._write({k: v for k, v in asdict(step).items() if v})
        self.steps.append(step)

    def take_back(self) -> None:
        """Remove the last step, which the chain refused."""
        self.steps.pop()
        if self._file is not None:
            self._end = self._ends.pop()
            os.ftruncate(self._file, self._end)

    def close(self) -> None:
        """Close the file, so that another process may open it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ChainError(f"{path}: the chain is in use by another process.") from None
        data = bounded.read(path, LONGEST)
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines(keepends=True)
        for line in lines:
            self._ends.append(self._end)
            self._end += len(line)
        if whole < len(data):  # a line that a crash cut short was never acted upon
            os.ftruncate(self._file, whole)
        if not lines:
            self._write({"format": FORMAT, **asdict(self.beginning)})
            files.sync(path.parent)
            return
        try:
            head = json_text.parse(lines[0])
            if head.pop("format") != FORMAT:
                raise ValueError("another format")  # noqa: TRY301
            held = Beginning(**head)
            self.steps = [_step(json_text.parse(line)) for line in lines[1:]]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ChainError(f"{path}: no chain's journal, or damaged: {error}") from None
        if held.chain_id != self.beginning.chain_id:
            raise ChainError(
                f"{path}: the stored chain has id {held.chain_id}, but the configuration says "
                f"{self.beginning.chain_id}."
            )
        self.beginning = held

    def _write(self, tree: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(tree, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # noqa: TRY301 (no space left on the device)
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise ChainError(f"{self._where}: cannot be written: {error.strerror}.") from None
        self._ends.append(self._end)
        self._end += len(line)


def _step(tree: dict[str, Any]) -> Step:
    step = Step(**tree)
    if not (isinstance(step.over, str) and isinstance(step.raw, str) and isinstance(step.mine, int)):
        raise TypeError(f"no step: {tree!r:.80}")
    return step
