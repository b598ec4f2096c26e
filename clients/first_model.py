"""The first model of a federation, as a hospital holds it against the one that it makes itself."""

from __future__ import annotations

from clients.member import Member
from clients.rules import compare_first_model
from fedcxr.training.kept_network import NETWORK, network_key
from fedcxr.update.layout import Vector

_passed: list[object] = []  # the first model that was last found to be right in this process


def check_first_model(member: Member, base: Vector, digest: bytes) -> None:
    """See that the first round starts from the model that configuration and seed give.

    What is said of a model is said of its digest: a process that plays several hospitals makes a federation's
    first model once. Its network goes on to train.

    Args:
        member: the hospital.
        base: the model that it is asked to start from, float32.
        digest: of it, as it was computed here from its bytes.

    Raises:
        RuleError: it is another one.
        FederationError, ConfigError, ModelError: it cannot be made here.
    """
    asked = network_key(member.config), digest
    if _passed == [asked]:
        return
    own = member.created_model()
    compare_first_model(own, base)
    _passed[:] = [asked]
    NETWORK.keep(own)
