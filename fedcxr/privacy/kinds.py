"""The kinds of protection, a row each."""

from __future__ import annotations

from fedcxr.privacy.masked import Masked
from fedcxr.privacy.open import Open
from fedcxr.privacy.protection import Protection
from fedcxr.privacy.sealed import Sealed
from fedcxr.update.forms.kinds import FORMS, form_named

PROTECTIONS: dict[str, Protection] = {kind.name: kind for kind in (Sealed(), Open(), Masked())}
"""By the word of ``privacy.envelope``."""


def protection_named(name: str, form: str = "plain") -> Protection:
    """The kind that a configuration names in ``privacy.envelope``, of updates in its form."""
    return PROTECTIONS[name].of(form_named(form))


def protection_recorded(
    open_updates: bool, form: str | None = "plain", envelope: str | None = None
) -> Protection:
    """The kind that a contract was founded with, whatever a configuration says.

    Args:
        open_updates: as the contract has it.
        form: as the configuration has it, whose digest the contract holds; None where that is not at hand:
            then an update may say itself which it is in.
        envelope: likewise. Without it, updates that are not open are taken for sealed ones.
    """
    kinds = [kind for kind in PROTECTIONS.values() if kind.challengeable == open_updates]
    kind = next((kind for kind in kinds if kind.name == envelope), kinds[0])
    if form is not None:
        return kind.of(form_named(form))
    return kind.of(*(each for each in FORMS.values() if each.challengeable or not open_updates))
