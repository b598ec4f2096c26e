"""A new record of masked rounds for a hospital whose own is lost or damaged.

What it has forgotten it must never do again: it takes no part in any round up to the newest that its journals
or the ledger know, and in none from a model that any of them started from.
"""

from __future__ import annotations

from pathlib import Path

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.ledger import attach_ledger
from clients.masked_record import MaskedRecord
from fedcxr.errors import FederationError, StoreError
from fedcxr.masked_rounds.attempts import signed_seats

_END = {"blockNumber": 2**63, "logIndex": 0}  # behind every event


def renew_record(directory: Path, rpc: str = "") -> MaskedRecord:
    """Write ``masked.json`` anew, from the hospital's journals and the ledger.

    Args:
        directory: the hospital's.
        rpc: endpoint at which the contract is read; by default that of ``hospital.toml``, where the chain of
            a coordinator on this machine answers while it runs.

    Raises:
        FederationError: the hospital is in no federation that masks, its settings say that there is no
            ledger, or a journal is damaged.
        StoreError: the record is there and good; or the new one cannot be written.
        ChainError: the chain does not answer.
    """
    member = Hospital(HospitalDisk(directory)).member
    membership, disk = member.membership, member.disk
    if not member.protection.unmasks:
        raise FederationError(f"{directory}: its federation masks nothing.")
    ledger = attach_ledger(disk, membership.contract, membership.chain_id, rpc)
    if ledger is None:
        raise FederationError(f'{directory}: hospital.toml says ledger = "off": nothing can be read.')
    with disk.masking(), ledger.one_look():
        if _is_good(disk, membership.federation):
            raise StoreError(f"{directory / 'masked.json'}: is there, and good; nothing was changed.")
        opened = [event["args"] for event in ledger.followed("RoundOpened")]
        signed = disk.submissions()
        hospitals = [seat for seat in signed_seats(ledger, _END).values() if seat.hospital]
        record = MaskedRecord(
            federation=membership.federation,
            round=max([int(values["round"]) for values in opened] + [one.round for one in signed], default=0),
            bases=tuple({*(bytes(values["baseDigest"]) for values in opened), *(one.base for one in signed)}),
            accounts=tuple(sorted({account for seat in hospitals for account in seat.accounts})),
        )
        disk.write_masked_record(record)
    return record


def _is_good(disk: HospitalDisk, federation: str) -> bool:
    if not (disk.root / "masked.json").exists():
        return False
    try:
        disk.masked_record(federation)
    except StoreError:
        return False
    return True
