"""Where an audit's contract is: on a chain that is executed again, or behind an endpoint that may lie."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from web3 import Web3

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.chain.proven_provider import proven
from fedcxr.audit.chain.reading import read_chain
from fedcxr.audit.findings import AuditReport, unknown_head
from fedcxr.audit.history import Chain, ExecutedChain, ProvenChain
from fedcxr.audit.record import check_record
from fedcxr.audit.storage import check_storage
from fedcxr.chain.embedded import replay
from fedcxr.chain.embedded.replay import Replayed
from fedcxr.chain.rpc_server import connect
from fedcxr.errors import ChainError, FedcxrError, LedgerError, StoreError
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.transaction import translated
from fedcxr.ledger.views import FederationViews, checked_address
from fedcxr.store.run_directory import LedgerFacts, RunDirectory

Progress = Callable[[str, int, int], None]  # what, done, total


class LedgerSource(Protocol):
    """Opens the contract.

    Attributes:
        storage_is_a_word: whether the contract's storage is only what somebody says it is.
    """

    storage_is_a_word: bool

    @property
    def head_is_a_word(self) -> bool:
        """Whether nobody but the chain's endpoint names its head."""
        ...

    def open(self, report: AuditReport, progress: Progress) -> AbstractContextManager[FederationViews | None]:
        """The contract; None when there is none to hold a run against, and then the report says why."""
        ...

    @property
    def chain(self) -> Chain:
        """While it is open: the chain's blocks."""
        ...

    def exhibit(self, ledger: FederationViews) -> tuple[ChainProof, bytes]:
        """While it is open: the proof of the contract's events, and the contract's code."""
        ...


@dataclass
class RunLedger:
    """A run with an embedded chain, which is executed again."""

    run: RunDirectory
    storage_is_a_word = False
    head_is_a_word = False

    @contextlib.contextmanager
    def open(self, report: AuditReport, progress: Progress) -> Iterator[FederationViews | None]:
        del progress
        facts = read_facts(self.run, report)
        if facts is None:
            report.unchecked.append("everything else: nothing says which contract the run is about")
            yield None
            return
        report.federation, report.contract = facts.federation, facts.contract
        if self._is_elsewhere():
            raise LedgerError(
                f"{self.run.root}: its chain is not embedded: audit it with --rpc {self._url() or 'URL'}."
            )
        with contextlib.ExitStack() as stack:
            try:
                replayed = stack.enter_context(replay.verify(self.run.chain_path))
            except ChainError as error:
                report.find(self.run.chain_path.name, "the federation's chain", str(error))
                replayed = Replayed()
            yield self._attached(replayed, facts, report)

    def _url(self) -> str:
        """The endpoint that the run's configuration names, its variables as they stand; empty where none."""
        with contextlib.suppress(FedcxrError):
            return self.run.config.ledger.url
        return ""

    def _is_elsewhere(self) -> bool:
        """Whether the run's configuration, which may be damaged, names a chain of another kind."""
        if self.run.chain_path.exists():
            return False
        with contextlib.suppress(FedcxrError):
            return self.run.config.ledger.backend != "embedded"
        return self.run.journal_path.exists()

    def _attached(
        self, replayed: Replayed, facts: LedgerFacts, report: AuditReport
    ) -> FederationViews | None:
        for finding in replayed.findings:
            report.find(finding.where, finding.expected, finding.found)
        if replayed.w3 is None:
            report.unchecked.append("everything else: the chain cannot be executed again")
            return None
        self._w3 = replayed.w3
        if (chain_id := replayed.w3.eth.chain_id) != facts.chain_id:
            report.find("ledger.json chain_id", str(chain_id), str(facts.chain_id))
        try:
            ledger = FederationViews.attach(replayed.w3, facts.contract)
        except LedgerError as error:
            report.find("ledger.json contract", "the federation's contract", f"{facts.contract}: {error}")
            report.unchecked.append("everything else: there is no contract to hold the run against")
            return None
        compare_facts(facts, ledger, replayed.w3, report)
        return ledger

    @property
    def chain(self) -> Chain:
        return ExecutedChain(self._w3)

    def exhibit(self, ledger: FederationViews) -> tuple[ChainProof, bytes]:
        return read_chain(self._w3, ledger.address)[0], _code(self._w3, ledger.address)


@dataclass
class EndpointLedger:
    """A contract behind a JSON-RPC endpoint.

    Attributes:
        url: of the endpoint.
        contract: address.
        head: hash of the head as the auditor has it from elsewhere; None to believe the endpoint.
        facts: of a run directory, to hold against what is there.
    """

    url: str
    contract: str
    head: bytes | None = None
    facts: LedgerFacts | None = None
    storage_is_a_word = True
    _proof: ChainProof | None = field(default=None, repr=False)

    @contextlib.contextmanager
    def open(self, report: AuditReport, progress: Progress) -> Iterator[FederationViews | None]:
        contract = checked_address(self.contract)
        w3 = connect(self.url)
        try:
            proof, disagreements = read_chain(w3, contract, progress)
        except LedgerError:
            self._require_genesis(w3)
            raise
        self._proof = proof
        for difference in [*proof.differences(self.head), *disagreements]:
            report.find(*difference)
        ledger = FederationViews.attach(proven(w3, proof), contract)
        report.federation, report.contract = ledger.federation.hex(), ledger.address
        if self.facts is not None:
            if proof.chain_id != self.facts.chain_id:
                report.find("ledger.json chain_id", str(proof.chain_id), str(self.facts.chain_id))
            compare_facts(self.facts, ledger, w3, report)
        if self.head_is_a_word:
            report.unchecked.append(unknown_head(proof.last, proof.head))
        report.notes.append(
            "the contract's storage is the endpoint's word; it was held to the events, which are proven"
        )
        check_storage(ledger, proof, report)
        by_events = EventViews.of(ledger)
        check_record(by_events, range(1, by_events.last_finalized + 1), proof.timestamp, report)
        yield ledger

    @property
    def head_is_a_word(self) -> bool:
        return self.head is None

    def _require_genesis(self, w3: Web3) -> None:
        """Raises ChainError where the chain is not the run's, and so has no contract of the run's."""
        if self.facts is not None and self.facts.genesis not in ("", found := _genesis(w3)):
            raise ChainError(
                f"{self.url}: the chain's first block is {found}, but the run is on a chain that begins with "
                f"{self.facts.genesis} (ledger.json): it was begun anew, and is not the federation's."
            )

    @property
    def chain(self) -> Chain:
        assert self._proof is not None
        return ProvenChain(self._proof)

    def exhibit(self, ledger: FederationViews) -> tuple[ChainProof, bytes]:
        assert self._proof is not None
        return self._proof, _code(proven(connect(self.url), self._proof), ledger.address)


def _code(w3: Web3, address: str) -> bytes:
    return bytes(translated(lambda: w3.eth.get_code(Web3.to_checksum_address(address))))


def compare_facts(facts: LedgerFacts, ledger: FederationViews, w3: Web3, report: AuditReport) -> None:
    """Hold ``ledger.json`` to the contract and its chain."""
    first = _genesis(w3)
    if facts.genesis not in ("", first):
        report.find("ledger.json genesis", first, facts.genesis)
    if facts.contract != ledger.address:  # in another case: its checksum says that a letter changed
        report.find("ledger.json contract", ledger.address, facts.contract)
    if facts.federation != ledger.federation.hex():
        report.find("ledger.json federation", ledger.federation.hex(), facts.federation)


def _genesis(w3: Web3) -> str:
    """Hash of the chain's first block, in hex."""
    return bytes(translated(lambda: w3.eth.get_block(0))["hash"]).hex()


def read_facts(run: RunDirectory, report: AuditReport) -> LedgerFacts | None:
    """What the run says its contract is; None when that cannot be read.

    Raises:
        StoreError: no run here.
        LedgerError: its federation was never founded, or it has no ledger.
    """
    place = run.root / "ledger.json"
    if not place.exists() and not run.chain_path.exists():
        RunDirectory.open(run.root)  # raises where there is no run at all
        raise LedgerError(f"{run.root} has no ledger yet: its federation was never founded.")
    try:
        facts = run.read_facts()
    except StoreError as error:
        report.find(place.name, "the federation's contract", str(error))
        return None
    if facts.contract:
        return facts
    if not run.chain_path.exists():
        raise LedgerError(f"{run.root} was run with ledger.backend = off: there is nothing to audit.")
    report.find(place.name, "the federation's contract", "none, though there is a chain")
    return None
