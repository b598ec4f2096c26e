"""The updates of one finalized round: their bytes, whether each belongs in the sum, and the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.aggregation.kinds import aggregator_of
from fedcxr.audit.blob_check import BlobResult, BlobTask, Opening
from fedcxr.audit.blob_pool import SharedSum
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import removed_update, sealed_update
from fedcxr.errors import FedcxrError
from fedcxr.ledger.history import brought_by
from fedcxr.ledger.protocol import RoundView
from fedcxr.privacy.masked import longest_header
from fedcxr.privacy.protection import UpdateContext
from fedcxr.update.metrics import LONGEST, HospitalMetrics

Advance = Callable[[int], None]  # bytes of an update that were checked


@dataclass
class RoundUpdates:
    """The audit of a round's updates: :meth:`start` sends them to the workers, :meth:`total` concludes.

    Attributes:
        evidence: what the audit goes by.
        view: of the round, with its submissions.
        masks: context of the round's masked attempt; empty where nothing is masked, or nothing can be.
        metrics: of its hospitals, as they signed them; once :meth:`total` has read them.
        removed: hospitals whose updates the run's keeper removed; once :meth:`start` has looked.
        headers: the beginnings of masked updates that could be read, by hospital; after :meth:`total`.
    """

    evidence: Evidence
    view: RoundView
    masks: bytes = b""
    metrics: dict[str, HospitalMetrics] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    headers: dict[str, bytes] = field(default_factory=dict)
    _results: dict[str, Future[BlobResult]] = field(default_factory=dict)
    _sum: SharedSum | None = None
    _aggregator: Aggregator | None = None  # over the shared sum

    @property
    def hospitals(self) -> list[str]:
        """Those whose updates are looked at: all that were accepted, or the one that was asked for."""
        asked = self.evidence.scope.hospital
        return [a for a in sorted(self.view.accepted) if asked in ("", a)]

    def start(self) -> None:
        """Have the workers check the updates, and add those that are in the sum."""
        view, evidence = self.view, self.evidence
        layout = evidence.layout
        if layout is not None and not self._unreadable and not evidence.scope.hospital:
            self._sum = evidence.pool.borrow(layout.size)
            kind = evidence.protection.aggregation
            self._aggregator = aggregator_of(layout, self._sum.values, kind=kind)
        for address in self.hospitals:
            if address in view.excluded and self._stayed_away(address):
                evidence.never_came.add((view.number, address))
                continue
            if self._is_removed(address):
                self.removed.append(address)
                continue
            evidence.named.add(view.accepted[address].root)
            compares = self._aggregator is not None and self._aggregator.compares
            self._results[address] = self._submit(address, self._opening(address, add=not compares))

    def total(self, advance: Advance) -> Aggregator | None:
        """The sum over the included updates; None when it cannot be computed.

        Args:
            advance: told of each update's bytes.
        """
        view, evidence = self.view, self.evidence
        complete = set(view.included) <= set(view.accepted)
        if not complete:
            self._find("included set", "only accepted updates", ", ".join(sorted(view.included)))
        judged: dict[str, BlobResult] = {}
        for address in self.hospitals:
            evidence.report.updates += 1
            if address in self._results:
                judged[address] = self._results[address].result()
                if judged[address].head:
                    self.headers[address] = judged[address].head
                advance(view.accepted[address].size)
        for address in self.removed:
            self._read_metrics(address)
            evidence.report.unchecked.append(removed_update(view.number, address))
            complete = False
        left_out = self._left_out(judged)
        for address, result in judged.items():
            self._read_metrics(address)
            complete = self._judge(address, result, left_out.get(address, "")) and complete
        total = self._aggregator
        if not complete or total is None or self._sum is None or self._sum.values is None:
            return None
        if total.compares:
            for done in [self._submit(a, self._opening(a, add=True)) for a in view.included]:
                if done.result().error or done.result().refused:
                    return None  # it was there when it was compared
        total.weight = sum(view.weights[address] for address in view.included)
        return total

    def close(self) -> None:
        """Give the buffer of the sum back."""
        self._aggregator = None
        if self._sum is not None:
            self.evidence.pool.give_back(self._sum)

    def _read_metrics(self, address: str) -> None:
        root = self.view.accepted[address].metrics
        data = self.evidence.read_small("metrics", root, LONGEST, self.view.number, address)
        if data is None:
            return
        try:
            self.metrics[address] = HospitalMetrics.from_bytes(data)
        except FedcxrError as error:
            self._find("metrics", "what a hospital reports", str(error), address)

    def _left_out(self, results: Mapping[str, BlobResult]) -> dict[str, str]:
        """Which updates the comparison leaves out; nobody, where the aggregation compares nothing."""
        total = self._aggregator
        if total is None or not total.compares:
            return {}
        measured = {a: r.measured for a, r in results.items() if a in self.view.counted and not r.refused}
        return total.left_out({a: values for a, values in measured.items() if values is not None})

    def _submit(self, address: str, opening: Opening | None) -> Future[BlobResult]:
        """Have an update checked; one that is longer than any of this federation is not even fetched."""
        update, longest = self.view.accepted[address], self.evidence.longest_update
        if update.size <= longest:
            return self.evidence.pool.submit(BlobTask(update.root, update.size, longest, opening))
        self.evidence.report.notes.append(
            f"round {self.view.number}: the update of {address} is said to have {update.size:,} bytes, where "
            f"one of this federation has at most {longest:,}: it was not looked at"
        )
        refused = f"{update.size:,} bytes, where an update has at most {longest:,}."
        done: Future[BlobResult] = Future()
        done.set_result(BlobResult(update.size, refused=refused))
        return done

    def _opening(self, address: str, *, add: bool) -> Opening | None:
        """How an update is read; None where nobody here can, or there is no layout to hold it to.

        An update that is in the sum is tried by every reader; its header commits it to say the same to each.
        An exclusion is tried by the coordinator's, if it is at hand: it decides.
        """
        evidence, layout = self.evidence, self.evidence.layout
        if layout is None or self._unreadable:
            return None
        context = UpdateContext(
            federation=evidence.ledger.federation.hex(),
            round=self.view.number,
            hospital=address,
            layout=layout.digest.hex(),
            values=layout.size,
            weight=self.view.weights[address],
            masks=self.masks,
        )
        included = address in self.view.included
        readers = tuple(range(len(evidence.readers))) if included else (0,)
        name = self._sum.name if included and add and self._sum is not None else ""
        return Opening(
            layout,
            context,
            self.view.weights[address],
            readers,
            name,
            measure=not add,
            aggregation=evidence.protection.aggregation,
            head=longest_header() if evidence.protection.unmasks else 0,
        )

    @property
    def _unreadable(self) -> str:
        """Why no update of the round can be read here; empty where they can."""
        if self.evidence.layout is None:
            return "layout.json is not the ledger's"
        if not self.evidence.readers:
            return "no key"
        if self.evidence.protection.unmasks and self.evidence.colluder_parts is None:
            return "the configuration, which says how many may collude, is not at hand"
        if self.evidence.protection.unmasks and not self.masks:
            return "the ledger's attempt is none that can be unmasked"
        return ""

    def _judge(self, address: str, result: BlobResult, left_out: str) -> bool:
        """Report on an update; whether the sum can still be complete.

        Args:
            address: of its hospital.
            result: what a worker found.
            left_out: why the comparison leaves it out; empty where it does not.
        """
        view, report, included = self.view, self.evidence.report, address in self.view.included
        if result.error:
            said = result.error
            if address in view.excluded:
                said += f" (brought to the contract by {self._bringer(address)})"
            self._find("blob", view.accepted[address].root.hex(), said, address)
        else:
            report.bytes += result.size
            if result.size != view.accepted[address].size:
                self._find("blob size", str(view.accepted[address].size), str(result.size), address)
        if why := self._unreadable:
            report.unchecked.append(sealed_update(view.number, address, why))
            return False
        if result.error:
            return not included
        if not included:
            self._judge_exclusion(address, result, left_out)
            return True
        if left_out:
            self._find("included update", f"one that is left out ({left_out})", "it is in the sum", address)
        if result.refused:
            why = result.refused
            if not self._decides:
                why += " With the coordinator's key it may: then its hospital sealed it badly to the auditor."
            self._find(f"{self.evidence.protection.name} update", "one that opens and adds", why, address)
        return not result.refused

    def _judge_exclusion(self, address: str, result: BlobResult, left_out: str) -> None:
        """An update that is left out although it can be read and added wants a reason that holds."""
        view, report = self.view, self.evidence.report
        if self.evidence.protection.unmasks:
            return  # nobody may be left out of a masked sum, which whoever unmasks it says
        if address not in view.counted:
            report.notes.append(f"round {view.number}: the committee did not approve of {address}'s update")
        elif not result.refused and not (left_out and view.excluded.get(address) == left_out):
            reason = view.excluded.get(address) or "no reason given"
            found = "one that opens and adds"
            if not self._decides:
                found += " with the auditor's key: the coordinator lies, or its hospital sealed it badly"
            self._find("excluded update", f"one that cannot be added ({reason})", found, address)

    def _stayed_away(self, address: str) -> bool:
        """An update that its hospital brought to the contract itself, and whose bytes nobody has.

        The coordinator may never have seen them; whether it has, the hospital's word, which is its complaint,
        is against its own. From any other account an update may have been brought by the coordinator, which
        then had its bytes.
        """
        accepted = self.view.accepted[address]
        if accepted.root in self.evidence.store or self._bringer(address) != address:
            return False
        self.evidence.named.update((accepted.root, accepted.metrics))
        self.evidence.report.notes.append(
            f"round {self.view.number}: the update of {address} was brought to the contract by itself, and "
            f"excluded since its bytes never came ({self.view.excluded[address]})"
        )
        return True

    def _is_removed(self, address: str) -> bool:
        """Whether an update is not there because the run's keeper removed it, as he says.

        He may have had updates removed that are in a sum, and none that was left out; whatever is still there
        is looked at like any other.
        """
        view, evidence = self.view, self.evidence
        if view.number not in evidence.pruned or address not in view.included:
            return False
        return view.accepted[address].root not in evidence.store

    def _bringer(self, address: str) -> str:
        return brought_by(self.evidence.ledger, self.view.number, address)

    @property
    def _decides(self) -> bool:
        """Whether what can be read here can be read by the coordinator, whose word an exclusion is."""
        digest = self.evidence.readers[0].key_digest
        return digest in (b"", self.evidence.ledger.coordinator_key_digest)

    def _find(self, where: str, expected: str, found: str, hospital: str = "") -> None:
        self.evidence.report.find(where, expected, found, self.view.number, hospital)
