"""An audit's export as a file: a zip of which every byte follows from its members.

Members stand in the order of their names, uncompressed, without dates. So a reader packs what it has read
again, and a byte that differs was changed, wherever in the file it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from fedcxr import json_text
from fedcxr.errors import StoreError

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
FORMAT = "fedcxr/audit-export/1"


def canonical(tree: object) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_json(data: bytes) -> Any:
    """Canonical JSON.

    Raises:
        ValueError: not JSON, or not canonical.
    """
    tree = json_text.parse(data)
    if canonical(tree) != data:
        raise ValueError("it is not canonical JSON")
    return tree


def manifest_of(members: Mapping[str, bytes]) -> bytes:
    """The list of members with their SHA-256: what an auditor signs."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return canonical({"format": FORMAT, "files": files})


def pack(members: Mapping[str, bytes]) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # the same on every system
            info.external_attr = 0o100644 << 16
            archive.writestr(info, members[name])
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a file that :func:`pack` made.

    Raises:
        StoreError: it is another file, or was changed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception as error:  # zipfile raises several types over damaged files
        raise StoreError(f"not an audit's export: {type(error).__name__}: {error!s:.200}") from None
    if pack(members) != data:
        which = "; ".join(changes(members)) or "bytes between its members, or their order"
        raise StoreError(f"not an audit's export as it was written; changed: {which}.")
    return members


def changes(members: Mapping[str, bytes]) -> Iterator[str]:
    """What differs from the manifest, as far as that can be read."""
    try:
        listed = json.loads(members[MANIFEST])["files"].items()
    except (KeyError, ValueError, TypeError, AttributeError):
        yield f"{MANIFEST}, which cannot be read"
        return
    for name, digest in listed:
        if name not in members:
            yield f"{name}, which is missing"
        elif hashlib.sha256(members[name]).hexdigest() != digest:
            yield name
    yield from (
        f"{name}, which was added"
        for name in members.keys() - dict(listed).keys()
        if name not in (MANIFEST, SIGNATURE)
    )
