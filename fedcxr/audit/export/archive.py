"""An audit's export as a file: a zip of which every byte follows from its members.

Members stand in the order of their names, uncompressed, without dates. So a reader takes them one after the
other, writes the headers again that they must have, and a byte that differs was changed, wherever in the file
it is. No size in the file is believed: members lie within the file's own bytes, back to back, so that there
is no compression, no overlap, no second directory and no encryption to be fooled with.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from fedcxr import json_text
from fedcxr.errors import StoreError

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
FORMAT = "fedcxr/audit-export/1"
LARGEST = 1 << 27
"""Bytes of an export; a hundred thousand blocks, most of them without an event, have some 120 million."""

_NAME = re.compile(r"(?:artifact|audit|chain|contract|events|manifest|signature)\.json|blobs/[0-9a-f]{64}")
# Of a member without compression, from 1980-01-01, as APPNOTE.TXT 6.3 has it: before the member, and in the
# directory; each is followed by the name. Last the directory's end.
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _UNIX, _DATE, _FILE = 20, 3 << 8, 33, 0o100644 << 16


def canonical(tree: object) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_json(data: bytes) -> Any:
    """Canonical JSON.

    Raises:
        ValueError: not JSON, or not canonical.
    """
    tree = json_text.parse(data, LARGEST)
    if canonical(tree) != data:
        raise ValueError("it is not canonical JSON")
    return tree


def manifest_of(members: Mapping[str, bytes]) -> bytes:
    """The list of members with their SHA-256: what an auditor signs."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return canonical({"format": FORMAT, "files": files})


def pack(members: Mapping[str, bytes]) -> bytes:
    """The file's bytes."""
    return b"".join(_pieces(members))


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a file that :func:`pack` made.

    Raises:
        StoreError: it is another file, or was changed.
    """
    if len(data) > LARGEST:
        raise StoreError(f"not an audit's export: {len(data):,} bytes, where at most {LARGEST:,} are read.")
    try:
        members = dict(_members(data))
    except (struct.error, ValueError) as error:
        raise StoreError(f"not an audit's export as it was written: {error}.") from None
    at = 0
    for piece in _pieces(members):
        if data[at : at + len(piece)] != piece:
            break
        at += len(piece)
    if at != len(data):
        which = "; ".join(changes(members)) or "bytes between its members, or their order"
        raise StoreError(f"not an audit's export as it was written; changed: {which}.")
    return members


def changes(members: Mapping[str, bytes]) -> Iterator[str]:
    """What differs from the manifest, as far as that can be read."""
    try:
        listed = dict(json_text.parse(members[MANIFEST])["files"].items())
    except (KeyError, ValueError, TypeError, AttributeError):
        yield f"{MANIFEST}, which cannot be read"
        return
    for name, digest in listed.items():
        if name not in members:
            yield f"{name:.80}, which is missing"
        elif hashlib.sha256(members[name]).hexdigest() != digest:
            yield name
    yield from (
        f"{name}, which was added"
        for name in members.keys() - listed.keys()
        if name not in (MANIFEST, SIGNATURE)
    )


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members as they stand one after the other up to the directory, if none is compressed.

    That none is, and that nothing is between them, shows when they are packed again.

    Raises:
        ValueError, struct.error: the bytes at a place are no member of an export.
    """
    at, before = 0, ""
    while data[at : at + 4] != b"PK\1\2":
        start = at + _LOCAL.size
        *_, size, name_length, _ = _LOCAL.unpack(data[at:start])
        end = start + name_length + size
        if data[at : at + 4] != b"PK\3\4" or end > len(data):
            raise ValueError(f"byte {at:,} begins no member")
        name = data[start : start + min(name_length, 80)].decode("ascii", "replace")
        if not _NAME.fullmatch(name):
            raise ValueError(f"changed: {ascii(name)[1:-1]}, which was added")
        if name <= before:
            raise ValueError(f"changed: {name}, which stands twice, or out of order")
        yield name, data[start + name_length : end]
        at, before = end, name


def _pieces(members: Mapping[str, bytes]) -> Iterator[bytes]:
    """The file, in its order."""
    at, directory = 0, []
    for name in sorted(members):
        content, written = members[name], name.encode("ascii")
        facts = (0, 0, 0, _DATE, zlib.crc32(content), len(content), len(content), len(written), 0)
        yield _LOCAL.pack(b"PK\3\4", _VERSION, *facts) + written
        yield content
        entry = _ENTRY.pack(b"PK\1\2", _UNIX | _VERSION, _VERSION, *facts, 0, 0, 0, _FILE, at)
        directory.append(entry + written)
        at += _LOCAL.size + len(written) + len(content)
    entries = b"".join(directory)
    yield entries + _END.pack(b"PK\5\6", 0, 0, len(directory), len(directory), len(entries), at, 0)
