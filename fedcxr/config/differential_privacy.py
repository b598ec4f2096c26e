"""The table ``[differential_privacy]`` of a configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedcxr.config.model import Model
from fedcxr.config.sections import Data, Federation, Privacy, Section, Training, Validation

Probability = Annotated[float, Field(gt=0.0, lt=1.0)]


class DifferentialPrivacy(Section):
    """DP-SGD at each hospital, for its own patients (Abadi et al. 2016, https://arxiv.org/abs/1607.00133).

    Of everything that a hospital releases in the federation together, no patient's images change any
    outcome's probability by more than a factor exp(``epsilon``), but for ``delta``. The expected number of
    patients in a step is ``training.batch_size``.
    """

    # the most that a hospital spends of each patient in all rounds; unset: no guarantee
    epsilon: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    delta: Probability | None = None  # unset: half of one in the hospital's patients
    clip: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0  # length that a patient's gradient has at most
    # times the clip; unset: as much as epsilon wants in all rounds
    noise_multiplier: Annotated[float, Field(ge=0.2, le=1e4)] | None = None

    @property
    def on(self) -> bool:
        """Whether training is private."""
        return self.epsilon is not None

    def check(
        self,
        *,
        data: Data,
        model: Model,
        training: Training,
        federation: Federation,
        privacy: Privacy,
        validation: Validation,
    ) -> None:
        """See that what a patient does to an update goes through its own, clipped gradient alone.

        Raises:
            ValueError: it does not; says by which key, and what to set it to.
        """
        if not self.on:
            return
        wants = "differential_privacy.epsilon wants"
        if federation.pretrain_rounds or training.contrast or training.supervised_weight:
            raise ValueError(
                f"{wants} a loss of each image by itself, and a contrastive one compares patients: set "
                "training.self_supervised = 'none', training.supervised_weight = 0 and "
                "federation.pretrain_rounds = 0"
            )
        if training.consistency_weight or training.reconstruction_weight or training.label_loss != "bce":
            raise ValueError(
                f"{wants} cross-entropy alone: set training.label_loss = 'bce', and consistency_weight and "
                "reconstruction_weight to 0"
            )
        if model.norm == "local" or (
            model.norm == "shared" and training.strategy not in ("probe", "selective")
        ):
            raise ValueError(
                f"{wants} layers that do not mix a batch's patients, and model.norm = '{model.norm}' does: "
                "set it to 'group', or to 'frozen' for pretrained weights; or train heads alone "
                "(training.strategy = 'probe')"
            )
        if training.strategy == "auto_rgn":
            raise ValueError(f"{wants} a training.strategy that reads no gradients: 'auto_rgn' does")
        if training.compile or model.checkpointing:
            raise ValueError(
                f"{wants} gradients of single patients, which neither training.compile nor "
                "model.checkpointing can give: set both to false"
            )
        if data.labelled < 1.0:
            raise ValueError(f"{wants} data.labelled = 1: which patients keep labels may depend on others")
        if federation.calibrate:
            raise ValueError(f"{wants} federation.calibrate = false: statistics would be shared in the clear")
        if federation.withholds:
            raise ValueError(
                f"{wants} federation.rare_labels = 'say': which labels a hospital has, one patient decides, "
                "and a statement of it has no noise"
            )
        if validation.policy == "committee":
            raise ValueError(
                f"{wants} validation.policy = 'none': a committee's scores are of patients, without noise"
            )
        if privacy.losses:
            raise ValueError(f"{wants} privacy.losses = false: a loss is of patients, without noise")
