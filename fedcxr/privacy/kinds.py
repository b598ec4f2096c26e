"""The kinds of protection, a row each."""

from __future__ import annotations

from fedcxr.privacy.open import Open
from fedcxr.privacy.protection import Protection
from fedcxr.privacy.sealed import Sealed

PROTECTIONS: dict[str, Protection] = {kind.name: kind for kind in (Sealed(), Open())}
"""By the word of ``privacy.envelope``."""


def protection_named(name: str) -> Protection:
    """The kind that a configuration names in ``privacy.envelope``."""
    return PROTECTIONS[name]


def protection_recorded(open_updates: bool) -> Protection:
    """The kind that a contract was founded with, whatever a configuration says.

    Args:
        open_updates: as the contract has it.
    """
    return next(kind for kind in PROTECTIONS.values() if kind.challengeable == open_updates)
