"""An audit without the run directory: a chain behind an endpoint that may lie, a store, and perhaps a key."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lying_proxy import LyingProxy
from web3 import Web3

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.findings import FIRST_MODEL, AuditReport
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources, StoreSources
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.errors import ChainError, ConfigError, EnvelopeError, LedgerError, StoreError
from fedcxr.privacy.envelope import header_of
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.round_lines import read_rounds
from fedcxr.store.pruned import Pruned
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def url(finished: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The finished run's chain behind JSON-RPC."""
    copied = shutil.copyfile(finished.chain_path, tmp_path_factory.mktemp("chain") / "ledger.sqlite")
    with (
        closing(EmbeddedChain(copied, chain_id=finished.config.ledger.chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        yield server.url


@pytest.fixture
def store(finished: RunDirectory, tmp_path: Path) -> Path:
    """Its blobs, and nothing else of it."""
    return Path(shutil.copytree(finished.root / "blobs", tmp_path / "store"))


@pytest.fixture
def contract(finished: RunDirectory) -> str:
    return finished.read_facts().contract


def head_of(url: str) -> bytes:
    return bytes(Web3(Web3.HTTPProvider(url)).eth.get_block("latest")["hash"])


def by_third_party(
    url: str, contract: str, store: Path, *keys: EnvelopePrivateKey, **more: Any
) -> AuditReport:
    head = more.pop("head", None)
    files = (more.pop(name, None) for name in ("genesis", "released", "configuration", "pruned"))
    sources = StoreSources(str(store), *files)
    return conduct_audit(EndpointLedger(url, contract, head), sources, Request(keys, **more))


def test_with_a_key_the_store_and_the_chain_suffice(
    finished: RunDirectory, url: str, contract: str, store: Path, auditor_key: EnvelopePrivateKey
) -> None:
    report = by_third_party(url, contract, store, auditor_key, head=head_of(url), released=finished.model(2))
    assert report.findings == []
    assert report.released == read_rounds(finished)[-1].model
    assert report.federation == finished.read_facts().federation
    assert (report.rounds, report.updates) == (2, 6)
    assert report.unchecked == [
        "metrics.jsonl, partition.json: an audit of a store has none",
        "files in the store that the ledger does not name: it may serve other federations too",
    ]


def test_a_store_without_the_configuration_proves_no_first_model_and_the_readers_file_does(
    finished: RunDirectory,
    url: str,
    contract: str,
    store: Path,
    auditor_key: EnvelopePrivateKey,
    tmp_path: Path,
) -> None:
    digest = finished.config.digest().hex()
    blob = store / digest[:2] / digest
    for spoilt in (b"{}", None):
        blob.write_bytes(spoilt) if spoilt else blob.unlink()
        report = by_third_party(url, contract, store, auditor_key, head=head_of(url))
        assert report.clean
        assert report.released
        assert not report.proven
        assert [said for said in report.unchecked if said.startswith(FIRST_MODEL)]
    more = {"head": head_of(url), "configuration": finished.config_path}
    assert by_third_party(url, contract, store, auditor_key, **more).proven
    other = tmp_path / "other.toml"
    other.write_text(finished.config.with_changes({"seed": 4}).to_toml())
    with pytest.raises(ConfigError, match="and the ledger's is"):
        by_third_party(url, contract, store, configuration=other)


def test_updates_that_left_the_store_are_lost_unless_the_keepers_record_is_given(
    finished: RunDirectory,
    url: str,
    contract: str,
    store: Path,
    auditor_key: EnvelopePrivateKey,
    tmp_path: Path,
) -> None:
    for path in store.rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            with contextlib.suppress(EnvelopeError):
                header_of(path.read_bytes())
                path.unlink()
    lost = by_third_party(url, contract, store, auditor_key, head=head_of(url))
    assert [finding.where for finding in lost.findings] == ["blob"] * 6
    record = Pruned(finished.read_facts().federation, contract).with_rounds([1, 2], "")
    record.write(tmp_path)
    more = {"head": head_of(url), "released": finished.model(2), "pruned": tmp_path / "pruned.json"}
    report = by_third_party(url, contract, store, auditor_key, **more)
    assert report.clean
    assert not report.proven
    assert sum("removed by the run's keeper" in said for said in report.unchecked) == 6
    more["released"] = finished.model(1)
    assert by_third_party(url, contract, store, auditor_key, **more).findings
    for name in ("other.json", "no/pruned.json"):
        with pytest.raises(StoreError, match="--pruned"):
            by_third_party(url, contract, store, **{**more, "pruned": tmp_path / name})


def test_without_a_secret_what_is_sealed_is_unchecked_and_nothing_is_proven(
    url: str, contract: str, store: Path
) -> None:
    report = by_third_party(url, contract, store)
    assert report.clean
    assert not report.proven
    assert sum("no key" in said for said in report.unchecked) == 6
    assert any("head of the consortium's chain" in said for said in report.unchecked)
    assert any("the released model:" in said for said in report.unchecked)
    assert any("storage is the endpoint's word" in said for said in report.notes)


def test_without_a_secret_damaged_blobs_are_found_all_the_same(url: str, contract: str, store: Path) -> None:
    path = max((p for p in store.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    (finding,) = by_third_party(url, contract, store).findings
    assert finding.expected == path.name


def test_a_model_file_that_is_not_the_released_one_is_found(
    finished: RunDirectory, url: str, contract: str, store: Path, auditor_key: EnvelopePrivateKey
) -> None:
    for keys in ((), (auditor_key,)):
        report = by_third_party(url, contract, store, *keys, released=finished.model(1))
        (finding,) = report.findings
        assert finding.where == "round-0001.safetensors"
    report = by_third_party(url, contract, store, released=finished.model(2))
    assert report.clean


def test_where_the_store_lacks_the_first_model_its_file_serves(
    finished: RunDirectory, url: str, contract: str, store: Path, auditor_key: EnvelopePrivateKey
) -> None:
    digest = next(
        p for p in store.rglob("*") if p.is_file() and p.stat().st_size == 4 * layout_size(finished)
    )
    digest.unlink()
    report = by_third_party(url, contract, store, auditor_key)
    assert report.clean
    assert not report.proven
    head = head_of(url)
    report = by_third_party(url, contract, store, auditor_key, head=head, genesis=finished.model(0))
    assert report.proven
    report = by_third_party(url, contract, store, auditor_key, genesis=finished.model(1))
    assert not report.clean


def layout_size(run: RunDirectory) -> int:
    return run.read_layout().size


def test_a_run_whose_chain_is_elsewhere_is_audited_over_rpc(
    copy: RunDirectory, url: str, auditor_key: EnvelopePrivateKey
) -> None:
    facts = copy.read_facts()
    copy.chain_path.unlink()
    ledger = EndpointLedger(url, facts.contract, head_of(url), facts)
    report = conduct_audit(ledger, RunSources(copy), Request([auditor_key]))
    assert (report.findings, report.unchecked) == ([], [])
    assert report.proven
    copy.model(2).write_bytes(copy.model(1).read_bytes())
    assert not conduct_audit(ledger, RunSources(copy), Request([auditor_key])).clean


def test_a_run_whose_chain_was_begun_anew_is_told_so(url: str, finished: RunDirectory) -> None:
    facts = replace(finished.read_facts(), contract="0x" + "12" * 20, genesis="00" * 32)
    source = EndpointLedger(url, facts.contract, None, facts)
    with pytest.raises(ChainError, match=r"begins with 0000.* it was begun anew"):
        conduct_audit(source, RunSources(finished), Request())


def test_what_is_no_address_or_no_store_is_said(url: str, contract: str, store: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="'0x1234' is no address"):
        by_third_party(url, "0x1234", store)
    with pytest.raises(StoreError, match="none: there is no such store"):
        by_third_party(url, contract, tmp_path / "none")
    (tmp_path / "other").mkdir()
    report = by_third_party(url, contract, tmp_path / "other")
    assert any("is it the store of this federation?" in note for note in report.notes)


def test_another_head_than_the_auditor_knows_is_found(url: str, contract: str, store: Path) -> None:
    report = by_third_party(url, contract, store, head=b"\x11" * 32)
    assert [finding.where for finding in report.findings] == ["the chain's head"]


def without_a_finalization(method: str, params: list[Any], result: Any) -> Any:
    return result[:-1] if method == "eth_getLogs" and "topics" not in params[0] else result


def other_order(method: str, params: list[Any], result: Any) -> Any:
    return result[::-1] if method == "eth_getLogs" and "topics" not in params[0] else result


def another_model(method: str, params: list[Any], result: Any) -> Any:
    """Storage as the endpoint would like it: the second model, the first round's."""
    if method == "eth_call" and len(result) == 66 and params[0]["data"].startswith(MODEL_DIGEST):
        return "0x" + "11" * 32
    return result


MODEL_DIGEST = Web3.to_hex(Web3.keccak(text="modelDigest()")[:4])
RESULT_OF = Web3.to_hex(Web3.keccak(text="resultOf(uint64)")[:4])
COMMITMENT_OF = Web3.to_hex(Web3.keccak(text="commitmentOf(uint64,uint64,uint256)")[:4])
MEMBERS = Web3.to_hex(Web3.keccak(text="members()")[:4])


DISPUTED = Web3.to_hex(Web3.keccak(text="disputed(uint64)")[:4])


def storage(selector: str, end: str = "22" * 32) -> Callable[[str, list[Any], Any], Any]:
    """The last digits of one call's answer changed."""

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_call" and params[0]["data"].startswith(selector):
            return result[: -len(end)] + end
        return result

    return lie


@pytest.mark.parametrize(
    ("lie", "where"),
    [
        (without_a_finalization, "eth_getLogs"),
        (other_order, "eth_getLogs"),
        (another_model, "the endpoint's word on the released model"),
        (storage(RESULT_OF), "the endpoint's word on the round's result"),
        (storage(COMMITMENT_OF), "the endpoint's word on an accepted update"),
        (storage(DISPUTED, "1"), "the endpoint's word on disputed rounds"),
        (storage(MEMBERS), "the endpoint's word on the members"),
    ],
)
def test_an_endpoint_that_lies_is_found_out(
    url: str, contract: str, store: Path, lie: Callable[[str, list[Any], Any], Any], where: str
) -> None:
    with closing(LyingProxy(url, lie)) as proxy:
        report = by_third_party(proxy.url, contract, store, head=head_of(url))
    assert any(finding.where.startswith(where) for finding in report.findings), report.findings


def test_rounds_and_hospitals_that_were_not_asked_for_are_unchecked(
    finished: RunDirectory, url: str, contract: str, store: Path, auditor_key: EnvelopePrivateKey
) -> None:
    report = by_third_party(url, contract, store, auditor_key, scope=Scope(first=1, last=1))
    assert (report.rounds, report.updates) == (1, 3)
    assert "round 2: not asked for" in report.unchecked
    assert not report.proven
