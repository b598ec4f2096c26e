"""Every generator derives from (seed, round, hospital, purpose); nothing is seeded globally.

Clients share processes (a Ray actor serves many hospitals), so a global generator would make a hospital's
result depend on who trained before it.
"""

import hashlib
import json


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed from the run's seed and what it is for, e.g. ``derive_seed(0, "augment", 3, "north")``.

    SHA-256 of the canonical JSON list, so that neighbouring seeds share nothing and any two purposes differ.
    """
    digest = hashlib.sha256(json.dumps([seed, *purpose], separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch.Generator wants a signed 64-bit integer
