"""The envelope: one ciphertext of an update, opened by the coordinator and, if there is one, the auditor.

A blob is a header and a ciphertext::

    "fedcxr/envelope/2\\n" | canonical JSON | spaces to a multiple of 4,096 bytes | AES-256-GCM(payload) | tag

The payload is encrypted once under a fresh content key; the content key is sealed to each recipient by HPKE
(RFC 9180), with federation, round, hospital and layout in its ``info``. So a second recipient costs a
kilobyte and not a second ciphertext. The header is the associated data. It holds the digest of the content
key: AES-GCM alone does not commit to a key, and a hospital could otherwise craft a ciphertext that says one
thing to the coordinator and another to the auditor. Under one key a ciphertext has one plaintext, so no hash
of the plaintext is needed for that. Where validators are shown the plaintext, the header has its Merkle root
besides. It fills whole Merkle leaves, so that leaf k of the ciphertext covers the same 4,096 bytes as leaf k
of the payload.

The first envelopes, ``fedcxr/envelope/1``, have no digest of the key and always the root. They are read.
"""

from __future__ import annotations

import hashlib
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

_MAGIC = b"fedcxr/envelope/2\n"
_FORMER = b"fedcxr/envelope/1\n"
_KEY_DIGEST = b"content key of fedcxr/envelope/2\n"  # what is hashed before a key
_FIELDS = {_MAGIC: "key_digest", _FORMER: "payload_root"}  # by what a header commits to its plaintext
_TAG = 16
_NONCE = bytes(12)  # the content key is fresh for each envelope, so that one nonce is used once
_MAX_HEADER = 16 * merkle.LEAF_SIZE  # about forty recipients


def seal(
    payload: NDArray[np.uint32],
    context: UpdateContext,
    recipients: Sequence[EnvelopePublicKey],
    *,
    shown: bool = False,
) -> bytes:
    """Seal an update to every recipient.

    Args:
        payload: uint32, (n,), contiguous; encrypted from where it is.
        context: federation, round, hospital and layout.
        recipients: at least one.
        shown: whether validators will be shown it, for which its own root has to be in the header.

    Returns:
        The blob: header and ciphertext.
    """
    if not recipients:
        raise EnvelopeError("an envelope needs a recipient.")
    plain = payload.view(np.uint8)
    key = AESGCM.generate_key(256)
    info = _info(context, _MAGIC)
    tree = {
        **asdict(context),
        "key_digest": _key_digest(key),
        "payload_size": plain.nbytes,
        "recipients": {r.digest.hex(): b64encode(r.seal(key, info)).decode() for r in recipients},
    }
    if shown:
        tree["payload_root"] = merkle.root(plain).hex()
    header = _pad(_canonical(tree), _MAGIC)
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
    *,
    shown: bool = False,
) -> NDArray[np.uint32]:
    """Open a blob that was sealed to ``key`` for ``context``.

    Args:
        blob: as :func:`seal` returned it.
        context: what it must have been sealed for.
        key: a recipient's.
        out: uint32 buffer of the payload's length to decrypt into; it is returned.
        shown: whether validators will be shown it: then one that lacks its own root is refused.

    Raises:
        EnvelopeError: malformed, for another context or recipient, changed, or its key or plaintext is not
            the one that the header commits to.
    """
    view = merkle.as_bytes(blob)
    header, tree, magic = _read_header(view)
    if shown and "payload_root" not in tree:
        raise EnvelopeError("its header lacks the root of its plaintext, which validators are shown.")
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
        content_key = key.open(b64decode(sealed, validate=True), _info(context, magic))
        if magic == _MAGIC and _key_digest(content_key) != tree["key_digest"]:
            raise EnvelopeError("its key is not the one that its header commits to.")
        AESGCM(content_key).decrypt_into(_NONCE, view[len(header) :], header, payload.view(np.uint8).data)
    except (InvalidTag, ValueError):
        raise EnvelopeError("it does not open: other key, other context, or changed bytes.") from None
    if "payload_root" in tree and merkle.root(payload).hex() != tree["payload_root"]:
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
        EnvelopeError: malformed, or without one.
    """
    found, tree, _ = _read_header(memoryview(header))
    try:
        if found == header:
            return bytes.fromhex(tree["payload_root"])
    except (ValueError, KeyError):
        pass
    raise EnvelopeError("not the header of an envelope that can be shown.")


def _read_header(view: memoryview) -> tuple[bytes, dict[str, Any], bytes]:
    """The header's bytes, its fields, and the line that it begins with."""
    magic = bytes(view[: len(_MAGIC)])
    if magic not in _FIELDS:
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
        canonical = isinstance(tree, dict) and _pad(_canonical(tree), magic) == header
    except ValueError:  # half a surrogate pair, too, has no bytes
        raise EnvelopeError("its header is not JSON.") from None
    if not canonical:
        raise EnvelopeError("its header is not canonical.")
    for field, kind in (("recipients", dict), ("payload_size", int), (_FIELDS[magic], str)):
        if type(tree.get(field)) is not kind:  # a bool is no size
            raise EnvelopeError(f"its header has no good {field}.")
    return header, tree, magic


def _key_digest(key: bytes) -> str:
    """What a header has of the content key, which is 32 random bytes: it tells nobody the key."""
    return hashlib.sha256(_KEY_DIGEST + key).hexdigest()


def _info(context: UpdateContext, magic: bytes) -> bytes:
    """HPKE's ``info``."""
    return magic + _canonical(asdict(context))


def _canonical(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def _pad(text: bytes, magic: bytes) -> bytes:
    """Magic, text, and spaces up to a line end that closes a whole number of Merkle leaves."""
    start = magic + text
    length = -(-(len(start) + 1) // merkle.LEAF_SIZE) * merkle.LEAF_SIZE
    return start.ljust(length - 1) + b"\n"
