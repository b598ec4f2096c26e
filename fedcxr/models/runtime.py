"""Where and how a model runs: device, precision, memory format and threads, from a resolved configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedcxr.config import Training
from fedcxr.errors import ConfigError


@dataclass(frozen=True)
class Runtime:
    """How tensors are laid out and computed.

    Attributes:
        device: "cpu" or "cuda" (the process's current GPU; Ray shows each client its own).
        precision: of convolutions and matrix products under autocast; weights and losses stay float32.
        memory_format: of images and weights. ``channels_last`` is many times faster for depthwise
            convolutions on a CPU.
        threads: torch's threads. They split sums, so they decide bits.
    """

    device: torch.device
    precision: torch.dtype
    memory_format: torch.memory_format
    threads: int

    @classmethod
    def from_config(cls, training: Training) -> Runtime:
        """Make the runtime that a resolved configuration asks for.

        Raises:
            ConfigError: a key is still "auto", or CUDA is asked for where there is none.
        """
        for key in ("device", "precision", "memory_format"):
            if getattr(training, key) == "auto":
                raise ConfigError(
                    f"training.{key} = 'auto' is not resolved: run fedcxr.training.measure.resolve once, "
                    "or set the key."
                )
        if training.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("training.device = 'cuda': torch finds no CUDA device here; set it to 'cpu'.")
        return cls(
            device=torch.device(training.device),
            precision=torch.bfloat16 if training.precision == "bfloat16" else torch.float32,
            memory_format=(
                torch.channels_last if training.memory_format == "channels_last" else torch.contiguous_format
            ),
            threads=training.threads,
        )

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the forward pass; does nothing in float32."""
        enabled = self.precision is not torch.float32
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def to_device(self, tensor: Tensor) -> Tensor:
        """A CPU tensor on the device; through pinned memory, without waiting, where that is a GPU."""
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    @contextmanager
    def hosting(self, model: nn.Module) -> Iterator[None]:
        """``model`` on the device and in the memory format; both put back at the end, with its train mode."""
        home = next(model.parameters()).device
        mode = model.training
        model.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        try:
            yield
        finally:
            model.to(device=home, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            model.train(mode)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """The process's settings that decide bits: threads, and cuDNN's choice of algorithms; put back."""
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        deterministic, benchmark = cudnn.deterministic, cudnn.benchmark
        torch.set_num_threads(self.threads)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            cudnn.deterministic, cudnn.benchmark = deterministic, benchmark
