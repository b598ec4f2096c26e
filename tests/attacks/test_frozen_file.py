"""Who hands a run on hides something in ``frozen.safetensors``: the tensors in it are as they must be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from federation import run_federation
from safetensors.torch import load_file, save

from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.config import Config
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def heads_only(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes({"federation.rounds": 1, "training.strategy": "probe"})
    return run_federation(config, tmp_path_factory.mktemp("frozen") / "run")


def audited(run: RunDirectory) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])


def with_metadata(path: Path) -> None:
    path.write_bytes(save(load_file(path), {"note": "a message to whoever knows where to look"}))


def with_another_header(path: Path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tree = json.loads(data[8 : 8 + length])
    text = json.dumps(dict(reversed(tree.items()))).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def with_spaces(path: Path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little") + 8
    path.write_bytes(length.to_bytes(8, "little") + data[8:length] + b" " * 8 + data[length:])


def with_a_tensor_that_is_trained(path: Path) -> None:
    """A frozen tensor under a name that the layout has: it would stand for another one."""
    tensors = load_file(path)
    names = [row[0] for row in json.loads((path.parent / "layout.json").read_text())["tensors"]]
    last, trained = max(tensors), max(names)
    assert trained > max(tensors.keys() - {last})
    tensors[trained] = tensors.pop(last)
    path.write_bytes(save(tensors))


@pytest.mark.parametrize(
    "change", [with_metadata, with_another_header, with_spaces, with_a_tensor_that_is_trained]
)
def test_other_bytes_of_the_same_tensors_are_found(
    heads_only: RunDirectory, tmp_path: Path, change: Change
) -> None:
    run = RunDirectory(Path(shutil.copytree(heads_only.root, tmp_path / "run")))
    assert audited(run).proven
    before = torch.cat([tensor.reshape(-1) for _, tensor in sorted(load_file(run.frozen_path).items())])
    change(run.frozen_path)
    after = torch.cat([tensor.reshape(-1) for _, tensor in sorted(load_file(run.frozen_path).items())])
    assert torch.equal(before, after)
    assert [finding.where for finding in audited(run).findings] == ["frozen.safetensors"]


def test_what_the_library_wrote_is_canonical(heads_only: RunDirectory) -> None:
    """So that runs which an earlier fedcxr founded have no finding."""
    assert heads_only.frozen_path.read_bytes() == save(load_file(heads_only.frozen_path))
