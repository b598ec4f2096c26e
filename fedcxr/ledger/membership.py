"""What is brought to the contract about members: joining, keys, leaving, votes, suspension."""

from __future__ import annotations

from fedcxr.ledger.signing import Approval, Departure, Registration, Rotation, as_tuple, check_length
from fedcxr.ledger.transactor import Transactor
from fedcxr.ledger.views import checked_address


class MembershipCalls:
    """The contract's calls about members."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a member under its signature.

        Raises:
            ContractRejectedError: bad signature, wrong key, no samples, registered already, not approved.
            FederationError: bytes far longer than a signature.
        """
        check_length(signature)
        arguments = (as_tuple(registration), envelope_key, signature)
        self._transactor.transact("register", "register", arguments, gas=300_000 + 60 * len(envelope_key))

    def rotate_key(
        self, rotation: Rotation, envelope_key: bytes, signature: bytes, successor_signature: bytes
    ) -> None:
        """Give a member's seat another key, by both keys' signatures.

        Raises:
            ContractRejectedError: not active, bad signature, wrong key, the successor has a seat.
        """
        arguments = (as_tuple(rotation), envelope_key, signature, successor_signature)
        self._transactor.transact("rotate", "rotateKey", arguments, gas=300_000 + 60 * len(envelope_key))

    def leave(self, departure: Departure, signature: bytes) -> None:
        """Let a member leave, by its signature.

        Raises:
            ContractRejectedError: not active, bad signature.
        """
        self._transactor.transact("leave", "leave", (as_tuple(departure), signature), gas=150_000)

    def approve(self, approval: Approval, signature: bytes) -> None:
        """Put a hospital's vote on record.

        Raises:
            ContractRejectedError: not an active hospital, bad signature.
        """
        self._transactor.transact("approve", "approve", (as_tuple(approval), signature), gas=150_000)

    def suspend(self, address: str) -> None:
        """Suspend a member.

        Raises:
            ContractRejectedError: not active; not the coordinator, or not approved.
        """
        self._transactor.transact("suspend", "suspend", (checked_address(address),), gas=150_000)

    def reinstate(self, address: str) -> None:
        """Take a suspension back.

        Raises:
            ContractRejectedError: not suspended; not the coordinator, or not approved.
        """
        self._transactor.transact("reinstate", "reinstate", (checked_address(address),), gas=150_000)
