"""Runs that an earlier version founded: where they are kept, and how today's commands read and resume them.

``tests/fixtures/founded_runs`` holds each run in archives, beside what the version that founded it said of
it. Everything here goes through the command line and the files of a run, so that a kept run needs nothing of
the code but what a user of that version had.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fedcxr import config as configuration
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app

KEPT = Path(__file__).parent / "fixtures" / "founded_runs"
DATA = "FOUNDED_RUNS_DATA"  # the configurations say data.root = "$FOUNDED_RUNS_DATA/…"
EXPORT = "audit.zip"

#: Of a round on the ledger: what neither the clock nor a salt nor the machine's arithmetic has a part in.
_SETTLED = (
    "number",
    "attempt",
    "phase",
    "weights",
    "accounts",
    "accepted",
    "included",
    "excluded",
    "credits",
)


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str

    def tree(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class KeptRun:
    """A kept run on a disk, with its data.

    Attributes:
        root: the run directory.
        data: the folder of the data sets.
        name: of the run under :data:`KEPT`.
    """

    root: Path
    data: Path
    name: str

    @classmethod
    def unpack(cls, name: str, folder: Path) -> KeptRun:
        """Unpack a run and the data that it trains on below ``folder``."""
        for archive in sorted(KEPT.glob(f"{name}-*.tar.xz")) + sorted(KEPT.glob("phantom-*.tar.xz")):
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        return cls(folder / name, folder, name)

    def copied(self, folder: Path) -> KeptRun:
        """The same run at another place; its data stay where they are."""
        return KeptRun(Path(shutil.copytree(self.root, folder / self.name)), self.data, self.name)

    def call(self, *arguments: str | Path) -> Said:
        """``fedcxr ARGUMENTS``, with the exit code that a shell would see."""
        environment = {DATA: str(self.data)}
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
        code = int(getattr(result.exception, "exit_code", result.exit_code))
        return Said(code, result.stdout if code == 0 or result.stdout else f"{result.exception!r}")

    def resume(self) -> Said:
        return self.call("simulate", "--resume", self.root, "--no-report")

    def ledger(self, question: str) -> Any:
        """What ``fedcxr ledger QUESTION --json`` says: ``show``, ``rounds`` or ``rewards``."""
        said = self.call("ledger", question, self.root, "--json")
        assert said.code == 0, said.out
        return said.tree()

    def audit(self, keys: str) -> dict[str, Any]:
        """The exit code and the verdict of an audit, without its notes.

        Args:
            keys: what the audit has: ``usual`` (both keys of the run's), ``auditor``, ``coordinator``,
                ``journals`` (of the hospitals, besides the usual), or ``none``.
        """
        options: list[str | Path] = []
        if keys in ("auditor", "coordinator"):
            options = ["--key", self.root / "keys" / f"{keys}.json"]
        if keys == "journals":
            options = [x for path in self.hospital_files("journal.jsonl") for x in ("--journal", path)]
        folder, aside = self.root / "keys", self.root / "keys-aside"
        if keys == "none":
            folder.rename(aside)
        said = self.call("audit", self.root, "--json", *options)
        if keys == "none":
            aside.rename(folder)
        assert said.out.startswith("{"), said.out
        report = said.tree()
        del report["notes"]
        return {"code": said.code, **report}

    def hospital_files(self, pattern: str) -> list[Path]:
        """Files on the hospitals' disks, in the order of the hospitals."""
        return sorted(self.root.glob(f"hospitals/*/0x*/{pattern}"))

    def digests(self) -> dict[str, str]:
        """What a run is identified by, each as today's code or the files have it."""
        facts = json.loads((self.root / "ledger.json").read_text())
        return {
            "config": configuration.load(self.root / "config.toml").digest().hex(),
            "layout": _sha256(self.root / "layout.json"),
            "partition": _sha256(self.root / "partition.json"),
            "genesis_model": _sha256(self.root / "models" / "round-0000.safetensors"),
            **{f"ledger.{key}": str(value) for key, value in facts.items()},
        }

    def founded(self) -> dict[str, Any]:
        """All that can be said of the run before it goes on; it is not touched."""
        return {
            "digests": self.digests(),
            "show": self.ledger("show"),
            "rounds": self.ledger("rounds"),
            "rewards": self.ledger("rewards"),
            "models": self.models(),
            "recorded": self.recorded(),
        }

    def ended(self) -> dict[str, Any]:
        """Of a run at its end: what is the same at any time and on any machine."""
        rounds = [{key: number[key] for key in _SETTLED} for number in self.ledger("rounds")]
        return {"digests": self.digests(), "rounds": rounds, "rewards": self.ledger("rewards")}

    def trained(self) -> dict[str, Any]:
        """Of a run at its end: what is the same on a machine of the same arithmetic."""
        rounds = self.ledger("rounds")
        states = {str(p.relative_to(self.root)): _sha256(p) for p in self.hospital_files("state/*")}
        return {
            "bases": [number["base"] for number in rounds],
            "round_configs": [number["config_digest"] for number in rounds],
            "models": [number["model_digest"] for number in rounds],
            "recorded": self.recorded(),
            "files": self.models(),
            "states": states,
        }

    def models(self) -> dict[str, str]:
        """SHA-256 of each model's file."""
        return {path.name: _sha256(path) for path in sorted(self.root.glob("models/*.safetensors"))}

    def recorded(self) -> list[str]:
        """The model digest of each line of ``metrics.jsonl``."""
        lines = (self.root / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["model"] for line in lines]

    def norms(self) -> dict[str, float]:
        """The Euclidean norm of each tensor of the last model."""
        last = sorted(self.root.glob("models/*.safetensors"))[-1]
        return {name: float(np.linalg.norm(value)) for name, value in sorted(load_file(last).items())}

    def chain_rows(self) -> dict[bytes, bytes]:
        """What the embedded chain's file holds."""
        connection = sqlite3.connect(self.root / "ledger.sqlite")
        try:
            return dict(connection.execute("SELECT key, value FROM chain"))
        finally:
            connection.close()


def read_expected(name: str) -> dict[str, Any]:
    """What the version that founded a run said of it."""
    tree: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text())
    return tree


def arithmetic(data: Path) -> str:
    """A digest of this machine's floating-point results, by torch alone: no code of fedcxr has a part in it.

    Two machines with the same digest train the same bits: it goes through the kinds of layer, of loss and of
    optimizer that the compact model is trained with, and through the decoding of one image under ``data``.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    path = sorted(data.glob("phantom-2/train/*/*/*.jpg"))[0]
    pixels = np.asarray(Image.open(path).resize((24, 24), Image.Resampling.BILINEAR), np.float32) / 255
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(7)
        wide, deep = nn.Conv2d(1, 16, 3, stride=2, bias=False), nn.Conv2d(16, 16, 3, groups=16)
        model = nn.Sequential(
            wide, nn.BatchNorm2d(16), nn.ReLU(), deep, nn.Conv2d(16, 128, 1), nn.BatchNorm2d(128),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 14),
        )  # fmt: skip
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(4):
            turned = torch.eye(2, 3) + 0.1 * torch.randn(8, 2, 3, generator=generator)
            images = torch.from_numpy(pixels).expand(8, 1, 24, 24)
            grid = functional.affine_grid(turned, [8, 1, 24, 24], align_corners=False)
            logits = model(functional.grid_sample(images, grid, align_corners=False))
            alike = functional.normalize(logits) @ functional.normalize(logits).T / 0.1
            loss = functional.binary_cross_entropy_with_logits(
                logits, (turned.flatten(1)[:, :1] > 1).float() + 0 * logits
            )
            loss = loss + torch.logsumexp(alike, dim=1).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        state = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    finally:
        torch.set_num_threads(threads)
    return hashlib.sha256(state).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
