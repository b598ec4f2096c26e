"""Runs whose coordinator has cheated: directories with a chain and a store, and no training behind them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from contract_party import Party, account
from told_run import CHAIN_ID, describe, store_blob

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.identity import Identity
from fedcxr.update import merkle

SIZE = 2500  # values: two whole leaves and a short one
BOND = 10**18
STRANGER = account(66)


def key_file(path: Path, number: int) -> Path:
    """Keys of an account of :func:`contract_party.account`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Identity(number.to_bytes(32, "big"), EnvelopePrivateKey.generate("X25519")).write(path)
    return path


def tell_wrong_sum(root: Path, wrong: int | None = 1500) -> Party:
    """One round of open updates; its aggregate is wrong in one value, or right."""
    root.mkdir(parents=True)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain, open_updates=True, update_size=4 * SIZE, minimum_bond=BOND)
        _settle_in(root, party)
        rng = np.random.default_rng(5)
        vectors = [rng.integers(0, 2**32, SIZE, np.uint32) for _ in party.hospitals]
        signed = [
            party.signed(hospital, root=store_blob(root, vector.tobytes()), size=vector.nbytes)
            for hospital, vector in zip(party.hospitals, vectors, strict=True)
        ]
        assert all(verdict.accepted for verdict in party.ledger.submit(signed))
        party.close()
        aggregate = np.sum(vectors, axis=0, dtype=np.uint32)
        if wrong is not None:
            aggregate[wrong] += 1
        store_blob(root, aggregate.tobytes())
        sums = {"aggregate_root": merkle.root(aggregate), "model_digest": b"N" * 32}
        party.ledger.finalize(1, **sums, excluded={})
        return party


def tell_wrong_root(root: Path, *, forged: Sequence[int] = (), left_out: Sequence[int] = ()) -> Party:
    """One round under one root.

    Args:
        root: where the run is made.
        forged: hospitals whose submission the coordinator has signed itself.
        left_out: hospitals that count without one.
    """
    root.mkdir(parents=True)
    with closing(EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain, recording="root", minimum_bond=BOND)
        _settle_in(root, party)
        listed: list[SignedSubmission] = [
            party.signed(hospital, key=party.coordinator if seat in forged else None)
            for seat, hospital in enumerate(party.hospitals)
            if seat not in left_out
        ]
        leaves = submission_list.leaves(listed, {a: seat for seat, a in enumerate(party.addresses)})
        list_root = store_blob(root, submission_list.to_bytes(listed))
        arguments = (1, submission_tree.root(leaves), list_root, 0b111)
        party.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=500_000)
        party.finalize()
        return party


def _settle_in(root: Path, party: Party) -> None:
    """The run's small files, its keys and its bond; its first round is open."""
    describe(root, party)
    key_file(root / "keys" / "coordinator.json", 1)
    key_file(root / "keys" / "auditor.json", 50)
    DisputeCourt(party.chain.w3, party.ledger.views.court, party.coordinator).post_bond(BOND)
    party.open()
