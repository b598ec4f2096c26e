"""What Ray may use of this machine, checked before Ray starts: asked for more, it would wait for ever."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

from fedcxr.config import Config
from fedcxr.errors import GridError

if TYPE_CHECKING:  # it brings Ray along, which only the child process needs
    from flwr.server.superlink.fleet.vce.backend.backend import BackendConfig

_MIB = 2**20
# A message's model is in the store on its way out and on its way back, and Python may hold the one before it.
_COPIES = 4
_LEAST_STORE = 256 * _MIB  # Ray refuses less than 75 MiB, and keeps things of its own in it


@dataclass(frozen=True)
class RayResources:
    """Of the whole simulation, and of one actor; an actor serves one hospital at a time.

    Attributes:
        cpus, gpus: that Ray gives out.
        actor_cpus, actor_gpus: that one actor holds.
        actors: hospitals at work at once.
        object_store: bytes of shared memory for messages; Ray writes to disk what is more.
    """

    cpus: int
    gpus: int
    actor_cpus: float
    actor_gpus: float
    actors: int
    object_store: int

    @classmethod
    def plan(cls, config: Config, hospitals: int, model_bytes: int) -> Self:
        """As many actors as the machine has room for, and no more than there are hospitals.

        An actor has a CPU for each of ``training.threads``, as far as the machine goes, unless
        ``federation.ray_cpus`` is below 1, which is to share CPUs; and one GPU where ``training.device`` is
        (or was found to be) "cuda" and ``federation.ray_gpus`` names no share. None of this moves a bit.

        Raises:
            GridError: the machine lacks what one actor needs.
        """
        actor_cpus, actor_gpus = config.federation.ray_cpus, config.federation.ray_gpus
        chosen = f"federation.ray_gpus = {actor_gpus:g}"  # what asks for GPUs
        if config.training.device == "cuda" and not actor_gpus:
            actor_gpus, chosen = 1.0, "training.device = 'cuda' takes one GPU for each Ray worker"
        machine_cpus = available_cpus()
        machine_gpus = torch.cuda.device_count() if actor_gpus else 0
        if actor_cpus > machine_cpus:
            raise GridError(
                f"federation.ray_cpus = {actor_cpus:g}: this machine has {machine_cpus} CPUs; "
                f"set it to at most {machine_cpus}."
            )
        if actor_cpus >= 1:
            actor_cpus = max(actor_cpus, float(min(config.training.threads, machine_cpus)))
        if actor_gpus > machine_gpus:
            raise GridError(
                f"{chosen}: torch finds {machine_gpus} GPUs on this machine; set federation.ray_gpus to at "
                f"most {machine_gpus}, and where that is 0 training.device to 'cpu'."
            )
        if actor_gpus > 1 and actor_gpus != int(actor_gpus):
            raise GridError(f"federation.ray_gpus = {actor_gpus:g}: above 1 Ray wants a whole number.")
        room = int(machine_cpus / actor_cpus)
        if actor_gpus:
            room = min(room, int(machine_gpus / actor_gpus))
        actors = min(room, hospitals)
        return cls(
            cpus=math.ceil(actors * actor_cpus),
            gpus=math.ceil(actors * actor_gpus),
            actor_cpus=actor_cpus,
            actor_gpus=actor_gpus,
            actors=actors,
            object_store=max(_LEAST_STORE, _COPIES * actors * model_bytes),
        )

    def backend_config(self, scratch: str) -> BackendConfig:
        """What Flower's Ray backend is told; ``scratch`` is the directory of Ray's logs and sockets."""
        return {
            "init_args": {
                "num_cpus": self.cpus,
                "num_gpus": self.gpus,
                "object_store_memory": self.object_store,
                "logging_level": "ERROR",
                "log_to_driver": False,  # the terminal belongs to the progress display
                "_temp_dir": scratch,
            },
            "client_resources": {
                "num_cpus": self.actor_cpus,
                "num_gpus": self.actor_gpus,
                # Flower hands these to Ray as the actor's options. Its pool takes an actor that died back as
                # if it lived, and every message given to it is lost. So Ray starts a dead actor again under
                # the same handle, and repeats, once, what it was doing.
                "max_restarts": -1,
                "max_task_retries": 1,
            },
        }


def available_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
