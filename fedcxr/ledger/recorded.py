"""The ways in which a contract records submissions, in the words of its enum ``Recording``."""

from __future__ import annotations

from enum import StrEnum


class Recorded(StrEnum):
    """The ways to record submissions, in the order in which the contract numbers them."""

    EACH = "each"
    ROOT = "root"

    @property
    def listed(self) -> bool:
        """Whether the submissions themselves are in a list in the store, under the contract's root."""
        return self is Recorded.ROOT

    @property
    def said(self) -> str:
        """How submissions are recorded, in words for people."""
        return "one Merkle root a round" if self.listed else "each update, with its signature checked"
