"""The envelope: one ciphertext of an update, opened by the coordinator and, if there is one, the auditor.

A blob is a header and a ciphertext::

    "fedcxr/envelope/1\\n" | canonical JSON | spaces to a multiple of 4,096 bytes | AES-256-GCM(payload) | tag

The payload is encrypted once under a fresh content key; the content key is sealed to each recipient by HPKE
(RFC 9180), with federation, round, hospital and layout in its ``info``. So a second recipient costs a
kilobyte and not a second ciphertext. The header is the associated data. It holds the Merkle root of the
*plaintext*: AES-GCM alone does not commit to a key, and a hospital could otherwise craft a ciphertext that
says one thing to the coordinator and another to the auditor. The header fills whole Merkle leaves, so that
leaf k of the ciphertext covers the same 4,096 bytes as leaf k of the payload.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from fedcxr import json_text
from fedcxr.errors import EnvelopeError
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.update import merkle

_MAGIC = b"fedcxr/envelope/1\n"
_TAG = 16
_NONCE = bytes(12)  # the content key is fresh for each envelope, so that one nonce is used once
_MAX_HEADER = 16 * merkle.LEAF_SIZE  # about forty recipients


def seal(
    payload: NDArray[np.uint32], context: UpdateContext, recipients: Sequence[EnvelopePublicKey]
) -> bytes:
    """Seal an update to every recipient.

    Args:
        payload: uint32, (n,), contiguous; encrypted from where it is.
        context: federation, round, hospital and layout.
        recipients: at least one.

    Returns:
        The blob: header and ciphertext.
    """
    if not recipients:
        raise EnvelopeError("an envelope needs a recipient.")
    plain = payload.view(np.uint8)
    key = AESGCM.generate_key(256)
    header = _pad(
        _canonical(
            {
                **asdict(context),
                "payload_root": merkle.root(plain).hex(),
                "payload_size": plain.nbytes,
                "recipients": {
                    r.digest.hex(): b64encode(r.seal(key, _info(context))).decode() for r in recipients
                },
            }
        )
    )
    # Encrypted to where the blob is: a buffer of bytes that nobody else has hands them out as they are.
    blob = io.BytesIO(bytes(len(header) + plain.nbytes + _TAG))
    blob.write(header)
    with blob.getbuffer() as view, view[len(header) :] as place:
        AESGCM(key).encrypt_into(_NONCE, plain.data, header, place)
    return blob.getvalue()


def open_envelope(
    blob: NDArray[np.uint8] | bytes,
    context: UpdateContext,
    key: EnvelopePrivateKey,
    out: NDArray[np.uint32] | None = None,
) -> NDArray[np.uint32]:
    """Open a blob that was sealed to ``key`` for ``context``.

    Args:
        blob: as :func:`seal` returned it.
        context: what it must have been sealed for.
        key: a recipient's.
        out: uint32 buffer of the payload's length to decrypt into; it is returned.

    Raises:
        EnvelopeError: malformed, for another context or recipient, changed, or its plaintext is not the one
            that the header commits to.
    """
    view = merkle.as_bytes(blob)
    header, tree = _read_header(view)
    for field, expected in asdict(context).items():
        if tree.get(field) != expected:
            raise EnvelopeError(f"sealed for {field} {tree.get(field)!r}, expected {expected!r}.")
    sealed = tree["recipients"].get(key.public.digest.hex())
    if not isinstance(sealed, str):
        raise EnvelopeError("not sealed to this key.")
    size = len(view) - len(header) - _TAG
    if size != tree["payload_size"] or size % 4 or size < 0:
        raise EnvelopeError(f"a payload of {size} bytes where the header says {tree['payload_size']}.")
    if out is not None and out.nbytes != size:
        raise EnvelopeError(f"a payload of {size} bytes where {out.nbytes} are expected.")
    payload = np.empty(size // 4, np.uint32) if out is None else out
    try:
        content_key = key.open(b64decode(sealed, validate=True), _info(context))
        AESGCM(content_key).decrypt_into(_NONCE, view[len(header) :], header, payload.view(np.uint8).data)
    except (InvalidTag, ValueError):
        raise EnvelopeError("it does not open: other key, other context, or changed bytes.") from None
    if merkle.root(payload).hex() != tree["payload_root"]:
        raise EnvelopeError("its plaintext is not the one that its header commits to.")
    return payload


def longest_envelope(payload: int) -> int:
    """The most bytes that an envelope has around a payload of so many."""
    return _MAX_HEADER + payload + _TAG


def header_of(blob: NDArray[np.uint8] | bytes) -> bytes:
    """The header of an envelope, in the clear: whole Merkle leaves of 4,096 bytes.

    Raises:
        EnvelopeError: malformed.
    """
    return _read_header(merkle.as_bytes(blob))[0]


def payload_root_of(header: bytes) -> bytes:
    """The Merkle root of the plaintext that a header commits to.

    Raises:
        EnvelopeError: malformed.
    """
    found, tree = _read_header(memoryview(header))
    try:
        if found == header:
            return bytes.fromhex(tree["payload_root"])
    except ValueError:
        pass
    raise EnvelopeError("not the header of an envelope.")


def _read_header(view: memoryview) -> tuple[bytes, dict[str, Any]]:
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise EnvelopeError("not an envelope.")
    end = next(
        (
            k
            for k in range(merkle.LEAF_SIZE, min(len(view), _MAX_HEADER) + 1, merkle.LEAF_SIZE)
            if view[k - 1] == ord("\n")
        ),
        None,
    )
    if end is None:
        raise EnvelopeError("its header does not end.")
    header = bytes(view[:end])
    try:
        tree = json_text.parse(header[len(_MAGIC) :], _MAX_HEADER)
        canonical = isinstance(tree, dict) and _pad(_canonical(tree)) == header
    except ValueError:  # half a surrogate pair, too, has no bytes
        raise EnvelopeError("its header is not JSON.") from None
    if not canonical:
        raise EnvelopeError("its header is not canonical.")
    for field, kind in (("recipients", dict), ("payload_size", int), ("payload_root", str)):
        if type(tree.get(field)) is not kind:  # a bool is no size
            raise EnvelopeError(f"its header has no good {field}.")
    return header, tree


def _info(context: UpdateContext) -> bytes:
    """HPKE's ``info``."""
    return _MAGIC + _canonical(asdict(context))


def _canonical(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def _pad(text: bytes) -> bytes:
    """Magic, text, and spaces up to a line end that closes a whole number of Merkle leaves."""
    start = _MAGIC + text
    length = -(-(len(start) + 1) // merkle.LEAF_SIZE) * merkle.LEAF_SIZE
    return start.ljust(length - 1) + b"\n"
