"""The envelope: who opens it, and every way in which it must not open."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.errors import EnvelopeError
from fedcxr.privacy.envelope import open_envelope, seal
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey, KemName
from fedcxr.privacy.protection import UpdateContext
from fedcxr.update import merkle

CONTEXT = UpdateContext(
    federation="ab" * 32, round=2, hospital="0x" + "11" * 20, layout="cd" * 32, values=5000, weight=3
)
PAYLOAD = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint32)


@pytest.fixture(scope="module", params=["MLKEM768_X25519", "X25519"])
def key(request: pytest.FixtureRequest) -> EnvelopePrivateKey:
    kem: KemName = request.param
    return EnvelopePrivateKey.generate(kem)


def test_every_recipient_opens_the_same_payload(key: EnvelopePrivateKey) -> None:
    auditor = EnvelopePrivateKey.generate("X25519")
    blob = seal(PAYLOAD, CONTEXT, [key.public, auditor.public])
    assert np.array_equal(open_envelope(blob, CONTEXT, key), PAYLOAD)
    assert np.array_equal(open_envelope(np.frombuffer(blob, np.uint8), CONTEXT, auditor), PAYLOAD)
    out = np.empty_like(PAYLOAD)
    assert open_envelope(blob, CONTEXT, key, out=out) is out
    assert np.array_equal(out, PAYLOAD)


def test_the_overhead_is_two_leaves_at_most(key: EnvelopePrivateKey) -> None:
    blob = seal(PAYLOAD, CONTEXT, [key.public, EnvelopePrivateKey.generate("MLKEM768_X25519").public])
    assert len(blob) - PAYLOAD.nbytes <= 2 * merkle.LEAF_SIZE + 16


def test_a_third_party_does_not_open_it(key: EnvelopePrivateKey) -> None:
    blob = seal(PAYLOAD, CONTEXT, [key.public])
    with pytest.raises(EnvelopeError, match="not sealed to this key"):
        open_envelope(blob, CONTEXT, EnvelopePrivateKey.generate(key.kem))


@pytest.mark.parametrize(
    "change", [{"federation": "00" * 32}, {"round": 3}, {"hospital": "0x" + "22" * 20}, {"layout": "00" * 32}]
)
def test_it_opens_for_its_own_context_only(key: EnvelopePrivateKey, change: dict[str, object]) -> None:
    other = replace(CONTEXT, **change)  # type: ignore[arg-type]
    blob = seal(PAYLOAD, CONTEXT, [key.public])
    with pytest.raises(EnvelopeError, match=f"sealed for {next(iter(change))}"):
        open_envelope(blob, other, key)
    # Nor does it help to write the other context into the header: HPKE's info is that of the seal.
    header_end = len(blob) - PAYLOAD.nbytes - 16
    field, value = next(iter(change.items()))
    header = blob[:header_end]
    forged = header.replace(
        json.dumps({field: getattr(CONTEXT, field)})[1:-1].replace(": ", ":").encode(),
        json.dumps({field: value})[1:-1].replace(": ", ":").encode(),
    )
    assert forged != header
    assert len(forged) == len(header)
    moved = forged + blob[header_end:]
    with pytest.raises(EnvelopeError, match="does not open"):
        open_envelope(moved, other, key)


def test_any_flipped_byte_is_noticed(key: EnvelopePrivateKey) -> None:
    blob = seal(PAYLOAD, CONTEXT, [key.public])
    rng = np.random.default_rng(3)
    offsets = {0, len(blob) - 1, len(blob) - 17, *rng.integers(0, len(blob), 60).tolist()}
    for offset in offsets:
        damaged = np.frombuffer(blob, np.uint8).copy()
        damaged[offset] ^= 0x20
        with pytest.raises(EnvelopeError):
            open_envelope(damaged, CONTEXT, key)


@pytest.mark.parametrize("length", [0, 10, 4095, 4096, 8192, 20000])
def test_a_truncated_blob_does_not_open(key: EnvelopePrivateKey, length: int) -> None:
    with pytest.raises(EnvelopeError):
        open_envelope(seal(PAYLOAD, CONTEXT, [key.public])[:length], CONTEXT, key)


def test_a_plaintext_other_than_the_committed_one_is_refused(
    key: EnvelopePrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_root = merkle.root
    monkeypatch.setattr("fedcxr.privacy.envelope.merkle.root", lambda data: true_root(b"another payload"))
    blob = seal(PAYLOAD, CONTEXT, [key.public], shown=True)
    monkeypatch.undo()
    with pytest.raises(EnvelopeError, match="its plaintext is not the one that its header commits to"):
        open_envelope(blob, CONTEXT, key)


def test_what_validators_cannot_be_shown_is_refused_where_they_judge(key: EnvelopePrivateKey) -> None:
    blob = seal(PAYLOAD, CONTEXT, [key.public], shown=True)
    assert np.array_equal(open_envelope(blob, CONTEXT, key, shown=True), PAYLOAD)
    with pytest.raises(EnvelopeError, match="lacks the root of its plaintext"):
        open_envelope(seal(PAYLOAD, CONTEXT, [key.public]), CONTEXT, key, shown=True)


def test_a_header_is_written_in_one_way_only(
    key: EnvelopePrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hospital has sealed it like that, so its tag is good; but then one update would have many blobs."""

    def loosely(tree: dict[str, object]) -> bytes:
        return json.dumps(tree).encode() if "recipients" in tree else canonical(tree)

    from fedcxr.privacy import envelope

    canonical = envelope._canonical
    monkeypatch.setattr(envelope, "_canonical", loosely)
    blob = seal(PAYLOAD, CONTEXT, [key.public])
    monkeypatch.undo()
    with pytest.raises(EnvelopeError, match="its header is not canonical"):
        open_envelope(blob, CONTEXT, key)


def test_a_payload_of_another_length_is_refused(key: EnvelopePrivateKey) -> None:
    blob = seal(PAYLOAD, CONTEXT, [key.public])
    with pytest.raises(EnvelopeError, match="20000 bytes where 4 are expected"):
        open_envelope(blob, CONTEXT, key, out=np.empty(1, np.uint32))


def test_keys_that_are_none_are_refused() -> None:
    with pytest.raises(EnvelopeError, match="public key of 5 bytes"):
        EnvelopePublicKey(b"12345")
    with pytest.raises(EnvelopeError, match="private key of 5 bytes"):
        EnvelopePrivateKey(b"12345")
    with pytest.raises(EnvelopeError, match="needs a recipient"):
        seal(PAYLOAD, CONTEXT, [])


def test_a_private_key_never_prints() -> None:
    key = EnvelopePrivateKey.generate("X25519")
    assert key.data.hex() not in repr(key)
    assert str(key.data) not in repr(key)
