"""The update that leaves a hospital: trained, weighted, protected, kept and signed, in this order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clients.masking import Masking
from clients.member import Member
from clients.open_round import OpenRound
from fedcxr.ledger.signing import Signed, SignedSubmission, Submission
from fedcxr.seeds import derive_seed
from fedcxr.training.trainer import TrainingReport
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.hashed import Hashed
from fedcxr.update.label_rows import clear_rows
from fedcxr.update.layout import Vector
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig

Train = Callable[[Vector, Member, int], tuple[TrainingReport, int, Vector]]
"""Trains from a model in a round: its report, the hospital's images, and the model afterwards."""


@dataclass(frozen=True)
class SignedUpdate:
    """What a hospital sends in a round.

    Attributes:
        signed: its submission.
        metrics: that the submission names.
        blob: that it names, too.
        waited: seconds for which the network waited for the loader; 0 where nothing was trained.
    """

    signed: SignedSubmission
    metrics: bytes
    blob: bytes
    waited: float = 0.0


@dataclass(frozen=True)
class _Trained:
    """What training gave besides the values."""

    report: TrainingReport
    samples: int
    saturated: int

    def metrics(self, protect_seconds: float, *, losses: bool) -> bytes:
        report = self.report
        metrics = HospitalMetrics(
            salt=HospitalMetrics.fresh_salt(),
            images=report.images,
            passes=report.passes,
            steps=report.steps,
            seconds=report.seconds,
            protect_seconds=protect_seconds,
            loss=report.loss,
            terms=report.terms,
            saturated=self.saturated,
        )
        if report.privacy is not None:
            return metrics.private(report.privacy).to_bytes()
        return (metrics if losses else metrics.untold).to_bytes()


def make_update(
    member: Member,
    asked: OpenRound,
    round_config: RoundConfig,
    base: Vector,
    *,
    masking: Masking | None,
    train: Train,
) -> SignedUpdate:
    """Train from a round's base model, and make of it what leaves; on the disk before it does.

    Args:
        member: the hospital.
        asked: the round.
        round_config: whose digest the ledger has.
        base: the model that the ledger has.
        masking: the attempt that it is masked for, where updates are masked.
        train: the hospital's training.

    Raises:
        NonFiniteError: training diverged; nothing leaves.
        DataError, StoreError: the hospital's images, or what it keeps between rounds, are not right.
        FederationError: a vector may have left in this very attempt, and is lost.
    """
    if masking is not None and (again := masking.sent_before()) is not None:
        signed, metrics, blob = again
        member.journal(signed)
        return SignedUpdate(signed, metrics, blob)
    kept = None if masking is None else masking.kept_update()
    if kept is None:
        values, trained = _train_weighted(member, asked, round_config, base, train)
        samples, waited = trained.samples, trained.report.waited
    else:
        values, metrics, samples = kept
        waited = 0.0
    started = time.perf_counter()
    mask = None if masking is None else masking.mask
    protected = Hashed.of(member.protect(values, asked.number, asked.weight, mask))
    del values
    if asked.view is None:
        protected.hash()
    else:
        member.disk.keep_update(member.address, protected.data, meanwhile=protected.hash)
    if kept is None:
        losses = masking is None or member.config.privacy.losses
        metrics = trained.metrics(time.perf_counter() - started, losses=losses)
    submission = Submission(
        federation=bytes.fromhex(member.membership.federation),
        round=asked.number,
        attempt=asked.attempt,
        hospital=member.address,
        base=asked.base,
        root=protected.root,
        samples=samples,
        size=len(protected.data),
        metrics=merkle.root(metrics),
    )
    signed = Signed(submission, member.signature(submission))
    if masking is not None:
        masking.write_sent(signed, metrics)
    member.journal(signed)
    return SignedUpdate(signed, metrics, protected.data, waited)


def _train_weighted(
    member: Member, asked: OpenRound, round_config: RoundConfig, base: Vector, train: Train
) -> tuple[Ring, _Trained]:
    """The weighted update, uint32 (n,), and what was seen on the way."""
    report, samples, vector = train(base, member, asked.number)
    np.subtract(vector, base, out=vector)
    if round_config.rare is not None:
        clear_rows(vector, member.layout, round_config.rare.withheld)
    values, saturated = member.rules.form.encode(
        vector,
        member.layout,
        round_config.exponents,
        asked.weight,
        derive_seed(member.config.seed, "rounding", asked.number, member.disk.settings.name),
    )
    return values, _Trained(report, samples, saturated)
