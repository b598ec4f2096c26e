"""A hospital's own disk: settings, keys, and under its ledger address what it remembers of a federation.

::

    hospital.toml
    identity.json              private keys, readable by the owner only
    identity.<address>.json    those that they came after
    <address>/federation.json  the federation that it joined; another one is refused
    <address>/journal.jsonl    everything that it signed
    <address>/watched.json     the newest head of the chain that it saw, and updates that may not count yet
    <address>/update.blob      the update that it sent last, as it left
    <address>/private.safetensors  what the newest round was trained to, where training is private
    <address>/state/           what it keeps between rounds, a file for each of the last two
    watched.lock               held by whoever changes a watched.json
    masked.json                what it masked and released in masked rounds; never to be put back from a copy
    masked.lock                held by whoever acts in a masked round
    hospital.log               what went wrong here, in full; the coordinator gets the code of the error
    ledger.index.sqlite        what `fedcxr member` has read of the chain; a cache
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from clients import masked_record
from clients.masked_record import MaskedRecord
from clients.watched import LONGEST, Watched
from fedcxr import bounded, files, json_text
from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.signed_json import signed_from_tree
from fedcxr.ledger.signing import Struct, Submission
from fedcxr.privacy.keys import KemName
from fedcxr.store.hospital_settings import HospitalSettings
from fedcxr.store.hospital_state import HospitalState
from fedcxr.store.identity import Identity
from fedcxr.update import merkle

_JOURNAL, _LINE = 1 << 26, 1 << 12  # bytes of a journal, and of a line of it
_LONGEST = 4 * json_text.LONGEST  # bytes: a configuration and a layout, as texts within a text
S = TypeVar("S", bound=Struct)


@dataclass(frozen=True)
class Membership:
    """The federation that a hospital has joined: hex digests and keys, and the configuration in full."""

    federation: str
    chain_id: int
    contract: str
    config: str
    layout: str
    coordinator_key: str
    auditor_key: str


@dataclass(frozen=True)
class HospitalDisk:
    """Files of one hospital under ``root``."""

    root: Path

    @cached_property
    def settings(self) -> HospitalSettings:
        return HospitalSettings.load(self.root / "hospital.toml")

    def identity(self, kem: KemName, *, masks: bool = False) -> Identity:
        """The hospital's keys; made at the first call, with one for masks where that is asked for."""
        return Identity.load_or_create(self.root / "identity.json", kem, masks=masks)

    def former_identity(self, account: str) -> Identity:
        """The keys of an account that was rotated.

        Raises:
            StoreError: they are not there.
        """
        return Identity.load(self.root / f"identity.{account}.json")

    @property
    def former_addresses(self) -> list[str]:
        """Of keys that were rotated: ``identity.<address>.json``.

        Where a rotation was cut short before the new keys were put in place, the present ones are there too;
        they are not former.
        """
        names = {path.name.split(".")[1] for path in self.root.glob("identity.0x*.json")}
        present = Identity.load(self.root / "identity.json").account.address if names else ""
        return sorted(names - {present})

    @property
    def cache(self) -> Path:
        return Path(self.settings.data.cache) if self.settings.data.cache else self.root / "cache"

    def join(self, address: str, membership: Membership) -> None:
        """Remember a federation.

        Raises:
            FederationError: this hospital has joined another one under this address.
        """
        path = self.root / address / "federation.json"
        if path.exists() and self.membership(address) != membership:
            raise FederationError(
                f"{path}: this hospital has joined another federation under {address}; "
                "give it a directory of its own for each federation."
            )
        files.write(path, json.dumps(asdict(membership), indent=2) + "\n")

    def membership(self, address: str) -> Membership:
        """The federation that was joined under ``address``.

        Raises:
            FederationError: none.
        """
        path = self.root / address / "federation.json"
        try:
            return Membership(**json_text.parse(path.read_text(encoding="utf-8"), _LONGEST))
        except FileNotFoundError:
            raise FederationError(f"{path}: not registered with any federation yet.") from None
        except (ValueError, TypeError, OSError) as error:
            raise StoreError(f"{path}: damaged: {error}") from None

    def state(self, address: str) -> HospitalState:
        """What this hospital keeps between rounds of the federation that it joined under ``address``.

        Keys may be rotated at any time: what was kept under the old ones is still there.
        """
        former = (self.root / old for old in self.former_addresses if old != address)
        return HospitalState(self.root / address / "state", tuple(folder / "state" for folder in former))

    def watched(self, address: str) -> Watched:
        """What this hospital remembers of the ledger; where it has new keys, what it did under the old ones.

        Raises:
            StoreError: the file is damaged.
        """
        places = [self.root / name / "watched.json" for name in (address, *self.former_addresses)]
        there = [path for path in places if path.is_file()]
        if not there:
            return Watched()
        path = places[0] if places[0] in there else max(there, key=lambda one: one.stat().st_mtime_ns)
        try:
            return Watched.of(json_text.parse(bounded.read(path, LONGEST)))
        except (OSError, ValueError, FederationError) as error:
            raise StoreError(f"{path}: damaged: {error}") from None

    def write_watched(self, address: str, watched: Watched) -> None:
        """Raises UnwritableError when it cannot be written."""
        files.write(self.root / address / "watched.json", watched.to_json())

    def keep_update(self, address: str, blob: bytes, meanwhile: Callable[[], object] | None = None) -> None:
        """Keep the bytes of the newest update, in place of those of the one before.

        Args:
            address: of the hospital.
            blob: the update, as it leaves.
            meanwhile: what else there is to do while the disk writes.

        Raises:
            UnwritableError: they cannot be written.
        """
        files.write(self.root / address / "update.blob", blob, mode=0o600, meanwhile=meanwhile)

    def kept_update(self, address: str, root: bytes, size: int) -> bytes | None:
        """The bytes of an update, if it is the newest that was sent under the present key or a former one.

        Raises:
            OSError: they cannot be read.
        """
        for path in (self.root / name / "update.blob" for name in (address, *self.former_addresses)):
            if path.is_file() and path.stat().st_size == size:
                data = bounded.read(path, size)
                if merkle.root(data) == root:
                    return data
        return None

    def watching(self) -> AbstractContextManager[None]:
        """Keep other processes of this hospital from what it remembers meanwhile."""
        return self._locked("watched.lock")

    def masking(self) -> AbstractContextManager[None]:
        """Keep other processes of this hospital from acting in a masked round meanwhile."""
        return self._locked("masked.lock")

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.root / name).open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def masked_record(self, federation: str) -> MaskedRecord:
        """What this hospital masked and released; empty before its first masked round.

        Raises:
            StoreError: the file is damaged, or is not there although the hospital has sent updates; or it is
                of another federation. It is never made anew by itself.
        """
        path = self.root / "masked.json"
        if not path.exists():
            if self.submissions():
                raise StoreError(
                    f"{path}: is not there, although this hospital has signed updates: without it the same "
                    "update could be released twice. `fedcxr member renew` makes it anew, and the hospital "
                    "takes part from the next round on."
                )
            return MaskedRecord(federation)
        try:
            record = MaskedRecord.of_tree(
                json_text.parse(bounded.read(path, masked_record.LONGEST), masked_record.LONGEST)
            )
        except (OSError, StoreError, ValueError, FederationError) as error:
            raise StoreError(f"{path}: damaged: {error}. `fedcxr member renew` makes it anew.") from None
        if record.federation != federation:
            raise StoreError(f"{path}: of another federation, {record.federation}.")
        return record

    def write_masked_record(self, record: MaskedRecord) -> None:
        """Write it whole, onto the disk before anything that it says is done.

        Raises:
            UnwritableError: it cannot be written.
        """
        files.write(self.root / "masked.json", record.to_json(), mode=0o600)

    def submissions(self) -> list[Submission]:
        """What the hospital has signed of updates, by its journals; raises as :meth:`journaled`."""
        return self.journaled(Submission)

    def journaled(self, kind: type[S]) -> list[S]:
        """What the hospital has signed of a kind, by its journals, under any of its keys.

        Raises:
            StoreError: a journal is damaged.
        """
        found, word = [], json.dumps({"kind": kind.kind()}).encode()[1:-1]
        for path in sorted(self.root.glob("0x*/journal.jsonl")):
            try:
                for line in bounded.lines(path, _JOURNAL, _LINE):
                    if word in line and line.endswith(b"\n"):  # one that a crash cut short never left
                        tree = json_text.parse(line)
                        tree.pop("kind")
                        found.append(signed_from_tree(kind, tree).message)
            except (OSError, ValueError, AttributeError, FederationError) as error:
                raise StoreError(f"{path}: damaged: {error}") from None
        return found

    def record(self, address: str, entry: dict[str, Any]) -> None:
        """Append to the journal what was signed, before it leaves the hospital.

        Raises:
            StoreError: it cannot be written; then nothing may leave.
        """
        files.append_line(self.root / address / "journal.jsonl", json.dumps(entry))
