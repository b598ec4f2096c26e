"""Random sequences of honest and dishonest actions: the contract does what a model of a few lines does."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from contract_party import Party, account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import SignedSubmission

HOSPITALS = 3
BUDGET = 1000
FLAWS = ("forged", "attempt", "base", "samples", "round", "empty")


@dataclass
class Model:
    """What a federation of three is, as far as anyone may tell."""

    phase: str = "none"
    number: int = 0  # of the latest round
    attempt: int = 0
    asked: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    included: set[int] = field(default_factory=set)
    suspended: set[int] = field(default_factory=set)
    settled: int = 0  # rounds

    def open(self, asked: set[int]) -> bool:
        if self.phase not in ("none", "finalized", "aborted") or not asked or asked & self.suspended:
            return False
        again = self.phase == "aborted"
        self.attempt = self.attempt + 1 if again else 1
        self.number += not again
        self.settled = self.number - 1
        self.phase, self.asked, self.accepted = "open", asked, set()
        return True

    def submit(self, who: int, flaw: str) -> bool:
        good = self.phase == "open" and who in self.asked - self.suspended - self.accepted and not flaw
        self.accepted |= {who} if good else set()
        return good

    def close(self, stranger: bool) -> bool:
        good = self.phase == "open" and bool(self.accepted) and (not stranger or self.accepted == self.asked)
        self.phase = "validated" if good else self.phase
        return good

    def finalize(self, out: set[int], stranger: bool) -> bool:
        good = self.phase == "validated" and not stranger and out < self.accepted
        if good:
            self.phase, self.included = "finalized", self.accepted - out
        return good

    def abort(self, stranger: bool) -> bool:
        good = self.phase in ("open", "validated") and not stranger
        self.phase = "aborted" if good else self.phase
        return good

    def settle(self) -> bool:
        good = self.phase == "finalized" and self.settled < self.number
        self.settled += good
        return good

    def suspend(self, who: int, stranger: bool) -> bool:
        good = who not in self.suspended and not stranger
        self.suspended |= {who} if good else set()
        return good

    def reinstate(self, who: int, stranger: bool) -> bool:
        good = who in self.suspended and not stranger
        self.suspended -= {who} if good else set()
        return good


@dataclass
class Real:
    """The same federation on a chain; an action says whether the contract took it."""

    party: Party
    stranger: FederationLedger

    def by(self, stranger: bool) -> FederationLedger:
        return self.stranger if stranger else self.party.ledger

    @property
    def number(self) -> int:
        return self.party.number

    def open(self, asked: set[int]) -> bool:
        base = self.party.ledger.views.model_digest
        addresses = [self.party.addresses[i] for i in sorted(asked)]
        return taken(
            lambda: self.party.ledger.open_round(
                self.number, base=base, config_digest=b"R" * 32, participants=addresses, deadline_seconds=9999
            )
        )

    def submit(self, who: int, flaw: str, attempt: int) -> bool:
        hospital = self.party.hospitals[who]
        changes: dict[str, object] = {
            "attempt": {"attempt": attempt + 1},
            "base": {"base": b"X" * 32},
            "samples": {"samples": 1000},
            "round": {"round": self.number + 1},
            "empty": {"root": bytes(32)},
        }.get(flaw, {})  # type: ignore[assignment]
        key = self.party.outsider if flaw == "forged" else None
        signed = self.party.signed(hospital, key=key, **{"attempt": attempt, **changes})
        foreseen = self.foreseen(signed)
        (verdict,) = self.party.ledger.submit([signed])
        assert (verdict.error.name if verdict.error else None) == foreseen
        direct = taken(lambda: self.party.ledger.submit_direct(signed))
        assert not direct  # it is in now, or as bad as before
        return verdict.accepted

    def foreseen(self, signed: SignedSubmission) -> str | None:
        """Why the contract will reject a submission, by the one Python function of its rules."""
        views, message = self.party.ledger.views, signed.message
        number = views.round_in_progress
        samples = {m.address: m.samples for m in views.members() if m.is_active_hospital}
        view = views.round(number) if number else None
        error = views.acceptance.objection(signed, view, samples.get(message.hospital, 0))
        return error.name if error else None

    def close(self, stranger: bool) -> bool:
        return taken(lambda: self.by(stranger).close(self.number, bytes(32)))

    def finalize(self, out: set[int], stranger: bool) -> bool:
        number = self.number
        excluded = {self.party.addresses[i]: "left out" for i in out}
        return taken(
            lambda: self.by(stranger).finalize(
                number,
                aggregate_root=b"S" * 32,
                model_digest=number.to_bytes(32, "big"),
                excluded=excluded,
            )
        )

    def abort(self, stranger: bool) -> bool:
        return taken(lambda: self.by(stranger).abort(self.number, "given up"))

    def settle(self) -> bool:
        before = self.credits
        return taken(self.stranger.settle) and self.credits != before

    def suspend(self, who: int, stranger: bool) -> bool:
        return taken(lambda: self.by(stranger).membership.suspend(self.party.addresses[who]))

    def reinstate(self, who: int, stranger: bool) -> bool:
        return taken(lambda: self.by(stranger).membership.reinstate(self.party.addresses[who]))

    @property
    def credits(self) -> int:
        return sum(self.party.ledger.views.credits().values())


def taken(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except ContractRejectedError:
        return False
    return True


someone = st.integers(0, HOSPITALS - 1)
some = st.sets(someone)
rarely = st.sampled_from([False, False, False, True])
flaw = st.sampled_from(["", "", "", "", *FLAWS])
action = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([{0, 1, 2}, {0, 1, 2}, {0, 1}, {2}, set()])),
    st.tuples(st.just("submit"), someone, flaw),
    st.tuples(st.just("submit"), someone, flaw),
    st.tuples(st.just("submit"), someone, flaw),
    st.tuples(st.just("close"), rarely),
    st.tuples(st.just("finalize"), some.filter(lambda s: len(s) < 2), rarely),
    st.tuples(st.just("abort"), st.sampled_from([True, True, False])),
    st.tuples(st.just("settle")),
    st.tuples(st.just("suspend"), someone, rarely),
    st.tuples(st.just("reinstate"), someone, rarely),
)


# So that sequences get somewhere: what a round is when everyone is honest.
whole: list[tuple[object, ...]] = [
    ("open", {0, 1, 2}),
    *(("submit", who, "") for who in range(HOSPITALS)),
    ("close", False),
    ("finalize", set(), False),
]
sequences = st.lists(st.one_of(action.map(lambda one: [one]), action.map(lambda one: [one]), st.just(whole)))


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with closing(EmbeddedChain(None, chain_id=1337)) as chain:
        yield chain


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=sequences)
def test_the_contract_is_its_model(chain: EmbeddedChain, parts: list[list[tuple[object, ...]]]) -> None:
    party = Party.found(chain, reward_budget=BUDGET)
    thief = account(5)
    chain.fund(thief.address)
    model = Model()
    real = Real(party, FederationLedger.attach(chain.w3, party.ledger.address, thief))
    taken_by_contract: list[object] = []
    for name, *arguments in (action for part in parts for action in part):
        attempt = model.attempt
        expected = getattr(model, str(name))(*arguments)
        extra = [attempt] if name == "submit" else []
        said = getattr(real, str(name))(*arguments, *extra)
        assert said == expected, (name, arguments, taken_by_contract)
        taken_by_contract += [(name, arguments)] if said else []
        assert real.credits == BUDGET * model.settled
        assert party.ledger.last_finalized == model.number - (model.phase not in ("finalized", "none"))
        if not model.number:
            continue
        view = party.ledger.round(model.number)
        assert view.attempt == model.attempt
        assert view.status == model.phase
        assert set(view.accepted) == {party.addresses[i] for i in model.accepted}
        if model.phase == "finalized":
            assert set(view.included) == {party.addresses[i] for i in model.included}
