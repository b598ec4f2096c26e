"""What a hospital holds against the contract before it joins a federation."""

from __future__ import annotations

from clients.disk import HospitalDisk
from clients.ledger import attach_ledger, check_keys
from fedcxr.config import Config
from fedcxr.errors import FederationError
from fedcxr.ledger.deployment_parameters import differences
from fedcxr.messages import RegisterRequest
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.update.layout import Layout


def check_federation(disk: HospitalDisk, request: RegisterRequest, config: Config, layout: Layout) -> None:
    """See that the contract was founded with all that the coordinator says of the federation.

    Raises:
        FederationError: it was not, or it is not the contract that hospital.toml insists on; names what.
        ChainError: the chain does not answer.
    """
    name = disk.settings.name
    insisted = disk.settings.contract
    if insisted and insisted.lower() != request.contract.lower():
        raise FederationError(
            f"{name}: the server names contract {request.contract or '(none)'}, "
            f"but hospital.toml insists on {insisted}."
        )
    ledger = attach_ledger(disk, request.contract, request.chain_id)
    if ledger is None:
        return
    if (code := ledger.code_difference()) is not None:
        raise FederationError(f"{name}: {ledger.address} is not the contract it should be: {code}.")
    auditor = EnvelopePublicKey(request.auditor_key).digest if request.auditor_key else bytes(32)
    for what, said, held in (
        ("federation", request.federation, ledger.federation),
        ("configuration", config.digest(), ledger.config_digest),
        ("layout", layout.digest, ledger.layout_digest),
        (
            "coordinator's key",
            EnvelopePublicKey(request.coordinator_key).digest,
            ledger.coordinator_key_digest,
        ),
        ("auditor's key", auditor, ledger.auditor_key_digest),
    ):
        if said != held:
            raise FederationError(
                f"{name}: the server's {what} is {said.hex()}, but the contract holds {held.hex()}."
            )
    check_keys(disk, ledger)
    founded = (ledger.deployment_parameters, ledger.bounds)
    for what, (said, held) in differences(*founded, config, layout.size).items():
        raise FederationError(
            f"{name}: the server's {what} is {said}, but the contract was founded with {held}."
        )
