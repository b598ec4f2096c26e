"""Bring an index up to its chain's head: what is new is read, what the chain took back is forgotten."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from fedcxr.errors import ChainError, LedgerError
from fedcxr.indexer.events import Event, decode
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.source import Block, MovedError, RefusedError, Source

Progress = Callable[[int, int], None]
_PAGE, _SMALLEST, _LARGEST = 64, 1, 65_536  # blocks that are asked for at once: at first, at least, at most
_QUICK, _SLOW = 0.2, 1.0  # seconds for a page; a live chain answers nobody else meanwhile
_TRIES = 5  # of a chain that is reorganised while it is read


@dataclass(frozen=True)
class Scan:
    """What a scan did.

    Attributes:
        blocks: that were read.
        rewound: the last block that the chain still has, where it took some back; -1 when it has none, for it
            is another chain.
        seconds: it took.
    """

    blocks: int = 0
    rewound: int | None = None
    seconds: float = 0.0


def scan(
    index: IndexFile, source: Source, contract: str, progress: Progress = lambda done, total: None
) -> Scan:
    """Read what is new.

    Args:
        index: to bring up to date.
        source: the chain.
        contract: of the federation.
        progress: told blocks read, and to read.

    Raises:
        ChainError: the chain is away, damaged, or never stands still.
        LedgerError: it has no such contract.
        DamagedError: the index is no longer sound.
    """
    mark = source.mark()
    if index.facts.get("mark") == mark:
        return Scan()
    begun = time.monotonic()
    blocks, rewound = 0, None
    for _ in range(_TRIES):
        try:
            lost = _rewind(index, source)
            rewound = lost if lost is not None else rewound
            blocks += _read(index, source, contract, progress)
        except MovedError:
            continue
        break
    else:
        raise ChainError("the chain was reorganised at each of five tries to read it: try again.")
    # A chain that went on meanwhile is asked again the next time.
    index.close_with({"mark": mark if source.mark() == mark else ""})
    return Scan(blocks, rewound, time.monotonic() - begun)


def _rewind(index: IndexFile, source: Source) -> int | None:
    """Forget what the chain took back; the last block that is common, None when nothing was taken back."""
    scanned = index.scanned
    if scanned is None or source.block(scanned.number) == scanned:
        return None
    known = index.blocks()
    # Where the chain has a block it has all before it. Block 0 is known, so that another chain is found out.
    kept = bisect_left(known, True, key=lambda block: source.block(block.number) != block)
    common = known[kept - 1].number if kept else -1
    with index.writing():
        index.rewind(common)
    return common


def _read(index: IndexFile, source: Source, contract: str, progress: Progress) -> int:
    head, scanned, court = source.head(), index.scanned, index.court
    first = scanned.number + 1 if scanned else 0
    total, size = head.number + 1 - first, _PAGE
    at = first
    while at <= head.number:
        last = min(at + size - 1, head.number)
        begun = time.monotonic()
        try:
            events, blocks, court = _page(source, contract, court, at, last)
        except RefusedError:
            if size == _SMALLEST:
                raise
            size = max(size // 4, _SMALLEST)
            continue
        blocks += [block for number in {0, last} & {*range(at, last + 1)} if (block := source.block(number))]
        took = time.monotonic() - begun
        size = (
            min(2 * size, _LARGEST) if took < _QUICK else max(size // 2, _SMALLEST) if took > _SLOW else size
        )
        with index.writing():
            if index.scanned != scanned:
                raise MovedError  # another command has read on in the same index
            index.add(events, blocks)
        scanned, at = index.scanned, last + 1
        if scanned is None or scanned.number != last:
            raise MovedError
        progress(at - first, total)
    if source.block(head.number) != head:
        raise MovedError
    if court is None:
        raise LedgerError(
            f"no federation's contract at {contract}, in {head.number + 1:,} blocks of the chain."
        )
    return total


def _page(
    source: Source, contract: str, court: str | None, first: int, last: int
) -> tuple[list[Event], list[Block], str | None]:
    """Events of the contract and, once that has named it, of its court."""
    logs, blocks = source.logs([contract, court] if court else [contract], first, last)
    events = [event for log in logs if (event := decode(log)) is not None]
    founded = next((event for event in events if event.name == "FederationCreated"), None)
    if founded is not None and court is None:
        return _page(source, contract, founded.values["court"], first, last)
    return events, blocks, court
