"""A checksum over a whole chain file, kept in the file's own header while no one has it open.

SQLite checks its structure, and executing the chain again checks every row; neither looks at the bytes
between them (unused parts of pages, counters). The seal does: any burst of up to 32 changed bits is seen.
It is against decay and careless hands; someone who means it can compute a CRC, and gains nothing, for the
rows are held to more than this.

Two fields of the header that SQLite leaves to applications hold it: ``application_id`` says whether the
file was closed, ``user_version`` the CRC-32 of every other byte. An owner that was killed leaves the file
unsealed.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib

_IN_USE, _CLOSED = 0x6F70656E, 0x73656C64  # "open" and "seld": no single byte turns one into the other
_CHANGES, _CRC, _APPLICATION, _VALID_FOR = slice(24, 28), slice(60, 64), slice(68, 72), slice(92, 96)
_HEADER = 100  # bytes, https://www.sqlite.org/fileformat.html


def open_(connection: sqlite3.Connection) -> None:
    """Mark the file as in use, within the transaction that is open."""
    connection.execute(f"PRAGMA application_id = {_IN_USE}")
    connection.execute("PRAGMA user_version = 0")


def close(connection: sqlite3.Connection) -> None:
    """Write the checksum over the file, as the last part of the transaction that is open."""
    connection.execute(f"PRAGMA application_id = {_CLOSED}")
    # A signed number to SQLite, the same four bytes in the file.
    (crc,) = struct.unpack(">i", _checksum(connection.serialize()))
    connection.execute(f"PRAGMA user_version = {crc}")


def difference(data: bytes | memoryview) -> str | None:
    """How a chain file's bytes differ from those its owner left; None if they do not, or it is in use."""
    if len(data) < _HEADER:
        return f"{len(data)} bytes are no database"
    state = int.from_bytes(data[_APPLICATION], "big")
    if state == _IN_USE:
        return None if data[_CRC] == bytes(4) else "its seal is neither open nor closed"
    if state != _CLOSED:
        return "it was not made by fedcxr, or its header was changed"
    if data[_CHANGES] != data[_VALID_FOR]:
        return "the counters of its header differ"
    if data[_CRC] != _checksum(data):
        return "its bytes are not those that it was closed with"
    return None


def _checksum(data: bytes | memoryview) -> bytes:
    """The CRC-32 of all bytes except its own and the two counters that SQLite advances at a commit."""
    header = bytearray(data[:_HEADER])
    for masked in (_CHANGES, _CRC, _VALID_FOR):
        header[masked] = bytes(4)
    return zlib.crc32(memoryview(data)[_HEADER:], zlib.crc32(header)).to_bytes(4, "big")
