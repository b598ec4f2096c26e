"""Bytes that carry no update, or another than they say: refused, and no memory is taken on their word."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation import Recorder, run_federation
from hypothesis import example, given
from hypothesis import strategies as st

import fedcxr.privacy.sealed
from fedcxr.audit.audit import Request, audit, conduct_audit
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config
from fedcxr.errors import EnvelopeError, LayoutError
from fedcxr.privacy import envelope
from fedcxr.privacy.envelope import open_envelope, seal
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Bytes, Form
from fedcxr.update.forms.kinds import FORMS, form_named
from fedcxr.update.forms.packed import Packed

VALUES = 50_000
CONTEXT = UpdateContext("ab" * 32, 2, "0x" + "11" * 20, "cd" * 32, VALUES, 7)
KEY = EnvelopePrivateKey.generate("X25519")
PACKED = form_named("packed")
UPDATE: Ring = (np.random.default_rng(0).integers(-500, 500, VALUES) * 7).astype(np.int32).view(np.uint32)


class Carrying(Packed):
    """A hospital that says that it packs, and sends what it likes."""

    def __init__(self, data: Bytes) -> None:
        self.data = data

    def carry(self, update: Ring, weight: int) -> Bytes:
        return self.data


def sealed(data: bytes | Bytes) -> bytes:
    """An envelope of any payload that says it is packed, under the root of the update."""
    return seal(UPDATE, CONTEXT, [KEY.public], Carrying(np.frombuffer(data, np.uint8)), shown=True)


def honest() -> Bytes:
    return PACKED.carry(UPDATE, 7)


def test_an_honest_one_is_read() -> None:
    assert np.array_equal(open_envelope(sealed(honest()), CONTEXT, KEY, forms=[PACKED]), UPDATE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff" * 52,
        b"\xff" * 4096,
        bytes([20]) * 49 + bytes(3),
        bytes(52),  # every block of zeros: the vector of zeros, and not what the header commits to
        bytes(51) + b"\x01",
        honest().tobytes()[:-4],
        honest().tobytes() + bytes(4),
        bytes(VALUES * 4),
    ],
    ids=range(10),
)
def test_a_payload_that_carries_no_update_or_another_is_refused(data: bytes) -> None:
    blob = sealed(data)
    for out in (None, np.empty(VALUES, np.uint32)):
        with pytest.raises(EnvelopeError):
            open_envelope(blob, CONTEXT, KEY, out=out, forms=[PACKED])


def test_a_few_bytes_make_no_reader_take_more_memory_than_the_layout_has() -> None:
    """Blocks of zeros take no bits: a blob of a kilobyte for any number of values is possible."""
    blob = sealed(bytes(52))
    tracemalloc.start()
    with pytest.raises(EnvelopeError):
        open_envelope(blob, CONTEXT, KEY, forms=[PACKED])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * VALUES + (8 << 20)  # the vector, and what a chunk takes
    with pytest.raises(EnvelopeError, match="50000 values where 4 are expected"):
        open_envelope(blob, CONTEXT, KEY, out=np.empty(4, np.uint32), forms=[PACKED])


def test_the_longest_blob_is_shorter_than_a_plain_one() -> None:
    worst = np.where(np.arange(VALUES) % 2, 2**19 - 1, 1 - 2**19).astype(np.int32).view(np.uint32)
    kind = fedcxr.privacy.sealed.Sealed().of(PACKED)
    blob = kind.protect(
        worst, UpdateContext("ab" * 32, 2, "0x" + "11" * 20, "cd" * 32, VALUES, 1), [KEY.public]
    )
    assert len(blob) <= kind.longest(VALUES) < fedcxr.privacy.sealed.Sealed().longest(VALUES)


def test_another_weight_than_the_contracts_makes_another_update_which_was_not_committed_to() -> None:
    other = replace(CONTEXT, weight=8)
    with pytest.raises(EnvelopeError, match="not the one that its header commits to"):
        open_envelope(sealed(honest()), other, KEY, forms=[PACKED])


@pytest.mark.parametrize("sent", FORMS)
@pytest.mark.parametrize("expected", FORMS)
def test_an_update_in_another_form_than_the_federations_is_refused(sent: str, expected: str) -> None:
    blob = seal(UPDATE, CONTEXT, [KEY.public], form_named(sent))
    if sent == expected:
        assert np.array_equal(open_envelope(blob, CONTEXT, KEY, forms=[form_named(expected)]), UPDATE)
        return
    with pytest.raises(EnvelopeError, match=f"its form is '{sent}', where {expected} is expected"):
        open_envelope(blob, CONTEXT, KEY, forms=[form_named(expected)])
    assert np.array_equal(open_envelope(blob, CONTEXT, KEY, forms=[*FORMS.values()]), UPDATE)


@pytest.mark.parametrize("word", ["plain", "", "zip", None, 7, ["packed"], {"packed": 1}, "x" * 3000])
def test_a_header_that_names_its_form_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch, word: object
) -> None:
    canonical = envelope._canonical

    def renamed(tree: dict[str, object]) -> bytes:
        return canonical({**tree, "form": word} if "recipients" in tree else tree)

    with monkeypatch.context() as patch:
        patch.setattr(envelope, "_canonical", renamed)
        blob = seal(UPDATE, CONTEXT, [KEY.public])
    with pytest.raises(EnvelopeError, match="its form is") as refused:
        open_envelope(blob, CONTEXT, KEY, forms=[*FORMS.values()])
    assert len(str(refused.value)) < 200


Attack = Callable[[Ring, UpdateContext, list[EnvelopePublicKey]], bytes]


def in_plain(update: Ring, context: UpdateContext, keys: list[EnvelopePublicKey]) -> bytes:
    """Another form, which has sixteen times the range; it has more bytes than any short one."""
    return seal(update, context, keys)


def in_twenty_bits(update: Ring, context: UpdateContext, keys: list[EnvelopePublicKey]) -> bytes:
    """Another form, which has sixteen times the range."""
    return seal(update, context, keys, PACKED)


def bomb(update: Ring, context: UpdateContext, keys: list[EnvelopePublicKey]) -> bytes:
    return seal(update, context, keys, _Bomb())


class _Bomb(Carrying):
    def __init__(self) -> None:
        super().__init__(np.full(1000, 255, np.uint8))

    @property
    def header(self) -> dict[str, str]:
        return {"form": "short"}


@pytest.mark.parametrize("attack", [in_plain, in_twenty_bits, bomb])
def test_a_hospital_that_sends_something_else_is_left_out_and_the_audit_agrees(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Attack
) -> None:
    dishonest: list[str] = []

    def seal_otherwise(
        update: Ring,
        context: UpdateContext,
        keys: list[EnvelopePublicKey],
        form: Form,
        *,
        shown: bool,
    ) -> bytes:
        if not dishonest:
            dishonest.append(context.hospital)
        if context.hospital in dishonest:
            return attack(update, context, keys)
        return seal(update, context, keys, form, shown=shown)

    config = small_config.with_changes({"federation.update_form": "short", "federation.rounds": 1})
    with monkeypatch.context() as patch:
        patch.setattr(fedcxr.privacy.sealed, "seal", seal_otherwise)
        run = run_federation(config, tmp_path / "run", observer=Recorder())
    (line,) = read_rounds(run)
    assert list(line.excluded) == ([] if attack is in_plain else dishonest)
    assert len(line.included) == 2
    assert dishonest[0] not in line.included
    keys = [Identity.load(run.keys / f"{who}.json").envelope_key for who in ("auditor", "coordinator")]
    assert audit(run, keys).proven
    # Without the configuration nobody knows which form is the federation's; what an update is, its bytes say.
    (run.root / "config.toml").unlink()
    report = conduct_audit(RunLedger(run), RunSources(run), Request(keys))
    assert "config.toml" in {finding.where for finding in report.findings}
    assert "round configuration's exponents" not in {finding.where for finding in report.findings}


def test_a_short_form_with_the_plain_forms_exponents_is_found(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that scales as if there were twenty bits would clip what hospitals send."""
    config = small_config.with_changes({"federation.update_form": "short", "federation.rounds": 1})
    with monkeypatch.context() as patch:
        patch.setattr("server.coordinator.RoundRules.exponents", lambda self, *models: _fine(*models))
        patch.setattr("clients.hospital.check_rules", lambda *asked: None)
        run = run_federation(config, tmp_path / "run")
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert {finding.where for finding in report.findings} == {"round configuration's exponents"}


def _fine(layout, base, before):  # type: ignore[no-untyped-def]
    return form_named("plain").exponents(layout, base, None if before is None else base - before)


def test_json_of_a_header_names_the_form_once() -> None:
    header = envelope.header_of(sealed(honest()))
    tree = json.loads(header[len(envelope._MAGIC) :])
    assert tree["form"] == "packed"
    plain = json.loads(
        envelope.header_of(seal(UPDATE, CONTEXT, [KEY.public], shown=True))[len(envelope._MAGIC) :]
    )
    assert tree.keys() - plain.keys() == {"form"}
    assert tree["payload_root"] == plain["payload_root"]


@given(data=st.binary(max_size=1200), values=st.integers(0, 5000), form=st.sampled_from(["packed", "short"]))
@example(data=bytes(8), values=5000, form="packed")
@example(data=b"\x01\x00\x00\x00" + bytes(128), values=1024, form="short")
def test_any_bytes_are_refused_or_the_one_string_of_an_update(data: bytes, values: int, form: str) -> None:
    kind = form_named(form)
    try:
        update = kind.restore(np.frombuffer(data, np.uint8), values, 3, None)
    except LayoutError as error:
        assert len(str(error)) < 200
        return
    assert update.size == values
    assert kind.carry(update, 3).tobytes() == data
