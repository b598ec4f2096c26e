"""The contract as a hospital sees it, through an endpoint of its own choosing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from clients.disk import HospitalDisk, Membership
from fedcxr import bounded
from fedcxr.chain.here import is_shown_here
from fedcxr.chain.rpc_server import connect
from fedcxr.errors import FederationError, StoreError
from fedcxr.indexer.location import ChainLocation, ask
from fedcxr.indexer.members import Members
from fedcxr.ledger.views import FederationViews
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.run_location import location_of_run

_ENDPOINTS = 4  # whose contracts are kept
_kept: OrderedDict[tuple[str, str, int, bool], FederationViews] = OrderedDict()
_guard = threading.Lock()


def attach_ledger(disk: HospitalDisk, contract: str, chain_id: int, rpc: str = "") -> FederationViews | None:
    """The contract as this hospital sees it through its own endpoint; None when its settings say ``off``.

    Args:
        disk: the hospital's.
        contract: address.
        chain_id: of the chain on which it must be.
        rpc: endpoint to use; by default that of ``hospital.toml``.

    Raises:
        FederationError: the server runs without a ledger but this hospital insists on one, or the reverse.
        ChainError: the endpoint does not answer, or is another chain.
    """
    endpoint = rpc or disk.settings.ledger
    if endpoint == "off":
        if contract:
            raise FederationError(
                f'{disk.settings.name}: hospital.toml says ledger = "off", but there is one.'
            )
        return None
    if not contract:
        raise FederationError(f"{disk.settings.name}: the server offers no ledger; hospital.toml wants one.")
    return _attached_at(url_of(disk, rpc), contract, chain_id)


def _attached_at(url: str, contract: str, chain_id: int) -> FederationViews:
    """The contract at an endpoint; what this process has read there before, as long as its chain goes on.

    The hospitals of a simulation share a process: what one has read of a round, the next need not read again.
    """
    place = url, contract, chain_id, is_shown_here(url)  # a connection knows one way to an endpoint
    with _guard:
        kept = _kept.get(place)
    if kept is not None and kept.goes_on():
        return kept
    w3 = connect(url)
    if (found := w3.eth.chain_id) != chain_id:
        raise FederationError(f"{url} is chain {found}, but the federation is on {chain_id}.")
    views = FederationViews.attach(w3, contract)
    views.head()
    with _guard:
        _kept.pop(place, None)
        _kept[place] = views
        while len(_kept) > _ENDPOINTS:
            _kept.popitem(last=False)
    return views


def check_keys(disk: HospitalDisk, ledger: FederationViews) -> None:
    """See that no seat is still under keys that were put aside: the new ones would ask for a second.

    Raises:
        FederationError: one is.
    """
    if not (former := disk.former_addresses):
        return
    seated = {member.address for member in ledger.members()}
    for old in former:
        if old in seated:
            raise FederationError(
                f"{disk.settings.name}: the contract knows this hospital by {old}, whose keys were rotated: "
                "bring the signed order first (fedcxr member relay)."
            )


def url_of(disk: HospitalDisk, rpc: str = "") -> str:
    """URL of the chain's endpoint: ``rpc``, or that of ``hospital.toml``.

    Raises:
        FederationError: it names a file that holds none.
    """
    endpoint = rpc or disk.settings.ledger
    return endpoint if "://" in endpoint else _read(disk, Path(endpoint))


def store_of(disk: HospitalDisk) -> str:
    """The blobs of a run on this machine whose chain ``hospital.toml`` names; empty where it names none."""
    endpoint = disk.settings.ledger
    blobs = Path(endpoint).parent / "blobs"
    return "" if "://" in endpoint or endpoint == "off" or not blobs.is_dir() else str(blobs)


def read_members(disk: HospitalDisk, membership: Membership, rpc: str = "") -> Members:
    """Who belongs to the federation, from the contract's events.

    They are read at ``rpc``, or at the endpoint of ``hospital.toml``; where that is the file of a coordinator
    on this machine who is away, in the chain that its run has left on the disk.

    Raises:
        FederationError: the settings say that there is no ledger.
        ChainError: the chain cannot be read.
    """
    return ask(_location(disk, membership, rpc), lambda ledger: Members.of(ledger.index))


def _location(disk: HospitalDisk, membership: Membership, rpc: str) -> ChainLocation:
    endpoint = rpc or disk.settings.ledger
    if endpoint == "off":
        raise FederationError(
            f'{disk.settings.name}: hospital.toml says ledger = "off": nothing can be read.'
        )
    index, contract, chain_id = disk.root / "ledger.index.sqlite", membership.contract, membership.chain_id
    run = RunDirectory(Path(endpoint).parent, trusted=True)
    if "://" not in endpoint and run.founded:
        return replace(location_of_run(run, contract), chain_id=chain_id, index=index)
    url = url_of(disk, rpc)
    return ChainLocation(contract, url=url, chain_id=chain_id, index=index)


def _read(disk: HospitalDisk, file: Path) -> str:
    """The URL in a file that a coordinator on this machine keeps while its chain is open."""
    try:
        return bounded.read(file, 1 << 12).decode().strip()
    except (OSError, StoreError, UnicodeDecodeError):
        raise FederationError(
            f"{disk.settings.name}: hospital.toml names {file} as its ledger, but no URL can be read there: "
            "is the coordinator running?"
        ) from None
