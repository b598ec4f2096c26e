"""What a hospital is asked, held against the rules of the configuration that it joined with.

The configuration's digest is on the ledger, and how a round was opened is the contract's; the base model is
the ledger's. The model before it a hospital does not keep: it holds the exponents of a later round to the
range that they can have, and the audit, which has both models, to the very ones. Without a ledger the round's
number, its exponents and the first model are all that can be checked.
"""

from __future__ import annotations

from clients.open_round import OpenRound
from fedcxr.errors import RuleError
from fedcxr.ledger.round_rules import RoundRules
from fedcxr.models.initial import require_usual_draws
from fedcxr.training.first_model import FirstModel, read_pretrained
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import RoundConfig
from fedcxr.update.rounding import farthest, within_rounding


def check_rules(
    rules: RoundRules, asked: OpenRound, round_config: RoundConfig, layout: Layout, base: Vector
) -> None:
    """See that a round is one of the configuration's, and was opened as it says.

    Args:
        rules: of the federation.
        asked: the round.
        round_config: as the ledger has it.
        layout: of the federation.
        base: the model that the ledger has for the round.

    Raises:
        RuleError: it is not; each rule that it breaks is named.
    """
    rules.purpose(asked.number)
    broken = list(rules.exponent_breaches(asked.number, layout, base, round_config.exponents))
    if asked.opening is not None:
        broken += rules.breaches(asked.opening)
    if broken:
        raise RuleError(
            f"round {asked.number}: refused, for the configuration: {'; '.join(map(str, broken))}."
        )


def compare_first_model(own: FirstModel, base: Vector) -> None:
    """See that the first round starts from the model that configuration and seed give.

    Raises:
        RuleError: it is another one.
        ModelError: the weights here are not those that the configuration names, or torch here draws other
            numbers than it did: nothing can be said of the model then.
    """
    if within_rounding(far := farthest(own.vector, base)):
        return
    read_pretrained(own.config.model)
    require_usual_draws()
    raise RuleError(
        "round 1: refused, for the configuration: the first model is not the one that configuration and seed "
        f"give; a value is off by {far:.3g}."
    )
