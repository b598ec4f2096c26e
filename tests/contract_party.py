"""A federation of four on a chain of this process: its contract, its keys, and what its hospitals sign."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import TxParams, TxReceipt, Wei

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.ledger.bounds import UNBOUND, Bounds
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.deployment_parameters import DeploymentParameters
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import HOSPITAL, Domain, Registration, Rotation, SignedSubmission, Submission, sign

FEDERATION = b"F" * 32
GENESIS = b"G" * 32
LocalChain = EmbeddedChain | AnvilChain
SAMPLES = (100, 50, 7)
ENVELOPE_KEY = b"envelope key"


def account(number: int) -> LocalAccount:
    return Account.from_key(number.to_bytes(32, "big"))


def registration(member: LocalAccount, samples: int = 100, roles: int = HOSPITAL) -> Registration:
    return Registration(FEDERATION, member.address, roles, samples, hashlib.sha256(ENVELOPE_KEY).digest())


RULES = DeploymentParameters(
    federation=FEDERATION,
    layout_digest=b"L" * 32,
    config_digest=b"C" * 32,
    genesis_digest=GENESIS,
    weighting="samples",
    admission="coordinator",
    recording="each",
    open_updates=False,
    committee_size=0,
    min_updates=1,
    validation_window=1000,
    dispute_window=1000,
    update_size=4 * 2048,
    reward_budget=1000,
    minimum_bond=0,
    coordinator_key=b"coordinator's key",
    auditor_key=b"",
)


def deploy(
    w3: Web3, coordinator: LocalAccount, bounds: Bounds = UNBOUND, **rules: object
) -> FederationLedger:
    founding = replace(RULES, **rules)  # type: ignore[arg-type]
    return FederationLedger.deploy(w3, coordinator, founding, bounds)


@dataclass
class Party:
    """One contract, and who acts on it; ``outsider`` is registered, but never asked."""

    chain: LocalChain
    ledger: FederationLedger
    coordinator: LocalAccount
    hospitals: list[LocalAccount]
    outsider: LocalAccount

    @classmethod
    def found(
        cls,
        chain: LocalChain,
        samples: Sequence[int] = SAMPLES,
        *,
        roles: int = HOSPITAL,
        bounds: Bounds = UNBOUND,
        **rules: object,
    ) -> "Party":
        coordinator = account(1)
        chain.fund(coordinator.address)
        ledger = deploy(chain.w3, coordinator, bounds, **rules)
        party = cls(chain, ledger, coordinator, [account(10 + i) for i in range(len(samples))], account(9))
        for hospital, count in zip([*party.hospitals, party.outsider], [*samples, 5], strict=True):
            party.register(hospital, count, roles)
        return party

    @property
    def addresses(self) -> list[str]:
        return [hospital.address for hospital in self.hospitals]

    @property
    def number(self) -> int:
        return self.ledger.last_finalized + 1

    def register(self, hospital: LocalAccount, samples: int, roles: int = HOSPITAL) -> None:
        request = registration(hospital, samples, roles)
        self.ledger.register(request, ENVELOPE_KEY, sign(hospital, request, self.ledger.domain))

    def open(self, *, seconds: int = 10_000) -> RoundView:
        return self.ledger.open_round(
            self.number,
            base=self.ledger.views.model_digest,
            config_digest=b"R" * 32,
            participants=self.addresses,
            deadline_seconds=seconds,
        )

    def submission(self, signer: LocalAccount, /, **changes: object) -> Submission:
        """A good one for the round that is open, but for the changes."""
        number = self.number
        attempt = changes["attempt"] if "attempt" in changes else self.ledger.round(number).attempt
        good = Submission(
            federation=FEDERATION,
            round=number,
            attempt=attempt,  # type: ignore[arg-type]
            hospital=signer.address,
            base=self.ledger.views.model_digest,
            root=hashlib.sha256(signer.address.encode() + bytes([number])).digest(),
            samples=5,
            size=1000,
            metrics=b"M" * 32,
        )
        return replace(good, **changes)  # type: ignore[arg-type]

    def signed(
        self,
        signer: LocalAccount,
        /,
        *,
        key: LocalAccount | None = None,
        domain: Domain | None = None,
        **changes: object,
    ) -> SignedSubmission:
        submission = self.submission(signer, **changes)
        return SignedSubmission(submission, sign(key or signer, submission, domain or self.ledger.domain))

    def rotate(self, member: LocalAccount, successor: LocalAccount) -> None:
        """Give a member's seat another key."""
        digest = hashlib.sha256(b"new").digest()
        rotation = Rotation(FEDERATION, member.address, successor.address, digest)
        signatures = [sign(key, rotation, self.ledger.domain) for key in (member, successor)]
        self.ledger.membership.rotate_key(rotation, b"new", *signatures)

    def close(self) -> None:
        """Close the round, and have it validated where nobody judges."""
        number = self.ledger.round_in_progress
        self.ledger.close(number, hashlib.sha256(self.ledger.listing()).digest())

    def finalize(self, excluded: dict[str, str] | None = None) -> None:
        number = self.number
        self.ledger.finalize(
            number,
            aggregate_root=hashlib.sha256(b"sum" + bytes([number])).digest(),
            model_digest=hashlib.sha256(b"model" + bytes([number])).digest(),
            excluded=excluded or {},
        )

    def whole_round(self) -> list[SignedSubmission]:
        """Open, submit for everyone, close, finalize; what was submitted."""
        self.open()
        batch = [self.signed(hospital) for hospital in self.hospitals]
        assert all(verdict.accepted for verdict in self.ledger.submit(batch))
        self.close()
        self.finalize()
        return batch

    def create(self, code: bytes) -> TxReceipt:
        """Run initialisation code of any kind; the receipt names what it made."""
        creation: TxParams = {"data": code, "value": Wei(0), "gas": 10_000_000}
        return self.chain.w3.sender(self.coordinator).deliver(creation)

    def travel(self, seconds: int) -> None:
        """Let chain time pass."""
        if isinstance(self.chain, AnvilChain):
            self.chain.travel(seconds)
            return
        tester = self.chain.provider.ethereum_tester
        tester.time_travel(self.chain.w3.eth.get_block("latest")["timestamp"] + seconds)
        self.chain.db.commit()
