"""Files in a run's store that no finalized round names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fedcxr.audit.findings import AuditReport
from fedcxr.errors import StoreError
from fedcxr.ledger.views import FederationViews
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES

_LONGEST = 4 * MOST_VALUES + (1 << 17)  # bytes: the longest update that there can be, with its header


def check_surplus(blobs: Path, named: Iterable[bytes], ledger: FederationViews, report: AuditReport) -> None:
    """Every file must be the blob that its name says; one that no event names at all is noted.

    Only in the run's own directory: a store of its own may serve other federations too. A blob without an
    event is no fault: an update is stored before the contract hears of it, and a process may die in between.
    """
    names = sorted(p.relative_to(blobs).as_posix() for p in blobs.rglob("*") if p.is_file())
    checked = {_name(root) for root in named}
    known = {_name(root) for root in _named_by_events(ledger)}
    for name in names:
        if name in checked or name.endswith(".tmp"):  # a process that died leaves the latter
            continue
        try:
            root = bytes.fromhex(name[3:])
            if name != _name(root):
                raise ValueError  # noqa: TRY301
            path = blobs / name
            size = path.stat().st_size
            if size > _LONGEST:
                raise StoreError(f"{path}: {size:,} bytes, where no blob has more than {_LONGEST:,}.")  # noqa: TRY301
            if (found := merkle.root_of_file(path)) != root:
                raise StoreError(f"{path}: its bytes have the root {found.hex()}.")  # noqa: TRY301
        except OSError as error:
            report.find(f"blobs/{name}", root.hex(), f"cannot be read: {error.strerror}")
        except ValueError:
            report.find(f"blobs/{name}", "a blob under its root", "a file with another name")
        except StoreError as error:
            report.find(f"blobs/{name}", root.hex(), str(error))
        else:
            if name not in known:
                report.notes.append(f"surplus: blobs/{name}, {size} bytes that no event names")


def _named_by_events(ledger: FederationViews) -> Iterable[bytes]:
    """Roots in events of any kind: of what was rejected, or of attempts that were given up, too."""
    yield from (ledger.layout_digest, ledger.genesis_digest)
    for name, fields in (
        ("UpdateAccepted", ("root", "metrics")),
        ("UpdateRejected", ("root",)),
        ("RoundOpened", ("configDigest",)),
        ("SubmissionsCommitted", ("listRoot",)),
        ("RoundFinalized", ("aggregateRoot",)),
    ):
        for event in ledger.events(name):
            yield from (bytes(event["args"][field]) for field in fields)


def _name(root: bytes) -> str:
    return f"{root.hex()[:2]}/{root.hex()}"
