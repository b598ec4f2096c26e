"""A run's directory whose contract has seen everything that a history can hold, and no training behind it."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

from contract_party import ENVELOPE_KEY, FEDERATION, Party, account

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.ledger.signing import (
    HOSPITAL,
    VALIDATOR,
    Attestation,
    Departure,
    Refusal,
    Rotation,
    SignedAttestation,
    commitment,
    sign,
)
from fedcxr.update import merkle

CHAIN_ID = 61_370
NASTY = "[bold]unsealed[/] \x1b[31mbadly"  # markup, and a terminal's colour
BLOB = b"sealed" * 100
SUCCESSOR = account(20)


def tell(root: Path) -> Party:
    """Make the run at ``root``; the chain is closed, and its party's keys remain."""
    root.mkdir(parents=True)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain)
        _tell(party)
        describe(root, party)
        return party


def tell_judged(root: Path) -> Party:
    """A run whose four hospitals judge each other: a committee of four."""
    root.mkdir(parents=True)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain, roles=HOSPITAL | VALIDATOR, committee_size=4)
        party.open()
        judges = [*party.hospitals, party.outsider]
        assert sorted(party.ledger.draw_committee(1)) == sorted(judge.address for judge in judges)
        batch = [party.signed(hospital) for hospital in party.hospitals]
        assert all(verdict.accepted for verdict in party.ledger.submit(batch))
        party.close()
        words = []
        for judge in judges:
            for position, signed in enumerate(batch):
                if judge.address != signed.message.hospital:
                    word = Attestation(
                        federation=FEDERATION,
                        round=1,
                        attempt=1,
                        validator=judge.address,
                        hospital=signed.message.hospital,
                        commitment=commitment(signed.message),
                        accepted=position != 2,  # the third convinces nobody
                        score=(50, 25, -30)[position],
                    )
                    words.append(SignedAttestation(word, sign(judge, word, party.ledger.domain)))
        assert all(verdict.accepted for verdict in party.ledger.attest(words))
        party.ledger.validate(1)
        party.finalize()
        party.ledger.settle()
        describe(root, party)
        return party


def tell_under_one_root(root: Path) -> Party:
    """A run of one round, whose submissions are a list in the store under one root; one is missing."""
    root.mkdir(parents=True)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain, recording="root")
        describe(root, party)
        party.open()
        party.ledger.submit([party.signed(hospital) for hospital in party.hospitals[:2]])
        party.ledger.close(1, store_blob(root, party.ledger.listing()))
        party.finalize()
        return party


def store_blob(root: Path, data: bytes) -> bytes:
    """Put a blob into the run's store."""
    digest = merkle.root(data)
    path = root / "blobs" / digest.hex()[:2] / digest.hex()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def describe(root: Path, party: Party) -> None:
    """The run's small files."""
    (root / "config.toml").write_text('name = "told"\n[data]\nroot = "nowhere"\n')
    facts = {
        "federation": FEDERATION.hex(),
        "chain_id": party.chain.chain_id,
        "contract": party.ledger.address,
    }
    (root / "ledger.json").write_text(json.dumps(facts))
    hospitals = {f"hospital-{i + 1}": {"address": a} for i, a in enumerate(party.addresses)}
    (root / "metrics.jsonl").write_text(json.dumps({"round": 1, "hospitals": hospitals}) + "\n")
    store_blob(root, BLOB)


def _tell(party: Party) -> None:
    first, second, third = party.hospitals
    ledger = party.ledger
    # Round 1: whole; the first hospital's blob is in the store.
    party.open()
    blob = {"root": merkle.root(BLOB), "size": len(BLOB)}
    ledger.submit([party.signed(first, **blob), party.signed(second), party.signed(third)])
    party.close()
    party.finalize()
    # Round 2: one rejected, one excluded.
    party.open()
    ledger.submit([party.signed(first), party.signed(second, samples=2**64 - 1), party.signed(third)])
    refusal = Refusal(FEDERATION, 2, second.address, b"?" * 32)
    ledger.refuse(refusal, sign(second, refusal, ledger.domain))
    party.close()
    party.finalize({third.address: NASTY})
    # Round 3: given up, and whole at the second attempt.
    party.open()
    ledger.submit([party.signed(first)])
    ledger.abort(3, NASTY)
    party.whole_round()
    # The second hospital gets another key, the third is suspended and taken back, the outsider leaves.
    rotation = Rotation(FEDERATION, second.address, SUCCESSOR.address, hashlib.sha256(ENVELOPE_KEY).digest())
    signatures = [sign(key, rotation, ledger.domain) for key in (second, SUCCESSOR)]
    ledger.membership.rotate_key(rotation, ENVELOPE_KEY, *signatures)
    ledger.membership.suspend(third.address)
    ledger.membership.reinstate(third.address)
    departure = Departure(FEDERATION, party.outsider.address)
    ledger.membership.leave(departure, sign(party.outsider, departure, ledger.domain))
    # Round 4 is open: the new key has submitted.
    party.hospitals[1] = SUCCESSOR
    party.open()
    ledger.submit([party.signed(SUCCESSOR)])
