"""Where a run is killed in the tests: every step of a founding, of a round, and of a run's end.

The second of three rounds is the one that dies, so that there is something before it and after it. An anvil
is killed once in each state of the chain: between two transactions only files differ, as on any chain.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from fedcxr.files import TEMPORARY

LEDGER = "fedcxr.ledger.contract:FederationLedger."
OPEN_ROUND = LEDGER + "open_round"
SUBMIT = LEDGER + "submit"
FINALIZE = LEDGER + "finalize"
SEND = "web3.eth:Eth.send_raw_transaction"
COMMIT = "fedcxr.chain.embedded.sqlite_db:SqliteDB.commit"
JOURNAL = "fedcxr.chain.anvil.journal:Journal.append"
STEP = "torch.optim.adam:Adam.step"
SIGN = "clients.member:Member.sign"
PUT = "fedcxr.store.blobs:BlobStore.put"
MASKED_SUM = "fedcxr.aggregation.masked_sum:MaskedSum."
ADD = "fedcxr.aggregation.weighted_sum:WeightedSum.add"
RENAME = "pathlib:Path.replace"
UNLINK = "pathlib:Path.unlink"
APPEND = "fedcxr.files:append_line"
WRITE = "fedcxr.files:write"
KEEP = "fedcxr.store.hospital_state:HospitalState.write"


EITHER = ("embedded", "anvil")
FILES = ("embedded",)
"""The modes of a point at which an anvil is in the state of another point."""


@dataclass(frozen=True)
class CrashPoint:
    """A moment of a run.

    Attributes:
        name: in words.
        target: the function at which it lies, ``module:attribute.attribute``.
        moment: before the call, after it, or half way through what it writes: its second argument, a
            line or a file's content.
        call: which of the calls that count, from 1.
        path: only calls count whose arguments have this in them.
        round: calls count once this round is being opened; 0: from the start.
        since: and once these functions have been called after that, one after the other.
        victim: whose process is killed: the run's own, that of its chain, or both.
        modes: of the run in which this point lies: its chain, how it records and judges updates, or that its
            hospitals keep something between rounds.
    """

    name: str
    target: str
    moment: Literal["before", "after", "half"]
    call: int = 1
    path: str = ""
    round: int = 0
    since: tuple[str, ...] = ()
    victim: Literal["run", "chain", "both"] = "run"
    modes: tuple[str, ...] = EITHER


def between(what: str, path: str, round_number: int = 0, modes: tuple[str, ...] = FILES) -> CrashPoint:
    """Between a file's temporary name and its own."""
    name = f"between the temporary file of {what} and its rename"
    return CrashPoint(name, RENAME, "before", path=path, round=round_number, modes=modes)


FOUNDING = (
    between("the configuration", "/config.toml"),
    between("the partition", "/partition.json"),
    between("the decoded images' stamps", "/stamps.npy"),
    between("a hospital's settings", "/hospital.toml"),
    between("the layout", "/layout.json"),
    between("the first model", "/round-0000.safetensors"),
    between("the coordinator's keys", "/coordinator.json"),
    CrashPoint("before the contract is deployed", LEDGER + "deploy", "before"),
    between("what names the contract, which is deployed", "/ledger.json", modes=EITHER),
    between("a hospital's keys", "/identity.json"),
    CrashPoint("after one hospital is registered", LEDGER + "register", "after"),
)

ROUND = (
    CrashPoint("before the round is opened", OPEN_ROUND, "before", round=2),
    CrashPoint("after the round is opened", OPEN_ROUND, "after", round=2),
    CrashPoint("before training", "clients.hospital:Hospital.train", "before", 2, round=2, modes=FILES),
    CrashPoint("mid-training", STEP, "after", 2, round=2),
    CrashPoint("before signing", SIGN, "before", round=2, modes=FILES),
    CrashPoint(
        "half way through a line of the journal", APPEND, "half", path="/journal.jsonl", round=2, modes=FILES
    ),
    CrashPoint("after signing", SIGN, "after", 2, round=2, modes=FILES),
    CrashPoint("before the blob is stored", PUT, "before", round=2, modes=FILES),
    between("the blob", "/blobs/", 2),
    CrashPoint("after the blob is stored, before its metrics", PUT, "after", round=2, modes=FILES),
    CrashPoint("after the blob is stored, before submission", SUBMIT, "before", 2, round=2, modes=FILES),
    CrashPoint(
        "after submission, before its block is on the disk",
        COMMIT,
        "before",
        round=2,
        since=(SUBMIT, SEND),
        modes=("embedded",),
    ),
    CrashPoint(
        "after submission is journalled, before the chain hears of it",
        JOURNAL,
        "after",
        round=2,
        since=(SUBMIT, SEND),
        modes=("anvil",),
    ),
    CrashPoint("after submission, before its receipt", SEND, "after", round=2, since=(SUBMIT,)),
    CrashPoint("after the receipt, before the update is added", SUBMIT, "after", round=2),
    CrashPoint("during aggregation", ADD, "after", round=2, modes=FILES),
    CrashPoint("before the round is closed", LEDGER + "close", "before", round=2, modes=FILES),
    CrashPoint("after the round is closed, before the model is written", LEDGER + "close", "after", round=2),
    CrashPoint(
        "before the model is written", "fedcxr.update.model_file:write", "before", round=2, modes=FILES
    ),
    between("the model", "/round-0002.safetensors", 2),
    CrashPoint("before finalize", FINALIZE, "before", round=2, modes=FILES),
    CrashPoint("after finalize is sent, before its receipt", SEND, "after", round=2, since=(FINALIZE,)),
    CrashPoint("after finalize", FINALIZE, "after", round=2),
    CrashPoint("after the credits are settled", LEDGER + "settle", "after", round=2),
    CrashPoint("half way through a line of metrics.jsonl", APPEND, "half", path="/metrics.jsonl", round=2),
    CrashPoint("after the round is on record", APPEND, "after", path="/metrics.jsonl", round=2, modes=FILES),
)

END = (
    CrashPoint("after the last finalize", FINALIZE, "after", round=3),
    CrashPoint(
        "half way through the last line of metrics.jsonl",
        APPEND,
        "half",
        path="/metrics",
        round=3,
        modes=FILES,
    ),
    CrashPoint(
        "before the chain is closed",
        "fedcxr.chain.embedded.sqlite_db:SqliteDB.close",
        "before",
        round=3,
        modes=("embedded",),
    ),
    between("the picture of the scores", "/auroc.png", 3),
    between("the summary", "/summary.md", 3, modes=EITHER),
)

CHAIN = (
    CrashPoint("the chain dies as the contract is deployed", SEND, "before", 2, victim="chain"),
    CrashPoint("the chain dies in training", STEP, "after", round=2, victim="chain"),
    CrashPoint("the chain dies before a submission", SUBMIT, "before", round=2, victim="chain"),
    CrashPoint("the chain dies before a receipt", SEND, "after", round=2, since=(SUBMIT,), victim="chain"),
    CrashPoint("the chain dies before finalize", FINALIZE, "before", round=2, victim="chain"),
    CrashPoint("the chain dies with the run, after finalize", FINALIZE, "after", round=2, victim="both"),
)

ROOT = (
    CrashPoint("before the list is stored", LEDGER + "listing", "after", round=2),
    CrashPoint("after the list is stored, before its root is sent", LEDGER + "close", "before", round=2),
    CrashPoint("after one root has closed the round", LEDGER + "close", "after", round=2),
    CrashPoint("after an update of the list is added", ADD, "after", round=2),
)

COMMITTEE = (
    CrashPoint("before the committee is drawn", LEDGER + "draw_committee", "before", round=2),
    CrashPoint("after closing, before anybody judges", LEDGER + "close", "after", round=2),
    CrashPoint("while a member judges", "clients.member:Member.check_candidate", "after", 2, round=2),
    CrashPoint("after the first update's verdicts are relayed", LEDGER + "attest", "after", round=2),
    CrashPoint("before verdicts are counted", LEDGER + "validate", "before", round=2),
    CrashPoint("after verdicts are counted", LEDGER + "validate", "after", round=2),
)

MEMORY = (
    CrashPoint("before a hospital writes what it keeps", KEEP, "before", 2, round=2),
    CrashPoint("half way through what a hospital keeps", WRITE, "half", path="/state/0002", round=2),
    CrashPoint("after a hospital wrote what it keeps, before its update leaves", KEEP, "after", round=2),
    CrashPoint("after finalize, before the next round trains on what was kept", FINALIZE, "after", round=2),
    CrashPoint("before what is kept of the first round goes", UNLINK, "before", path="/state/0001", round=2),
)

RECORD = "clients.disk:HospitalDisk.write_masked_record"
UNMASK = "clients.hospital:Hospital.unmask"
CLOSE = LEDGER + "close"

MASKED = (
    CrashPoint("before an attempt is begun", RECORD, "before", 3, round=2),
    between("masked.json", "/masked.json", 2),
    CrashPoint("after an attempt is begun", RECORD, "after", round=2),
    CrashPoint("after the masked vector is kept", "clients.disk:HospitalDisk.keep_update", "after", round=2),
    CrashPoint("before what leaves is written down", RECORD, "before", 4, round=2),
    CrashPoint("after what leaves is written down", RECORD, "after", 4, round=2),
    CrashPoint("after a masked submission, before its receipt", SEND, "after", round=2, since=(SUBMIT,)),
    CrashPoint("after the set is fixed", CLOSE, "after", round=2),
    CrashPoint("before what is released is written down", RECORD, "before", 2, round=2, since=(CLOSE,)),
    CrashPoint("after what is released is written down", RECORD, "after", 2, round=2, since=(CLOSE,)),
    CrashPoint("after a hospital answered", UNMASK, "after", 3, round=2),
    CrashPoint("after an answer is kept", "server.unmasking:SecondTrip.keep", "after", 2, round=2),
    CrashPoint("before the masks are off", MASKED_SUM + "unmask", "before", round=2),
    CrashPoint("after the masks are off", MASKED_SUM + "unmask", "after", round=2),
    CrashPoint("before the seeds are published", PUT, "before", round=2, since=(MASKED_SUM + "unmask",)),
    CrashPoint("after the seeds are published", PUT, "after", round=2, since=(MASKED_SUM + "unmask",)),
    CrashPoint("after a masked round is final, before its line", FINALIZE, "after", round=2),
)

POINTS = (
    *FOUNDING,
    *ROUND,
    *END,
    *(replace(point, modes=("anvil",)) for point in CHAIN),
    *(replace(point, modes=("root",)) for point in ROOT),
    *(replace(point, modes=("committee",)) for point in COMMITTEE),
    *(replace(point, modes=("memory",)) for point in MEMORY),
    *(replace(point, modes=("masked",)) for point in MASKED),
)


def cases(*modes: str) -> list[Any]:
    """Every point of these modes, as a test's parameters."""
    return [
        pytest.param(mode, point, id=f"{mode}-{point.name.replace(' ', '-')}")
        for mode in modes
        for point in POINTS
        if mode in point.modes
    ]


class Trap:
    """Kills at a crash point, once: this process, or that of its chain."""

    def __init__(self, point: CrashPoint) -> None:
        self.point = point
        self.calls = 0
        self.armed = point.round == 0
        self.passed = 0  # of those that must have been called
        self.chains: list[Any] = []

    def set(self) -> None:
        """Wrap the functions that the point names, wherever this process calls them from now on."""
        wrap(self.point.target, self._watch)
        for place, target in enumerate(self.point.since):
            wrap(target, functools.partial(self._watch_since, place))
        if self.point.round:
            wrap(OPEN_ROUND, self._watch_round)
        if self.point.victim != "run":
            wrap("fedcxr.chain.anvil.chain:AnvilChain.__init__", self._watch_chain)

    def _spring(self) -> None:
        if self.point.victim != "run":
            os.kill(self.chains[-1].pid, signal.SIGKILL)
        if self.point.victim != "chain":
            os.kill(os.getpid(), signal.SIGKILL)

    def _watch_chain(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.chains.append(arguments[0])
        return function(*arguments, **named)

    def _watch_round(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.armed = self.armed or arguments[1] >= self.point.round
        return function(*arguments, **named)

    def _watch_since(self, place: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.passed += self.armed and self.passed == place
        return function(*arguments, **named)

    def _watch(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        counts = self.armed and self.passed == len(self.point.since)
        counts = counts and any(self.point.path in str(argument) for argument in arguments)
        self.calls += counts
        due = counts and self.calls == self.point.call
        if due and self.point.moment == "before":
            self._spring()
        if due and self.point.moment == "half":
            with half_written(*arguments, appended=self.point.target == APPEND):
                self._spring()
        result = function(*arguments, **named)
        if due and self.point.moment == "after":
            self._spring()
        return result


class Halt(Trap):
    """Stops this process at a crash point, once; whoever waits for it sees what a kill would leave there."""

    def __init__(self, point: CrashPoint, told: Path) -> None:
        """``told``: the file that names the point to who waits."""
        super().__init__(point)
        self._told = told

    def _spring(self) -> None:
        self._told.write_text(self.point.name)
        os.kill(os.getpid(), signal.SIGSTOP)  # every thread stands still until somebody sends SIGCONT


@contextlib.contextmanager
def half_written(path: Path, content: str | bytes, *, appended: bool) -> Iterator[None]:
    """Half of what is to be written, as long as this lasts.

    A line begins in its file; what replaces a file begins under a temporary name.
    """
    data = content.encode() if isinstance(content, str) else content
    begun = path if appended else path.with_name(path.name + TEMPORARY)
    before = begun.read_bytes() if begun.exists() else None
    with begun.open("ab") as file:
        file.write(data[: len(data) // 2])
    yield
    if before is None:
        begun.unlink()
    else:
        begun.write_bytes(before)


def wrap(target: str, watch: Callable[..., Any]) -> None:
    """Put ``watch(function, *arguments, **named)`` in a function's place."""
    owner, name = found(target)
    held = inspect.getattr_static(owner, name)
    function = held.__func__ if isinstance(held, classmethod) else held

    @functools.wraps(function)
    def watched(*arguments: Any, **named: Any) -> Any:
        return watch(function, *arguments, **named)

    setattr(owner, name, classmethod(watched) if isinstance(held, classmethod) else watched)


def found(target: str) -> tuple[Any, str]:
    """What a target is an attribute of, and its name there.

    Raises:
        LookupError: it is not there.
    """
    module, _, path = target.partition(":")
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    if not hasattr(owner, name):
        raise LookupError(target)
    return owner, name
