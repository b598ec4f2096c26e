"""The contract as a hospital sees it, through an endpoint of its own choosing."""

from __future__ import annotations

from pathlib import Path

from clients.disk import HospitalDisk
from fedcxr.errors import FederationError
from fedcxr.ledger.rpc import connect
from fedcxr.ledger.views import FederationViews


def attach_ledger(disk: HospitalDisk, contract: str, chain_id: int) -> FederationViews | None:
    """The contract as this hospital sees it through its own endpoint; None when its settings say ``off``.

    Raises:
        FederationError: the server runs without a ledger but this hospital insists on one, or the reverse.
        ChainError: the endpoint does not answer, or is another chain.
    """
    endpoint = disk.settings.ledger
    if endpoint == "off":
        if contract:
            raise FederationError(
                f'{disk.settings.name}: hospital.toml says ledger = "off", but there is one.'
            )
        return None
    if not contract:
        raise FederationError(f"{disk.settings.name}: the server offers no ledger; hospital.toml wants one.")
    url = endpoint if "://" in endpoint else _read(disk, Path(endpoint))
    w3 = connect(url)
    if (found := w3.eth.chain_id) != chain_id:
        raise FederationError(f"{url} is chain {found}, but the federation is on {chain_id}.")
    return FederationViews.attach(w3, contract)


def _read(disk: HospitalDisk, file: Path) -> str:
    """The URL in a file that a coordinator on this machine keeps while its chain is open."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise FederationError(
            f"{disk.settings.name}: hospital.toml names {file} as its ledger, but no URL can be read there: "
            "is the coordinator running?"
        ) from None
