"""The contract's calls about members: joining, new keys, leaving, votes and suspension."""

from __future__ import annotations

from fedcxr.ledger.signing import Approval, Departure, Registration, Rotation, as_tuple, check_length
from fedcxr.ledger.transactor import Transactor
from fedcxr.ledger.views import checked_address


class MembershipCalls:
    """Sends what members have signed about themselves, and what the coordinator decides about them."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a member under its signature.

        Raises:
            ContractRejectedError: the signature or the envelope key is wrong, a hospital has no samples,
                the member is registered already, or its admission is not approved.
            FederationError: the signature is far longer than one can be.
        """
        check_length(signature)
        arguments = (as_tuple(registration), envelope_key, signature)
        self._transactor.transact("register", "register", arguments, gas=300_000 + 60 * len(envelope_key))

    def rotate_key(
        self, rotation: Rotation, envelope_key: bytes, signature: bytes, successor_signature: bytes
    ) -> None:
        """Give a member's seat another key, under the signatures of both keys.

        Raises:
            ContractRejectedError: the member is not active, a signature or the envelope key is wrong, or the
                successor has a seat.
        """
        arguments = (as_tuple(rotation), envelope_key, signature, successor_signature)
        self._transactor.transact("rotate", "rotateKey", arguments, gas=300_000 + 60 * len(envelope_key))

    def leave(self, departure: Departure, signature: bytes) -> None:
        """Let a member leave, under its signature.

        Raises:
            ContractRejectedError: the member is not active, or did not sign.
        """
        self._transactor.transact("leave", "leave", (as_tuple(departure), signature), gas=150_000)

    def approve(self, approval: Approval, signature: bytes) -> None:
        """Put a hospital's vote on record.

        Raises:
            ContractRejectedError: the voter is no active hospital, or did not sign.
        """
        self._transactor.transact("approve", "approve", (as_tuple(approval), signature), gas=150_000)

    def suspend(self, address: str) -> None:
        """Suspend a member.

        Raises:
            ContractRejectedError: the member is not active; or the sender is not the coordinator, or not
                enough hospitals have approved.
        """
        self._transactor.transact("suspend", "suspend", (checked_address(address),), gas=150_000)

    def reinstate(self, address: str) -> None:
        """Take the suspension of a member back.

        Raises:
            ContractRejectedError: the member is not suspended; or the sender is not the coordinator, or not
                enough hospitals have approved.
        """
        self._transactor.transact("reinstate", "reinstate", (checked_address(address),), gas=150_000)
