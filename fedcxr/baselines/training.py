"""Training without a federation, under a federation's budget.

A baseline goes through the federation's rounds by the federation's own trainer: the same schedule, the same
number of local epochs a round, a fresh optimiser every round (as hospitals have), the same starting weights.
Only the averaging is missing. The pooled model so puts as many images through the network as all hospitals
together, and a hospital's own model as many as that hospital did.

After every round the weights are written; an interrupted baseline continues and ends bit-identical.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedcxr import files
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError
from fedcxr.models.network import Network
from fedcxr.models.registry import build_model, create_model
from fedcxr.training.state_tensors import StateTensors, below
from fedcxr.training.trainer import Step, train

logger = logging.getLogger(__name__)

POOLED = "pooled"
"""The name under which the pooled model trains, where a hospital would have its own."""

STATE = "kept."  # before the names of the state's tensors, which lie in one file with the weights
_KEY = "fedcxr"  # one metadata key only: safetensors does not order them


@dataclass(frozen=True)
class Progress:
    """How far the training of a baseline has come; its weights file says so beside the weights.

    Attributes:
        name: pooled, or the hospital's.
        source: SHA-256, in hex, of the configuration and the examples; another source begins anew.
        rounds: that are done.
        passes: images put through the network so far.
        seconds: of training so far.
    """

    name: str
    source: str
    rounds: int = 0
    passes: int = 0
    seconds: float = 0.0


def pool(shards: Mapping[str, Examples]) -> Examples:
    """Pool all hospitals' examples into one set, in the order of the cache.

    Raises:
        DataError: no shard, or shards of different caches.
    """
    parts = list(shards.values())
    if not parts or not all(_same_cache(part.images, parts[0].images) for part in parts):
        raise DataError("pooling wants the shards of one decoded cache.")
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    return Examples(
        images=parts[0].images,
        rows=rows[order],
        targets=np.concatenate([part.targets for part in parts])[order],
        mask=np.concatenate([part.mask for part in parts])[order],
        patients=_joined([part.patients for part in parts], order),
        studies=_joined([part.studies for part in parts], order),
    )


def _joined(codes: Sequence[NDArray[np.int64] | None], order: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The patients or studies of all shards, by codes of one table; None where a shard has none."""
    known = [part for part in codes if part is not None]
    return np.concatenate(known)[order] if len(known) == len(codes) else None


def _same_cache(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two arrays are the same images: one array, or two maps of one file."""
    if one is other:
        return True
    if not isinstance(one, np.memmap) or not isinstance(other, np.memmap):
        return False
    return one.filename is not None and (one.filename, one.offset, one.shape) == (
        other.filename,
        other.offset,
        other.shape,
    )


def weights_path(directory: Path, name: str, *, pooled: bool) -> Path:
    """The path of a baseline's weights; a hospital may be called anything, even "pooled"."""
    return directory / (f"{POOLED}.safetensors" if pooled else f"alone-{quote(name, safe='')}.safetensors")


def train_rounds(
    examples: Examples,
    *,
    config: Config,
    name: str,
    path: Path,
    on_step: Callable[[int, Step], None] | None = None,
) -> tuple[Network, Progress]:
    """Train a baseline from the federation's starting weights through all its rounds.

    Args:
        examples: what to train on.
        config: resolved (nothing "auto").
        name: decides, with the seed and the round, every random draw; a hospital's name makes its own.
        path: weights, written after every round. What is there from the same
            configuration and examples is continued.
        on_step: called with the round, from 1, and the step.

    Raises:
        DataError, NonFiniteError: as :func:`fedcxr.training.trainer.train`.
        StoreError: the weights cannot be written.
    """
    fresh = Progress(name, _source(config, examples))
    model, state, done = _resume(path, fresh, config)
    for round_number in range(done.rounds + 1, config.federation.rounds + 1):

        def watch(step: Step, current: int = round_number) -> None:
            if on_step is not None:
                on_step(current, step)

        report = train(
            model,
            examples,
            config=config,
            round_index=round_number,
            hospital=name,
            state=state,
            on_step=watch,
        )
        done = Progress(
            name, fresh.source, round_number, done.passes + report.passes, done.seconds + report.seconds
        )
        _write(path, {**model.state_dict(), **{STATE + name: tensor for name, tensor in state.items()}}, done)
    return model, done


def _source(config: Config, examples: Examples) -> str:
    digest = hashlib.sha256(config.digest())
    digest.update(json.dumps(examples.images.shape).encode())
    for array in (examples.rows, examples.targets, examples.mask):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _resume(path: Path, fresh: Progress, config: Config) -> tuple[Network, StateTensors, Progress]:
    """Load what an earlier call wrote to ``path``, or the federation's starting weights."""
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                done = Progress(**json.loads((file.metadata() or {})[_KEY]))
                if (done.name, done.source) == (fresh.name, fresh.source):
                    model = build_model(config.model)
                    tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                    state = below(tensors, STATE)
                    model.load_state_dict({k: t for k, t in tensors.items() if not k.startswith(STATE)})
                    return model, state, done
                logger.warning("%s is of another configuration or other images; beginning anew", path)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            logger.warning("%s cannot be continued (%s); beginning anew", path, error)
    return create_model(config.model, seed=config.seed), {}, fresh


def _write(path: Path, state: Mapping[str, Tensor], done: Progress) -> None:
    files.write(path, save(dict(state), {_KEY: json.dumps(asdict(done))}))
