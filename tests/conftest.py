"""What all tests share: real chest X-rays where there are any, and a small federation on synthetic ones."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from slow_tests import read_slow_tests

from fedcxr.config import Config, Phantom, validate

if TYPE_CHECKING:
    from contract_party import LocalChain, Party

DEFAULT_REAL_CXR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cxr-open"

# Processes of tests share the cores; two threads of torch in each wait for one another more than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where matplotlib has its fonts, which it looks for anew in a cache that is empty.
os.environ.setdefault("MPLCONFIGDIR", str(Path("~/.cache/matplotlib").expanduser()))

# A shell that starts tests in the background has them ignore Ctrl-C, and so would the processes they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("fedcxr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fedcxr")


def pytest_collection_finish() -> None:
    """Keep the collector off what stays to the end: torch, Flower and web3 are a million objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and begin with the files that take longest: none keeps one core busy at the end."""
    slow = read_slow_tests()
    seconds: dict[str, float] = defaultdict(float)
    for name, each in slow.items():
        seconds[name.partition("::")[0]] += each
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker("slow")
    items.sort(key=lambda item: -seconds[item.nodeid.partition("::")[0]])


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where each test has its folder; pytest's way to a new one looks through all that are there."""
    place = tmp_path_factory.mktemp("homes")
    return (place / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_state(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits and indexes of a test remember nothing of other tests, and write nothing into a user's home."""
    home = next(homes)
    for variable in ("FEDCXR_STATE", "XDG_CACHE_HOME"):
        (home / variable).mkdir(parents=True)
        monkeypatch.setenv(variable, str(home / variable))


@pytest.fixture(scope="session")
def real_cxr() -> Path:
    """Root of the real chest X-rays (NIH and Guangzhou images in the CheXpert layout)."""
    root = Path(os.environ.get("FEDCXR_REAL_CXR", DEFAULT_REAL_CXR))
    if not (root / "train.csv").is_file():
        pytest.skip(f"no real chest X-rays at {root}: set FEDCXR_REAL_CXR to a folder in the CheXpert layout")
    return root


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three synthetic hospitals of ten patients each, 64 px."""
    from fedcxr.data.phantom import generate

    root = tmp_path_factory.mktemp("data") / "phantom"
    generate(root, Phantom(hospitals=3, patients=10, size=64, valid_fraction=0.4), 5)
    return root


@pytest.fixture(scope="session")
def small_config(phantom_root: Path) -> Config:
    """A federation of seconds: the compact model at 32 px, two rounds, nothing left to a measurement."""
    return validate(
        {
            "name": "small",
            "seed": 3,
            "data": {"root": str(phantom_root), "size": 32},
            "model": {"name": "compact", "projection_dim": 16},
            "training": {
                "batch_size": 8,
                "device": "cpu",
                "precision": "float32",
                "memory_format": "contiguous",
            },
            "federation": {"rounds": 2},
            "evaluation": {"bootstrap": 50},
        },
        where="tests",
    )


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long what was hashed is, one after the other."""
    from fedcxr.update import merkle

    lengths: list[int] = []

    for name in ("root", "root_and_paths"):
        whole = getattr(merkle, name)

        def watched(data: bytes, *rest: object, whole: Callable[..., object] = whole) -> object:
            lengths.append(len(data))
            return whole(data, *rest)

        monkeypatch.setattr(merkle, name, watched)
    return lengths


@pytest.fixture(scope="session")
def anvil_binary() -> Path:
    """The anvil that npm installed."""
    from fedcxr.chain.anvil.process import find_anvil
    from fedcxr.errors import ChainError

    try:
        return find_anvil()
    except ChainError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def chain(request: pytest.FixtureRequest) -> Iterator[LocalChain]:
    """One chain in memory a module, embedded and anvil in turn."""
    from fedcxr.chain.anvil.chain import AnvilChain
    from fedcxr.chain.embedded.chain import EmbeddedChain

    chain: LocalChain
    if request.param == "anvil":
        chain = AnvilChain(None, chain_id=1337, binary=request.getfixturevalue("anvil_binary"))
    else:
        chain = EmbeddedChain(None, chain_id=1337)
    yield chain
    chain.close()


@pytest.fixture
def party(chain: LocalChain) -> Party:
    """A federation of three hospitals on the module's chain."""
    from contract_party import Party

    return Party.found(chain)


@pytest.fixture
def opened(party: Party) -> Party:
    """With round 1 open for the three hospitals."""
    party.open()
    return party
