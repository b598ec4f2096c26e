"""The coordinator: makes or resumes a federation, and runs its rounds to the end.

The ledger is the checkpoint. What is finalized stands; a round that was open when the coordinator died is
taken up again, with the updates that the contract had accepted.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from functools import cached_property

import numpy as np
from flwr.serverapp import Grid

from fedcxr.errors import ContractRejectedError, FederationError, QuorumError
from fedcxr.evaluation.scores import Evaluation
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import Ledger, RoundView
from fedcxr.ledger.round_rules import RoundRules
from fedcxr.masked_rounds.attempts import masked_attempt
from fedcxr.messages import RegisterRequest
from fedcxr.privacy.kinds import protection_named
from fedcxr.privacy.protection import Protection
from fedcxr.run.founding import auditor_identity, coordinator_identity, federation_id
from fedcxr.run.model_files import RunModels
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.submissions import with_submissions
from fedcxr.update import model_file
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import LONGEST, RoundConfig
from server.events import FederationStarted, Observer, RoundFinalized, RoundOpened
from server.heads import HeadExchange
from server.masked_round import MaskedRound
from server.rare_labels import objection, rare_labels
from server.records import RoundRecords
from server.registration import HospitalNode, register_hospitals
from server.round import Round, RoundCost
from server.tally import Tally
from server.unmasking import NotUnmaskedError

logger = logging.getLogger(__name__)
Evaluate = Callable[[Vector, Layout], Evaluation]
_REASON = 1_000  # characters of it on the ledger


class Coordinator:
    """Runs a federation over a grid."""

    def __init__(
        self,
        grid: Grid,
        run: RunDirectory,
        ledger: Ledger,
        *,
        layout: Layout,
        expected_hospitals: int,
        observer: Observer,
        evaluate: Evaluate | None,
    ) -> None:
        self.grid = grid
        self.run_directory = run
        self.config = run.config
        self.ledger = ledger
        self.layout = layout
        self.expected_hospitals = expected_hospitals
        self.observer = observer
        self.evaluate = evaluate
        self.store = run.blob_store()
        self.rules = RoundRules(self.config)
        self.releases = RunModels(run, ledger, layout)
        self.heads = HeadExchange(run.heads_path, ledger, federation_id(run.config))
        self.records = RoundRecords(run, ledger)
        self._released: tuple[Vector, bytes] | None = None  # the newest model, which is the next base

    def run(self) -> None:
        """Register the hospitals and run the rounds that are left.

        Raises:
            GridError: too few hospitals came.
            QuorumError: a round got too few updates; it is aborted on the ledger and can be run again.
            FederationError, LedgerError, StoreError: as they say.
        """
        config, ledger = self.config, self.ledger
        members = register_hospitals(
            self.grid,
            ledger,
            self._register_request,
            requests=self.run_directory.signed_requests,
            observer=self.observer,
            expected=self.expected_hospitals,
            join_timeout=config.federation.join_timeout,
            timeout=config.federation.round_timeout,
            masks=self._protection.unmasks,
            withholds=config.federation.withholds,
        )
        for member in members.values():
            self.heads.receive(member.address, member.head)
        first = ledger.last_finalized + 1
        begins = first <= self.rules.rounds and not ledger.round_in_progress
        if begins and len(members) < config.federation.min_hospitals:
            raise QuorumError(
                f"{len(members)} hospitals are registered, but federation.min_hospitals is "
                f"{config.federation.min_hospitals}: no round can succeed; none was opened."
            )
        self.observer(
            FederationStarted(
                hospitals={m.address: m.name for m in members.values()},
                samples={m.address: m.samples for m in members.values()},
                first_round=first,
                rounds=self.rules.rounds,
            )
        )
        if first == 1:
            self.run_directory.metrics.clear()
        if first > 1:
            self.ledger.settle()  # a coordinator before this one may have died before it
        self.records.complete(first - 1, members, self._score)
        base = self.releases.read(first - 1)
        previous = self.releases.read(first - 2) if first > 1 else None
        for number in range(first, self.rules.rounds + 1):
            model = self._run_round(number, base, previous, members)
            base, previous = model, base
            self.releases.prune(number)

    def _score(self, number: int) -> Evaluation | None:
        if self.evaluate is None or not self.run_directory.model(number).exists():
            return None
        return self.evaluate(self.releases.read(number), self.layout)

    def _run_round(
        self, number: int, base: Vector, previous: Vector | None, members: dict[str, HospitalNode]
    ) -> Vector:
        cost = RoundCost()
        current = self._open(number, base, previous, members, cost)
        self.observer(RoundOpened(number, current.view.base, current.view.weights))
        current.collect(self.grid, members, self.config.federation.round_timeout)
        model, digest = self._close(current, base, members)
        seconds = cost.time.total
        with cost.time.of("evaluating"):
            evaluation = self.evaluate(model, self.layout) if self.evaluate else None
        line = self.records.write(current, digest, seconds, evaluation, members)
        self.observer(RoundFinalized(number, digest, line.included, seconds, evaluation, line.shares))
        return model

    def _close(self, current: Round, base: Vector, members: dict[str, HospitalNode]) -> tuple[Vector, bytes]:
        """Close and validate the round, and release its model: written, then finalized on the ledger."""
        number, federation = current.view.number, self.config.federation
        opens = current.view.status == RoundPhase.OPEN
        if opens and (reason := current.objection):
            raise self._aborted(number, reason)
        if not opens or len(current.view.accepted) >= federation.min_hospitals:
            current.close(self.grid, members, federation.round_timeout)
        if reason := current.shortfall(federation):
            raise self._aborted(number, reason)
        try:
            current.unmask(self.grid, members, federation.round_timeout)
        except NotUnmaskedError as error:
            raise self._aborted(number, str(error)) from None
        if reason := objection(current.tally.total.total, self.layout, current.config):
            raise self._aborted(number, reason)
        if current.masked is not None:
            with current.cost.time.of("ledger"):
                self.ledger.publish_seeds(number, current.masked.seeds_root)
        with current.cost.time.of("releasing"):
            model = current.tally.total.model(base, current.config.exponents)
            model.setflags(write=False)
            digest = model_file.vector_digest(model)
            self._released = model, digest
            root = current.tally.total.root
            if self._challengeable:
                # In the store before it is final: anyone may hold a chunk of it to the sum of the updates'.
                self.store.put(current.tally.total.total.astype("<u4", copy=False).view(np.uint8), root)
            # On the disk before it is final: what the contract calls the next base can always be sent.
            self.releases.write(number, model, digest)
        with current.cost.time.of("ledger"):
            self.ledger.finalize(
                number,
                aggregate_root=root,
                model_digest=digest,
                excluded={a: why for a, why in current.tally.excluded.items() if a in current.view.counted},
            )
            self.ledger.settle()
        return model, digest

    @property
    def _challengeable(self) -> bool:
        """Whether the court can hold an aggregate to the sum of the updates, once its masks are off."""
        views = self.ledger.views
        masked = self._protection.unmasks and views is not None and views.court_has("challengeMasked")
        return self._protection.challengeable or masked

    def _aborted(self, number: int, reason: str) -> QuorumError:
        """Abort a round, and say so."""
        self.ledger.abort(number, reason[:_REASON])
        return QuorumError(f"round {number}: {reason}; the round is aborted.")

    def _masked(self, view: RoundView, longest: int) -> MaskedRound | None:
        """What a masked round has besides; None where nothing is masked.

        Raises:
            QuorumError: nothing could be unmasked: the round is aborted.
        """
        if not self._protection.unmasks:
            return None
        assert self.ledger.views is not None  # the configuration wants a ledger
        privacy = self.config.privacy
        try:
            attempt = masked_attempt(self.ledger.views, view.number, privacy.colluder_parts, self.layout.size)
        except FederationError as error:
            raise self._aborted(view.number, str(error)) from None
        if warning := attempt.numbers.warning:
            logger.warning("round %d: %s", view.number, warning)
        return MaskedRound(
            views=self.ledger.views,
            attempt=attempt,
            parts=privacy.colluder_parts,
            window=privacy.unmask_window,
            store=self.store,
            longest=longest,
            kept=self.run_directory.unmasking_path,
        )

    def _open(
        self,
        number: int,
        base: Vector,
        previous: Vector | None,
        members: dict[str, HospitalNode],
        cost: RoundCost,
    ) -> Round:
        """Open the round on the ledger, or take it up where a coordinator before this one left it."""
        with cost.time.of("ledger"):
            view = self._still_open(number)
        if view is not None:
            round_config = RoundConfig.from_bytes(self.store.get(view.config_digest, LONGEST).tobytes())
            logger.info("round %d was open: %d updates are in", number, len(view.accepted))
        else:
            with cost.time.of("opening"):
                round_config = RoundConfig(
                    round=number,
                    config=self.config.digest().hex(),
                    layout=self.layout.digest.hex(),
                    partition=self.run_directory.partition_digest(),
                    exponents=self.rules.exponents(self.layout, base, previous),
                    rare=rare_labels(self.config, self.ledger, members),
                )
                self.store.put(round_config.to_bytes(), round_config.digest)
                base_digest = self._digest_of(base)
            with cost.time.of("ledger"):
                view = self.ledger.open_round(
                    number,
                    base=base_digest,
                    config_digest=round_config.digest,
                    participants=sorted(members),
                    deadline_seconds=self.rules.deadline,
                )
                self.ledger.draw_committee(number)
        judged = self.config.validation.policy == "committee"
        (reader,) = self._protection.readers([self._identity.envelope_key], shown=judged)
        federation = federation_id(self.config).hex()
        longest = self._protection.longest(self.layout.size)
        masked = self._masked(view, longest)
        tally = Tally(
            self.layout,
            reader,
            self.store,
            federation,
            longest,
            masks=b"" if masked is None else masked.attempt.context,
            aggregation=self._protection.aggregation,
        )
        return Round(
            view=view,
            config=round_config,
            base=base,
            tally=tally,
            ledger=self.ledger,
            store=self.store,
            judged=judged,
            deferred=judged or self.ledger.provisional or tally.total.compares,
            federation=federation,
            observer=self.observer,
            heads=self.heads,
            masked=masked,
            cost=cost,
        )

    def _digest_of(self, base: Vector) -> bytes:
        if self._released is not None and self._released[0] is base:
            return self._released[1]
        return model_file.vector_digest(base)

    def _still_open(self, number: int) -> RoundView | None:
        """A round in progress when a coordinator died; one that can get too few updates is aborted."""
        if self.ledger.round_in_progress != number:
            return None
        view = with_submissions(self.ledger.round(number), self.store, self.ledger.domain)
        late = view.status == RoundPhase.OPEN and view.deadline < time.time()
        if late and len(view.accepted) < self.config.federation.min_hospitals:
            self.ledger.abort(number, "the deadline passed while the coordinator was away")
            return None
        if view.status == RoundPhase.OPEN and not self._drawn(number):
            self.ledger.abort(number, "the committee was not drawn in time")
            return None
        return view

    def _drawn(self, number: int) -> bool:
        """Draw the open round's committee, unless the block that the draw needs is out of reach by now."""
        try:
            self.ledger.draw_committee(number)
        except ContractRejectedError as error:
            if error.name != "DrawTooLate":
                raise
            return False
        return True

    @property
    def _protection(self) -> Protection:
        return protection_named(self.config.privacy.envelope, self.config.federation.update_form)

    @cached_property
    def _identity(self) -> Identity:
        return coordinator_identity(self.run_directory)

    @property
    def _register_request(self) -> RegisterRequest:
        auditor = auditor_identity(self.run_directory)
        facts = self.run_directory.read_facts()
        return RegisterRequest(
            config=self.config.canonical_json(),
            layout=self.layout.to_json(),
            federation=federation_id(self.config),
            chain_id=facts.chain_id,
            contract=facts.contract,
            coordinator_key=self._identity.envelope_key.public.data,
            auditor_key=auditor.envelope_key.public.data if auditor else b"",
            challenge=secrets.token_bytes(32),
        )
