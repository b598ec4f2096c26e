"""Every kind of protection: what a hospital protects, a reader reads and a validator can hold to its root."""

from __future__ import annotations

import numpy as np
import pytest

from fedcxr.config import Privacy
from fedcxr.errors import EnvelopeError
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.kinds import PROTECTIONS, protection_named, protection_recorded
from fedcxr.privacy.protection import Protection, UpdateContext
from fedcxr.update import merkle

KEY = EnvelopePrivateKey.generate("X25519")
CONTEXT = UpdateContext("ab" * 32, 2, "0x" + "11" * 20, "cd" * 32, 3000, 1)
UPDATE = np.random.default_rng(0).integers(0, 2**32, 3000, dtype=np.uint32)

every_kind = pytest.mark.parametrize("protection", PROTECTIONS.values(), ids=PROTECTIONS)
READABLE = {name: kind for name, kind in PROTECTIONS.items() if not kind.unmasks}
every_readable = pytest.mark.parametrize("protection", READABLE.values(), ids=READABLE)


@every_readable
def test_what_is_protected_is_read_back(protection: Protection) -> None:
    blob = protection.protect(UPDATE.copy(), CONTEXT, [KEY.public])
    for reader in protection.readers([KEY]):
        assert np.array_equal(reader.read(blob, CONTEXT), UPDATE)
        out = np.empty_like(UPDATE)
        assert np.array_equal(reader.read(np.frombuffer(blob, np.uint8), CONTEXT, out=out), UPDATE)
        assert reader.key_digest == (b"" if protection.challengeable else KEY.public.digest)


@every_readable
def test_an_update_is_shown_with_what_proves_its_root(protection: Protection) -> None:
    blob = protection.protect(UPDATE.copy(), CONTEXT, [KEY.public], shown=True)
    (reader,) = protection.readers([KEY], shown=True)
    shown = reader.show(blob, CONTEXT)
    committed = protection.committed_root(merkle.root(blob), len(blob), shown.header, shown.paths)
    assert committed == merkle.root(shown.update) == merkle.root(UPDATE)


def test_a_header_of_another_blob_proves_nothing() -> None:
    protection = protection_named("sealed")
    (reader,) = protection.readers([KEY])
    blob, other = (protection.protect(UPDATE + k, CONTEXT, [KEY.public]) for k in np.uint32([0, 1]))
    shown = reader.show(other, CONTEXT)
    with pytest.raises(EnvelopeError, match="not that of what its hospital signed"):
        protection.committed_root(merkle.root(blob), len(blob), shown.header, shown.paths)


def test_what_was_not_sealed_to_be_shown_has_no_root_to_prove() -> None:
    protection = protection_named("sealed")
    blob = protection.protect(UPDATE.copy(), CONTEXT, [KEY.public])
    (reader,) = protection.readers([KEY])
    shown = reader.show(blob, CONTEXT)
    with pytest.raises(EnvelopeError, match="not the header of an envelope that can be shown"):
        protection.committed_root(merkle.root(blob), len(blob), shown.header, shown.paths)


def test_who_has_no_key_reads_only_what_needs_none() -> None:
    assert {name: len(kind.readers([])) for name, kind in PROTECTIONS.items()} == {
        "sealed": 0,
        "open": 1,
        "masked": 1,  # which reads what says nothing
    }


@every_kind
def test_the_configuration_and_the_contract_name_the_same_kind(protection: Protection) -> None:
    privacy = Privacy.model_validate({"envelope": protection.name})
    assert privacy.open_updates == protection.challengeable
    recorded = protection_recorded(privacy.open_updates, envelope=privacy.envelope)
    assert recorded == protection_named(privacy.envelope) == protection
