"""Where ``fedcxr ledger`` reads, and which rounds: what its commands have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fedcxr.terminal import say

if TYPE_CHECKING:
    from fedcxr.indexer.location import ChainLocation, IndexedLedger
    from fedcxr.indexer.members import Members
    from fedcxr.report.ledger.words import Names
    from fedcxr.store.blobs import BlobStore

T = TypeVar("T")
_SHOWN = 30  # rounds of a table, unless asked otherwise; JSON has all


def location_of(
    run: Path | None, rpc: str | None, contract: str | None, trust_run: bool
) -> tuple[ChainLocation, Names]:
    """Where to read, and what the members are called."""
    from fedcxr.indexer.location import ChainLocation
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.store.run_location import location_of_run

    if (run is None) == (rpc is None):
        raise typer.BadParameter("name a run directory, or --rpc URL and --contract ADDRESS.")
    if rpc is not None:
        if contract is None:
            raise typer.BadParameter("--rpc wants --contract ADDRESS.")
        return ChainLocation(contract, url=rpc), names_of(None)
    assert run is not None
    return location_of_run(RunDirectory.open(run, trusted=trust_run), contract or ""), names_of(run)


def either_order(who: str, run: Path | None) -> tuple[str, Path | None]:
    """Who is asked for, and the run; most commands have the run first, so it may stand first here, too."""
    if run is not None and not run.is_dir() and (Path(who) / "config.toml").is_file():
        return str(run), Path(who)
    return who, run


def names_of(run: Path | None) -> Names:
    """What a run calls its members; nothing without one."""
    from fedcxr.report.ledger.words import Names
    from fedcxr.store.run_directory import RunDirectory

    return Names({} if run is None else RunDirectory(run).metrics.hospital_names())


def ask(location: ChainLocation, question: Callable[[IndexedLedger], T]) -> T:
    """Put a question to the index, with a bar while it is brought up to date."""
    from fedcxr.indexer.location import ask as ask_index

    shown = _Bar()
    try:
        return ask_index(location, question, progress=shown, say=lambda text: say(text, err=True))
    finally:
        shown.close()


def ask_by_name(
    location: ChainLocation, names: Names, question: Callable[[IndexedLedger, Members, Names], T]
) -> tuple[T, Names]:
    """As :func:`ask`; the question is given the members, and names that follow them through their keys.

    Returns:
        The answer, and these names.
    """
    from fedcxr.indexer.members import Members

    def named(ledger: IndexedLedger) -> tuple[T, Names]:
        members = Members.of(ledger.index)
        following = names.along(member.accounts for member in members)
        return question(ledger, members, following), following

    return ask(location, named)


class _Bar:
    """A bar that is imported and shown only where there is something to read."""

    def __init__(self) -> None:
        self._stack: Any = None
        self._report: Callable[[int, int], None] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._report is None:
            from contextlib import ExitStack

            from fedcxr.cli.progress import bar

            self._stack = ExitStack()
            self._report = self._stack.enter_context(bar("read the chain", "blocks"))
        self._report(done, total)

    def close(self) -> None:
        if self._stack is not None:
            self._stack.close()


def asked_rounds(
    ledger: IndexedLedger, last: int | None, numbers: str | None, everything: bool
) -> tuple[int, int | None, int]:
    """First and last round that are asked for, and how many earlier ones a table leaves out."""
    if last is not None and numbers is not None:
        raise typer.BadParameter("--last or --rounds, not both.")
    if (asked := parse_rounds(numbers)) is not None:
        return *asked, 0
    if last is None and everything:
        return 1, None, 0
    opened = ledger.index.select("RoundOpened", 'e.round = (SELECT max(round) FROM "RoundOpened")')
    latest = opened[-1]["round"] if opened else 0
    first = max(latest - (last or _SHOWN) + 1, 1)
    return first, None, 0 if last else first - 1


def parse_rounds(text: str | None) -> tuple[int, int] | None:
    """``3-7`` or ``3`` as first and last."""
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(first) > int(last or first):
        raise typer.BadParameter(f"--rounds {text}: write A-B, as in 3-7, or a single round: 5.")
    return int(first), int(last or first)


def earlier_rounds(hidden: int) -> tuple[str, ...]:
    """A table's note on those that it leaves out."""
    return (f"Earlier ones: --rounds 1-{hidden}, or --last N.",) if hidden else ()


def split_run(words: list[str], rpc: str | None, *wanted: str) -> tuple[Path | None, list[str]]:
    """The run directory and what follows it; with ``--rpc`` there is no run, and all of the words follow.

    Args:
        words: of the command line.
        rpc: the endpoint, if any.
        wanted: what has to follow, for the error.
    """
    expected = [*(() if rpc is not None else ("RUN",)), *wanted]
    if len(words) != len(expected):
        raise typer.BadParameter(f"{' '.join(words)!r}: {' '.join(expected)} is expected.")
    return (None, words) if rpc is not None else (Path(words[0]), words[1:])


def round_number(text: str) -> int:
    """A round, which is a number from 1 on."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise typer.BadParameter(f"{text!r} is no round: they count from 1.")
    return int(text)


@dataclass(frozen=True)
class StoreChoice:
    """The store in which a command looks: the one that the reader names, or the run's.

    Attributes:
        run: the run directory, if any.
        url: as the reader names it; None where it is the run's.
        trust_run: whether the run may name another store than its own folder.
    """

    run: Path | None
    url: str | None
    trust_run: bool

    def open(self) -> BlobStore | None:
        """The store, to read from; None where there is neither a run nor a URL.

        Raises:
            UntrustedRunError: the run names a store, and is not trusted.
        """
        from fedcxr.store.blobs import BlobStore
        from fedcxr.store.run_directory import RunDirectory

        if self.run is None and self.url is None:
            return None
        url = self.url or RunDirectory(self.run or Path(), self.trust_run).store_url
        return BlobStore(url, make=False)

    def fetch(self, root: bytes) -> bytes:
        """The list of submissions under a root.

        Raises:
            StoreError: it is not there, or there is no store to look into.
        """
        from fedcxr.errors import StoreError
        from fedcxr.ledger.submissions.listing import LONGEST

        if (store := self.open()) is None:
            raise StoreError(f"submissions are in the list {root.hex()} of a store: say which (--store URL).")
        return store.get(root, LONGEST).tobytes()
