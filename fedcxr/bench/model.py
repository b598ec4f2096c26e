"""What a model's parts cost: a step with attention, with fusion and with both, over the plain backbone's.

Each step is the whole objective's, of the bare loop (:mod:`fedcxr.bench.trainer`): batches stand ready, so
that nothing but the network differs. Turns are interleaved, and each ratio is the median of ratios of
neighbouring turns. Memory is measured in processes of their own, with and without checkpointing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from fedcxr.bench.alternatives import measure_apart
from fedcxr.bench.trainer import COMPARED, BareLoop
from fedcxr.config import Config
from fedcxr.models.registry import build_model
from fedcxr.training.measure import noise_examples, resolve

VARIANTS = {
    "plain": (False, False),
    "attention": (True, False),
    "fusion": (False, True),
    "both": (True, True),
}
"""``model.attention`` and ``model.fusion`` of each."""


@dataclass(frozen=True)
class ModelBench:
    """The figures of ``fedcxr bench model``.

    Attributes:
        attention_over_plain, fusion_over_plain, both_over_plain: seconds of a step over the plain one's.
        images_per_second: of the plain one.
        parameters: by variant, all of them.
        peak_bytes, checkpointed_peak_bytes: of the process with both parts, or of the GPU's memory where
            there is one; torch itself is in the former.
        checkpointed_over_not: images a second, with checkpointing over without.
        turns: how often each variant was timed.
        batch_size: images a step.
    """

    attention_over_plain: float
    fusion_over_plain: float
    both_over_plain: float
    images_per_second: float
    parameters: dict[str, int]
    peak_bytes: int | None
    checkpointed_peak_bytes: int | None
    checkpointed_over_not: float | None
    turns: int
    batch_size: int


def bench_model(config: Config, say: Callable[[str], None], *, turns: int = 5) -> ModelBench:
    """Time the four variants of ``config``'s model in turn; about two minutes for Xception at 64 px.

    Args:
        config: of a model with multi-scale heads; what is "auto" is resolved first.
        say: told what is measured.
        turns: of one step each.
    """
    say("measuring what this machine trains fastest with")
    config, _ = resolve(config)
    contrast = "ntxent" if config.training.contrast and config.training.joint else "none"
    config = config.with_changes({**COMPARED, "training.self_supervised": contrast})
    examples = noise_examples(config, config.training.batch_size)
    configs = {
        name: config.with_changes({"model.attention": attention, "model.fusion": fusion})
        for name, (attention, fusion) in VARIANTS.items()
    }
    parameters = {
        name: sum(parameter.numel() for parameter in build_model(each.model).parameters())
        for name, each in configs.items()
    }
    say("the plain backbone, attention, fusion and both in turn")
    loops = {name: BareLoop(each, examples) for name, each in configs.items()}
    for loop in loops.values():
        loop.turn()  # warms up
    speeds = [{name: loop.turn() for name, loop in loops.items()} for _ in range(turns)]
    del loops
    ratios = {name: statistics.median(each["plain"] / each[name] for each in speeds) for name in VARIANTS}
    say("memory with and without checkpointing")
    size = config.training.batch_size
    kept, again = (
        measure_apart("", configs["both"], {"model.checkpointing": value}, size) for value in (False, True)
    )
    slower = None
    if again.images_per_second is not None and kept.images_per_second is not None:
        slower = again.images_per_second / kept.images_per_second
    return ModelBench(
        attention_over_plain=ratios["attention"],
        fusion_over_plain=ratios["fusion"],
        both_over_plain=ratios["both"],
        images_per_second=statistics.median(each["plain"] for each in speeds),
        parameters=parameters,
        peak_bytes=kept.peak_bytes,
        checkpointed_peak_bytes=again.peak_bytes,
        checkpointed_over_not=slower,
        turns=turns,
        batch_size=size,
    )
