"""What each call of the contract costs in gas, on the embedded chain: ``fedcxr bench gas``.

Whole transactions, as a receipt counts them: the base fee, the call data with its floor (EIP-7623), the
execution. Amounts are those of a federation that is running: later than the first round, and with digests
that have few zero bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace

import numpy as np
from eth_account import Account
from eth_account.signers.local import LocalAccount

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.deployment_parameters import DeploymentParameters
from fedcxr.ledger.openings import SubmissionOpening
from fedcxr.ledger.signing import (
    HOSPITAL,
    VALIDATOR,
    Attestation,
    Registration,
    Signed,
    SignedAttestation,
    SignedSubmission,
    Submission,
    commitment,
    sign,
)
from fedcxr.update import merkle

Say = Callable[[str], None]
_VALUES = 20_836_270  # of an update of the 20.8 M parameters: its leaves are fifteen nodes below the root
_ENVELOPE_KEY = b"k" * 1216  # as long as a hybrid public key
_SAMPLES = 21_345


@dataclass(frozen=True)
class GasBench:
    """Gas of whole transactions, but for ``update_gas_batch10``: a tenth of one.

    Attributes:
        deploy: the ledger and its court.
        register: a hospital, with its key of 1,216 bytes.
        open_first, open_later: a round for ten hospitals, without credits to settle.
        update_gas_batch10: an update in a batch of ten, each with its signature checked.
        update_direct: an update that a hospital brings itself.
        close: a round.
        finalize_gas: a round of ten, nobody excluded, later than the first.
        settle_first, settle_later: the credits of ten hospitals.
        draw: a committee of four.
        attest_first, attest_quorum: one verdict, the first on an update and the one that decides.
        validate: a round of four updates.
        root_close_8, root_close_64: a round under one root.
        root_finalize_8, root_finalize_64: the same.
        challenge_4, challenge_10: a chunk of the sum of so many updates, in a vector of 20.8 M values.
    """

    deploy: int
    register: int
    open_first: int
    open_later: int
    update_gas_batch10: float
    update_direct: int
    close: int
    finalize_gas: int
    settle_first: int
    settle_later: int
    draw: int
    attest_first: int
    attest_quorum: int
    validate: int
    root_close_8: int
    root_close_64: int
    root_finalize_8: int
    root_finalize_64: int
    challenge_4: int
    challenge_10: int


def bench_gas(say: Say) -> GasBench:
    """Measure every call; about a minute."""
    figures: dict[str, float] = {}
    say("ten hospitals, each with its signature")
    figures |= _each()
    say("a committee of four")
    figures |= _committee()
    for hospitals in (8, 64):
        say(f"one root for {hospitals}")
        figures |= _root(hospitals)
    for hospitals in (4, 10):
        say(f"a challenge of {hospitals} updates")
        figures[f"challenge_{hospitals}"] = _challenge(hospitals)
    return GasBench(**figures)  # type: ignore[arg-type]


def as_json(result: GasBench) -> str:
    """The figures as a JSON object."""
    return json.dumps(asdict(result), indent=2)


class _Federation:
    """A federation on a chain of its own, in memory."""

    def __init__(self, chain: EmbeddedChain, hospitals: int, **rules: object) -> None:
        self.coordinator = _account("coordinator")
        chain.fund(self.coordinator.address)
        self.ledger = FederationLedger.deploy(chain.w3, self.coordinator, replace(_RULES, **rules))  # type: ignore[arg-type]
        self.hospitals = [_account(f"hospital {i}") for i in range(hospitals)]
        for hospital in self.hospitals:
            self.register(hospital, HOSPITAL)

    def register(self, member: LocalAccount, roles: int) -> int:
        samples = _SAMPLES if roles & HOSPITAL else 0
        digest = hashlib.sha256(_ENVELOPE_KEY).digest()
        request = Registration(_RULES.federation, member.address, roles, samples, digest)
        signature = sign(member, request, self.ledger.domain)
        return self.cost("register", lambda: self.ledger.register(request, _ENVELOPE_KEY, signature))

    def cost(self, kind: str, call: Callable[[], object]) -> int:
        before = self.ledger.gas_used[kind]
        call()
        return self.ledger.gas_used[kind] - before

    def open(self, number: int) -> int:
        return self.cost(
            "open",
            lambda: self.ledger.open_round(
                number,
                base=self.ledger.views.model_digest,
                config_digest=_digest("configuration", number),
                participants=[hospital.address for hospital in self.hospitals],
                deadline_seconds=10_000,
            ),
        )

    def signed(self, number: int, *, roots: Sequence[bytes] = ()) -> list[SignedSubmission]:
        """What each hospital submits."""
        attempt = self.ledger.round(number).attempt
        batch = []
        for i, hospital in enumerate(self.hospitals):
            submission = Submission(
                federation=_RULES.federation,
                round=number,
                attempt=attempt,
                hospital=hospital.address,
                base=self.ledger.views.model_digest,
                root=roots[i] if roots else _digest("update", number, i),
                samples=_SAMPLES,
                size=4 * _VALUES,
                metrics=_digest("metrics", number, i),
            )
            batch.append(Signed(submission, sign(hospital, submission, self.ledger.domain)))
        return batch

    def submit(self, batch: Sequence[SignedSubmission]) -> int:
        return self.cost("submit", lambda: self.ledger.submit(batch))

    def close(self, number: int) -> int:
        listing = hashlib.sha256(self.ledger.listing()).digest()
        return self.cost("close", lambda: self.ledger.close(number, listing))

    def finalize(self, number: int, aggregate_root: bytes | None = None) -> int:
        root = aggregate_root or _digest("aggregate", number)
        model = _digest("model", number)
        return self.cost(
            "finalize",
            lambda: self.ledger.finalize(number, aggregate_root=root, model_digest=model, excluded={}),
        )


def _each() -> dict[str, float]:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        party = _Federation(chain, 9)
        figures: dict[str, float] = {"deploy": party.ledger.gas_used["deploy"]}
        party.hospitals.append(tenth := _account("hospital 9"))
        figures["register"] = party.register(tenth, HOSPITAL)
        for number, opened, settled in (
            (1, "open_first", "settle_first"),
            (2, "open_later", "settle_later"),
        ):
            figures[opened] = party.open(number)
            figures["update_gas_batch10"] = party.submit(party.signed(number)) / 10
            figures["close"] = party.close(number)
            figures["finalize_gas"] = party.finalize(number)
            figures[settled] = party.cost("settle", party.ledger.settle)
        party.open(3)
        party.submit(party.signed(3)[:1])
        last = party.signed(3)[1]
        figures["update_direct"] = party.cost("submit", lambda: party.ledger.submit_direct(last))
        return figures


def _committee() -> dict[str, float]:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        party = _Federation(chain, 4, committee_size=4, validation_window=10_000)
        validators = [_account(f"validator {i}") for i in range(4)]
        for validator in validators:
            party.register(validator, VALIDATOR)
        ledger = party.ledger
        party.open(1)
        figures: dict[str, float] = {"draw": party.cost("draw", lambda: ledger.draw_committee(1))}
        batch = party.signed(1)
        party.submit(batch)
        party.close(1)
        for signed in batch:
            for place, validator in enumerate(validators):
                verdict = _verdict(validator, signed.message, ledger)
                gas = party.cost("attest", lambda verdict=verdict: ledger.attest([verdict]))  # type: ignore[misc]
                figures[{0: "attest_first", 2: "attest_quorum"}.get(place, "attest_other")] = gas
        figures["validate"] = party.cost("validate", lambda: ledger.validate(1))
        del figures["attest_other"]
        return figures


def _root(hospitals: int) -> dict[str, float]:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        party = _Federation(chain, hospitals, recording="root")
        for number in (1, 2):
            party.open(number)
            party.submit(party.signed(number))
            closing_gas, finalizing = party.close(number), party.finalize(number)
        return {f"root_close_{hospitals}": closing_gas, f"root_finalize_{hospitals}": finalizing}


def _challenge(hospitals: int) -> int:
    """The gas that shows one chunk of a sum to be wrong."""
    generator = np.random.default_rng(0)
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        party = _Federation(chain, hospitals, open_updates=True)
        # A vector of 83 MB for each hospital would be hashed to show one chunk of it: one serves all.
        vector = generator.integers(2**32, size=_VALUES, dtype=np.uint32)
        root, path, leaf = merkle.root(vector), merkle.proof(vector, 1), vector.tobytes()[4096:8192]
        party.open(1)
        batch = party.signed(1, roots=[root] * hospitals)
        party.submit(batch)
        party.close(1)
        party.finalize(1, root)
        court = DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator)
        openings = [SubmissionOpening(signed.message, leaf, path) for signed in batch]
        court.challenge(
            result=result_of(party.ledger.views, 1),
            leaf_index=1,
            openings=openings,
            aggregate_leaf=leaf,
            aggregate_path=path,
        )
        return court.gas_used


def _verdict(validator: LocalAccount, update: Submission, ledger: FederationLedger) -> SignedAttestation:
    attestation = Attestation(
        federation=update.federation,
        round=update.round,
        attempt=update.attempt,
        validator=validator.address,
        hospital=update.hospital,
        commitment=commitment(update),
        accepted=True,
        score=123,
    )
    return Signed(attestation, sign(validator, attestation, ledger.domain))


def _account(name: str) -> LocalAccount:
    account: LocalAccount = Account.from_key(_digest(name))
    return account


def _digest(*what: object) -> bytes:
    return hashlib.sha256(repr(what).encode()).digest()


_RULES = DeploymentParameters(
    federation=_digest("federation"),
    layout_digest=_digest("layout"),
    config_digest=_digest("config"),
    genesis_digest=_digest("genesis"),
    weighting="samples",
    admission="coordinator",
    recording="each",
    open_updates=False,
    committee_size=0,
    min_updates=1,
    validation_window=0,
    dispute_window=100_000,
    update_size=4 * _VALUES,
    reward_budget=10**6,
    minimum_bond=0,
    coordinator_key=_ENVELOPE_KEY,
    auditor_key=b"",
)
