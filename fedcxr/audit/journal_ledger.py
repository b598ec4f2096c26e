"""A run whose chain was an anvil: its journal is executed again, by a fresh anvil over a copy of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr import bounded
from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.history import Chain
from fedcxr.audit.ledger_source import EndpointLedger, Progress, read_facts
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.anvil.journal import LONGEST
from fedcxr.chain.anvil.process import find_anvil
from fedcxr.chain.backends import shown_to_others
from fedcxr.errors import ChainError, StoreError
from fedcxr.ledger.views import FederationViews
from fedcxr.store.run_directory import RunDirectory


@dataclass
class JournalLedger:
    """The contract on an anvil that the run's journal rebuilds: every transaction runs again.

    A journal is its owner's: as with an embedded chain, its last blocks, or all of them, could have been made
    anew. The signatures in it hold either way.
    """

    run: RunDirectory
    storage_is_a_word = False
    head_is_a_word = False
    _endpoint: EndpointLedger | None = field(default=None, repr=False)

    @contextlib.contextmanager
    def open(self, report: AuditReport, progress: Progress) -> Iterator[FederationViews | None]:
        facts = read_facts(self.run, report)
        if facts is None:
            report.unchecked.append("everything else: nothing says which contract the run is about")
            yield None
            return
        report.federation, report.contract = facts.federation, facts.contract
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedcxr-journal-")))
            copy = folder / self.run.journal_path.name
            try:
                bounded.copy(self.run.journal_path, copy, LONGEST)
                if not copy.stat().st_size:
                    raise StoreError("there is nothing in it.")  # noqa: TRY301
            except (OSError, StoreError) as error:
                report.find(self.run.journal_path.name, "the federation's chain", str(error))
                report.unchecked.append("everything else: the chain cannot be executed again")
                yield None
                return
            settings = self.run.ledger_settings
            if settings.anvil != (named := self.run.config.ledger.anvil):
                report.notes.append(f"config.toml names the program {named!r}: the reader's own anvil ran")
            binary = find_anvil(settings.anvil)
            try:
                chain = AnvilChain(copy, chain_id=facts.chain_id, binary=binary)
            except ChainError as error:
                report.find(self.run.journal_path.name, "the federation's chain", str(error))
                report.unchecked.append("everything else: the chain cannot be executed again")
                yield None
                return
            stack.enter_context(contextlib.closing(chain))
            url = stack.enter_context(shown_to_others(chain, "127.0.0.1", 0))
            head = bytes(chain.w3.eth.get_block("latest")["hash"])
            self._endpoint = EndpointLedger(url, facts.contract, head=head, facts=facts)
            yield stack.enter_context(self._endpoint.open(report, progress))

    @property
    def chain(self) -> Chain:
        assert self._endpoint is not None
        return self._endpoint.chain

    def exhibit(self, ledger: FederationViews) -> tuple[ChainProof, bytes]:
        assert self._endpoint is not None
        return self._endpoint.exhibit(ledger)
