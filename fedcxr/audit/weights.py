"""A round's weights and shares, computed anew from what the ledger says of its participants."""

from __future__ import annotations

from fedcxr.audit.findings import AuditReport
from fedcxr.errors import LedgerError
from fedcxr.ledger.artifact import NAME
from fedcxr.ledger.bounds import UNBOUND, WHOLE
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.rules import assign_weights, beyond_share
from fedcxr.ledger.views import FederationViews


def check_weights(ledger: FederationViews, view: RoundView, report: AuditReport) -> None:
    """Hold a finalized round's weights to the rule that the federation was founded with."""
    samples = {member.seat: member.samples for member in ledger.members()}
    asked = sorted((view.seats[address], address) for address in view.participants)
    found = [view.weights[address] for _, address in asked]
    try:
        share = (ledger.bounds or UNBOUND).largest_share
        images = [samples[seat] for seat, _ in asked]
        expected = assign_weights(images, ledger.deployment_parameters.weighting, share)
    except (LedgerError, KeyError) as error:
        report.find("weights", "those of the federation's rule", str(error), view.number)
        return
    for (_, address), weight, told in zip(asked, expected, found, strict=True):
        if weight != told:
            report.find("weight", str(weight), str(told), view.number, address)
    included = {address: view.weights[address] for address in view.included}
    if largest := beyond_share(included, share):
        most = f"at most {share / WHOLE:.2%} of the sum's"
        found_share = f"{included[largest]} of {sum(included.values())}"
        report.find("weight among the included", most, found_share, view.number, largest)


def what_it_binds(ledger: FederationViews) -> str:
    """What the contract binds of every round, and where it is an earlier one, which."""
    which = "" if ledger.artifact in (None, NAME) else f" ({ledger.artifact}, of an earlier fedcxr)"
    return f"the contract{which} binds: {ledger.bounds or UNBOUND}"
