"""The envelope: one ciphertext of an update, opened by the coordinator and, if there is one, the auditor.

A blob is a header and a ciphertext::

    "fedcxr/envelope/2\\n" | canonical JSON | spaces to a multiple of 4,096 bytes | AES-256-GCM(payload) | tag

The payload is the update in the federation's form (``fedcxr.update.forms``); the header names the form unless
it is the plain one. It is encrypted once under a fresh content key; the content key is sealed to each
recipient by HPKE (RFC 9180), with federation, round, hospital and layout in its ``info``. So a second
recipient costs a kilobyte and not a second ciphertext. The header is the associated data. It holds the digest
of the content key: AES-GCM alone does not commit to a key, and a hospital could otherwise craft a ciphertext
that says one thing to the coordinator and another to the auditor. Under one key a ciphertext has one
plaintext, and a string of bytes of a form stands for one vector under the contract's weight, so no hash of
either is needed for that. Where validators are shown the update, the header has its Merkle root besides: that
of the plain vector, whatever the form. The header fills whole Merkle leaves, so that leaf k of the ciphertext
covers the same 4,096 bytes as leaf k of the payload.

The first envelopes, ``fedcxr/envelope/1``, have no digest of the key and always the root. They are read.
"""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from fedcxr import json_text
from fedcxr.errors import EnvelopeError, LayoutError
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.update import merkle
from fedcxr.update.forms.form import Form
from fedcxr.update.forms.kinds import form_named

PLAIN = form_named("plain")
_MAGIC = b"fedcxr/envelope/2\n"
_FORMER = b"fedcxr/envelope/1\n"
_KEY_DIGEST = b"content key of fedcxr/envelope/2\n"  # what is hashed before a key
_FIELDS = {_MAGIC: "key_digest", _FORMER: "payload_root"}  # by what a header commits to its plaintext
_TAG = 16
_NONCE = bytes(12)  # the content key is fresh for each envelope, so that one nonce is used once
_MAX_HEADER = 16 * merkle.LEAF_SIZE  # about forty recipients


def seal(
    update: NDArray[np.uint32],
    context: UpdateContext,
    recipients: Sequence[EnvelopePublicKey],
    form: Form = PLAIN,
    *,
    shown: bool = False,
) -> bytes:
    """Seal an update to every recipient.

    Args:
        update: uint32, (n,), contiguous; in the plain form encrypted from where it is.
        context: federation, round, hospital and layout.
        recipients: at least one.
        form: in which it travels.
        shown: whether validators will be shown it, for which its own root has to be in the header.

    Returns:
        The blob: header and ciphertext.

    Raises:
        EnvelopeError: there is no recipient.
        LayoutError: the form cannot carry the update.
    """
    if not recipients:
        raise EnvelopeError("an envelope needs a recipient.")
    plain = form.carry(update, context.weight)
    key = AESGCM.generate_key(256)
    info = _info(context, _MAGIC)
    tree = {
        **context.place,
        **form.header,
        "key_digest": _key_digest(key),
        "payload_size": plain.nbytes,
        "recipients": {r.digest.hex(): b64encode(r.seal(key, info)).decode() for r in recipients},
    }
    if shown:
        tree["payload_root"] = merkle.root(update).hex()
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
    forms: Sequence[Form] = (PLAIN,),
    shown: bool = False,
) -> NDArray[np.uint32]:
    """Open a blob that was sealed to ``key`` for ``context``.

    Args:
        blob: as :func:`seal` returned it.
        context: what it must have been sealed for.
        key: a recipient's.
        out: uint32 buffer of the update's length to read into; it is returned.
        forms: in which the update may be.
        shown: whether validators will be shown it: then one that lacks its own root is refused.

    Raises:
        EnvelopeError: malformed, for another context or recipient, in another form, changed, or its key or
            update is not the one that the header commits to.
    """
    view = merkle.as_bytes(blob)
    header, tree, magic = _read_header(view)
    if shown and "payload_root" not in tree:
        raise EnvelopeError("its header lacks the root of its plaintext, which validators are shown.")
    for field, expected in context.place.items():
        if tree.get(field) != expected:
            raise EnvelopeError(f"sealed for {field} {tree.get(field)!r}, expected {expected!r}.")
    said = {"form": tree["form"]} if "form" in tree else {}
    form = next((form for form in forms if form.header == said), None)
    if form is None:
        known = " or ".join(form.name for form in forms)
        raise EnvelopeError(f"its form is {said.get('form', PLAIN.name)!r:.40}, where {known} is expected.")
    sealed = tree["recipients"].get(key.public.digest.hex())
    if not isinstance(sealed, str):
        raise EnvelopeError("not sealed to this key.")
    size = len(view) - len(header) - _TAG
    if size != tree["payload_size"] or size < 0:
        raise EnvelopeError(f"a payload of {size} bytes where the header says {tree['payload_size']}.")
    try:
        payload = form.room(size, out)
        content_key = key.open(b64decode(sealed, validate=True), _info(context, magic))
        if magic == _MAGIC and _key_digest(content_key) != tree["key_digest"]:
            raise EnvelopeError("its key is not the one that its header commits to.")
        AESGCM(content_key).decrypt_into(_NONCE, view[len(header) :], header, payload.data)
        update = form.restore(payload, context.values, context.weight, out)
    except LayoutError as error:
        raise EnvelopeError(f"a payload that carries no update: {error}") from None
    except (InvalidTag, ValueError):
        raise EnvelopeError("it does not open: other key, other context, or changed bytes.") from None
    if "payload_root" in tree and merkle.root(update).hex() != tree["payload_root"]:
        raise EnvelopeError("its plaintext is not the one that its header commits to.")
    return update


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
    return magic + _canonical(context.place)


def _canonical(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def _pad(text: bytes, magic: bytes) -> bytes:
    """Magic, text, and spaces up to a line end that closes a whole number of Merkle leaves."""
    start = magic + text
    length = -(-(len(start) + 1) // merkle.LEAF_SIZE) * merkle.LEAF_SIZE
    return start.ljust(length - 1) + b"\n"
