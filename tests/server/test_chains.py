"""A federation on each chain: the same model, through kills of the chain, the coordinator, or both."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from contract_party import LocalChain
from federation import digests, run_federation

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.errors import ChainError, ConfigError
from fedcxr.store.run_directory import RunDirectory
from server.events import Event, HospitalAnswered, RoundFinalized, RoundOpened

ANVIL = {"ledger.backend": "anvil"}
DYING_COORDINATOR = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from federation import run_federation
    from fedcxr import config
    from server import events

    answers = []

    def observe(event):
        if isinstance(event, events.HospitalAnswered):
            answers.append(event)
            if len(answers) == 5:  # in the second of the rounds with three
                os.kill(os.getpid(), signal.SIGKILL)

    run_federation(config.load(Path(sys.argv[1])), Path(sys.argv[2]), observer=observe)
    """
)


@pytest.fixture(scope="module")
def expected(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Digests of an embedded run that nobody disturbed."""
    return digests(run_federation(small_config, tmp_path_factory.mktemp("embedded") / "run"))


def test_an_anvil_run_ends_with_the_embedded_runs_models(
    small_config: Config, expected: list[str], tmp_path: Path, anvil_binary: Path
) -> None:
    run = run_federation(small_config.with_changes(ANVIL), tmp_path / "run")
    assert digests(run) == expected
    assert run.journal_path.stat().st_size > 0
    assert not run.chain_path.exists()
    assert not run.endpoint_path.exists()
    assert len(run.read_facts().genesis) == 64


def test_anvil_is_killed_at_every_step_and_the_run_goes_on(
    small_config: Config,
    expected: list[str],
    tmp_path: Path,
    anvil_binary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chains: list[AnvilChain] = []
    begin = AnvilChain.__init__

    def remember(self: AnvilChain, *args: object, **kwargs: object) -> None:
        begin(self, *args, **kwargs)  # type: ignore[arg-type]
        chains.append(self)

    monkeypatch.setattr(AnvilChain, "__init__", remember)
    killed = []

    def observe(event: Event) -> None:
        if isinstance(event, RoundOpened | HospitalAnswered | RoundFinalized):
            _ = chains[0].w3.eth.block_number  # it lives
            os.kill(chains[0].pid, signal.SIGKILL)
            killed.append(event)

    run = run_federation(small_config.with_changes(ANVIL), tmp_path / "run", observer=observe)
    assert len(killed) == 10
    assert digests(run) == expected


def test_a_killed_coordinator_takes_its_anvil_with_it_and_the_run_is_resumed(
    small_config: Config,
    expected: list[str],
    tmp_path: Path,
    anvil_binary: Path,
) -> None:
    config = small_config.with_changes(ANVIL)
    (tmp_path / "config.toml").write_text(config.to_toml())
    root = Path(__file__).resolve().parents[2]
    died = subprocess.run(
        [sys.executable, "-c", DYING_COORDINATOR, tmp_path / "config.toml", tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert digests(run_federation(config, tmp_path / "run")) == expected


@contextmanager
def standing(chain: LocalChain) -> Iterator[tuple[LocalChain, str]]:
    """A chain that others keep, and its URL."""
    with closing(chain), closing(RpcServer(chain, send_gas=60_000_000)) as front:
        yield chain, front.url


def test_a_run_on_a_chain_that_stands_is_stopped_and_resumed_and_a_reset_is_refused(
    small_config: Config,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anvil_binary: Path,
) -> None:
    class StoppedError(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, RoundFinalized) and event.round == 1:
            raise StoppedError

    # The development chain's faucet pays; its URL is not put on record.
    config = small_config.with_changes({"ledger.backend": "anvil", "ledger.url": "http://$FEDCXR_TEST_CHAIN"})
    with standing(AnvilChain(None, chain_id=61370)) as (chain, url):
        monkeypatch.setenv("FEDCXR_TEST_CHAIN", url.removeprefix("http://"))
        with pytest.raises(StoppedError):
            run_federation(config, tmp_path / "run", observer=stop)
        assert url not in (tmp_path / "run" / "config.toml").read_text()
        run = run_federation(config, tmp_path / "run")
        assert digests(run) == expected
    facts = RunDirectory(tmp_path / "run").read_facts()
    with standing(AnvilChain(None, chain_id=61370)) as (chain, url):
        chain.fund(chain.faucet)  # a block, for its clock
        monkeypatch.setenv("FEDCXR_TEST_CHAIN", url.removeprefix("http://"))
        with pytest.raises(ChainError, match=f"begun anew.*{facts.genesis}"):
            run_federation(config, tmp_path / "run")
    with pytest.raises(ChainError, match="no chain answers there"):
        run_federation(config, tmp_path / "run")


def test_who_has_no_ether_on_a_foreign_chain_is_told_to_get_some(
    small_config: Config, tmp_path: Path
) -> None:
    with standing(EmbeddedChain(None, chain_id=61370)) as (_, url):
        config = small_config.with_changes({"ledger.backend": "rpc", "ledger.url": url})
        with pytest.raises(ChainError, match=r"0x[0-9a-fA-F]{40} has no ether on http.*send it some"):
            run_federation(config, tmp_path / "run")


def test_another_chain_id_is_refused(small_config: Config, tmp_path: Path) -> None:
    with standing(EmbeddedChain(None, chain_id=5)) as (_, url):
        config = small_config.with_changes({"ledger.backend": "rpc", "ledger.url": url})
        with pytest.raises(ChainError, match=r"is chain 5, but ledger\.chain_id is 61370"):
            run_federation(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": "rpc"}, r"wants ledger\.url"),
        ({"url": "http://x"}, "url is for backend"),
        ({"finality": 3}, "finality waits for further blocks"),
        ({"backend": "anvil", "finality": 3}, "finality waits for further blocks"),
        ({"backend": "rpc", "url": "http://x", "block_time": 1.0}, "block_time is for an anvil"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    small_config: Config, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config.with_changes({f"ledger.{key}": value for key, value in changes.items()})
