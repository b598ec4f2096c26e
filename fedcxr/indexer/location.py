"""Where a federation's history is read: the chain, the contract on it, and the file of the index."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fedcxr import bounded
from fedcxr.errors import ChainError, LedgerError, StoreError
from fedcxr.indexer.index_file import DamagedError, IndexFile
from fedcxr.indexer.offline import OfflineChain
from fedcxr.indexer.scan import Progress, Scan, scan
from fedcxr.indexer.source import Source

if TYPE_CHECKING:
    from fedcxr.indexer.endpoint import Endpoint

_LONGEST_URL = 2048  # bytes
LOOPBACK = re.compile(r"http://(127(\.\d{1,3}){3}|localhost|\[::1\]):\d{1,5}/?", re.ASCII)
"""A URL at which nobody but this machine is asked, and nothing told but what is asked."""

T = TypeVar("T")
Say = Callable[[str], None]


class _UnwritableIndexError(Exception):
    """The index cannot be written where it was wanted."""


@dataclass(frozen=True)
class ChainLocation:
    """A federation's contract, and the ways to its chain.

    Attributes:
        contract: address.
        url: of a JSON-RPC endpoint that stands; empty where the chain comes and goes with its run.
        chain_id: that it must have; None for any.
        genesis: hex hash that its first block must have; empty for any.
        file: of the embedded chain.
        journal: of an anvil's chain, which ``anvil`` is the program of.
        endpoint: file with the URL at which such a chain answers while its run goes on.
        loopback: whether that URL counts only where it is of this machine's own loopback.
        index: where the index belongs; None for the user's cache directory. It is the reader's own: what it
            says is believed, so that none may come from whom the chain comes from.
    """

    contract: str
    url: str = ""
    chain_id: int | None = None
    genesis: str = ""
    file: Path | None = None
    journal: Path | None = None
    anvil: str = ""
    endpoint: Path | None = None
    loopback: bool = True
    index: Path | None = None

    def __post_init__(self) -> None:
        """Raises LedgerError for what is no address."""
        if not re.fullmatch(r"0x[0-9a-fA-F]{40}", self.contract):
            raise LedgerError(f"{self.contract!r} is no address: 0x and 40 hexadecimal digits.")


@dataclass(frozen=True)
class IndexedLedger:
    """An index that is up to date, and the chain behind it."""

    index: IndexFile
    source: Source
    location: ChainLocation
    chain_id: int
    scan: Scan

    @property
    def offline(self) -> bool:
        """Whether the chain was read where its run left it, and not asked of somebody."""
        from fedcxr.indexer.endpoint import Endpoint

        return not isinstance(self.source, Endpoint)


@contextlib.contextmanager
def opened(
    location: ChainLocation, *, progress: Progress = lambda done, total: None, say: Say = lambda text: None
) -> Iterator[IndexedLedger]:
    """Open the index of a location, and bring it up to date.

    Args:
        location: of the federation.
        progress: told blocks read, and to read.
        say: told, in a sentence, what was unusual: an index made again, one that is not kept.

    Raises:
        ChainError: the chain is missing, away or damaged.
        LedgerError: it has no such contract.
        DamagedError: from within, where the index turns out to be damaged: it is to be opened again.
    """
    source, chain_id = connect(location)
    with contextlib.closing(source):
        ledger = _ready(location, source, chain_id, progress, say)
        with contextlib.closing(ledger.index):
            try:
                yield ledger
            except DamagedError as error:
                if ledger.index.path is not None:
                    _remove(ledger.index.path, str(error), say)
                raise


def ask(
    location: ChainLocation,
    question: Callable[[IndexedLedger], T],
    *,
    progress: Progress = lambda done, total: None,
    say: Say = lambda text: None,
) -> T:
    """Ask the index of a location a question; other arguments and errors are those of :func:`opened`."""
    with contextlib.suppress(DamagedError), opened(location, progress=progress, say=say) as ledger:
        return _answered(ledger, question)
    try:
        with opened(location, progress=progress, say=say) as ledger:
            return _answered(ledger, question)
    except DamagedError as error:
        raise ChainError(f"the index was damaged twice while it was read: {error}.") from None


def _answered(ledger: IndexedLedger, question: Callable[[IndexedLedger], T]) -> T:
    """The answer; our own contract's events fit together, and a stranger's may not."""
    try:
        return question(ledger)
    except (KeyError, IndexError, ValueError) as error:
        raise LedgerError(
            f"{ledger.location.contract}: its events contradict each other ({error!r}): is it a federation's?"
        ) from error


def connect(location: ChainLocation) -> tuple[Source, int]:
    """Connect to the chain of a location: to its endpoint while there is one, else to its file.

    Returns:
        The chain, and its id.

    Raises:
        ChainError: it does not answer, is another chain, or is not there.
    """
    for url in _urls(location):
        from fedcxr.indexer.endpoint import Endpoint

        endpoint = Endpoint(url, tries=3 if location.url else 1)
        try:
            chain_id = endpoint.chain_id()
            _require(location, endpoint, chain_id)
        except ChainError:
            endpoint.close()
            if location.url:
                raise
            continue  # what a run that was killed has left behind
        return endpoint, chain_id
    if location.chain_id is None or (location.file is None and location.journal is None):
        raise ChainError(f"{location.contract}: there is neither an endpoint nor a file of its chain.")
    if location.journal is not None and location.journal.exists():
        from fedcxr.indexer.anvil_offline import OfflineAnvil

        return OfflineAnvil(location.journal, location.chain_id, location.anvil), location.chain_id
    assert location.file is not None
    return OfflineChain(location.file, location.chain_id), location.chain_id


def _require(location: ChainLocation, endpoint: Endpoint, chain_id: int) -> None:
    """Raises ChainError where an endpoint has another chain."""
    if location.chain_id not in (None, chain_id):
        raise ChainError(f"{endpoint.name}: chain {chain_id}, where {location.chain_id} is expected.")
    if location.genesis and (first := endpoint.block(0)) is not None:
        _require_genesis(location, first.hash, endpoint.name)


def _require_genesis(location: ChainLocation, found: bytes | None, where: object) -> None:
    if location.genesis and found is not None and found.hex() != location.genesis.removeprefix("0x"):
        raise ChainError(
            f"{where}: the chain's first block is {found.hex()}, where {location.genesis} is expected: "
            "it was begun anew, and is not the federation's."
        )


def _urls(location: ChainLocation) -> Iterator[str]:
    if location.url:
        yield location.url
    elif location.endpoint is not None:
        with contextlib.suppress(OSError, StoreError, UnicodeDecodeError):
            url = bounded.read(location.endpoint, _LONGEST_URL).decode().strip()
            if not location.loopback or LOOPBACK.fullmatch(url):
                yield url


def _paths(location: ChainLocation, chain_id: int) -> Iterator[Path | None]:
    """Where the index may be, best first; None is memory."""
    if location.index is not None:
        yield location.index
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    name = f"{chain_id}-{location.contract.lower()}-{_whence(location)}.sqlite"
    yield Path(home) / "fedcxr" / "ledger" / name
    yield None


def _whence(location: ChainLocation) -> str:
    """A short digest of where a chain is read: what one place says of a block is not believed of another."""
    file = location.file or location.journal
    place = location.url or (str(file.resolve()) if file is not None else "")
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:16]


def _open(path: Path | None) -> IndexFile:
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        return IndexFile(path)
    except OSError as error:
        raise _UnwritableIndexError(f"{path}: {error.strerror}.") from None
    except StoreError as error:
        raise _UnwritableIndexError(str(error)) from None


def _ready(
    location: ChainLocation, source: Source, chain_id: int, progress: Progress, say: Say
) -> IndexedLedger:
    for path in _paths(location, chain_id):
        for last in (False, True):
            try:
                index = _open(path)
                try:
                    done = _scanned(index, source, location, chain_id, progress)
                except BaseException:
                    index.close()
                    raise
            except DamagedError as error:
                if last or path is None:
                    raise ChainError(f"{path or 'the index'}: damaged again and again: {error}.") from None
                _remove(path, str(error), say)
            except _UnwritableIndexError as error:
                say(f"{error} The index is kept elsewhere.")
                break
            else:
                if done.rewound is not None:
                    say(rewound_text(done.rewound))
                return IndexedLedger(index, source, location, chain_id, done)
    raise StoreError(f"{location.contract}: there is no place for an index.")  # memory always is one


def _scanned(
    index: IndexFile, source: Source, location: ChainLocation, chain_id: int, progress: Progress
) -> Scan:
    if index.scanned is None and not source.may_hold(location.contract):
        raise LedgerError(f"no contract at {location.contract} on chain {chain_id}.")
    try:
        done = scan(index, source, location.contract, progress)
    except StoreError as error:
        raise _UnwritableIndexError(str(error)) from None
    _require_genesis(location, index.genesis, location.file)
    return done


def _remove(path: Path, why: str, say: Say) -> None:
    say(f"{path}: {why}; the index is made again.")
    try:
        for name in (path.name, path.name + "-journal"):
            path.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}.") from None


def rewound_text(block: int) -> str:
    """What it means that a scan went back to a block."""
    if block < 0:
        return "the chain is another one than the index was made of; everything was read again."
    return f"the chain took blocks back; everything after block {block:,} was read again."
