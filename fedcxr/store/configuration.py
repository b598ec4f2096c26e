"""The configuration in the store: its canonical JSON, under the SHA-256 that the ledger holds.

It is the one file there whose name is no Merkle root, for the digest on the ledger is none. With it a third
party has the rules of the rounds, and what the first model is made of.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fedcxr import config as configuration
from fedcxr import json_text
from fedcxr.errors import BlobCorruptError, ConfigError
from fedcxr.store.blobs import BlobStore

if TYPE_CHECKING:
    from fedcxr.config import Config

_LONGEST = 1 << 18  # bytes, as of a TOML file


def put_configuration(store: BlobStore, config: Config) -> None:
    """Store a configuration; raises UnwritableError where that is impossible."""
    store.put(config.canonical_json().encode(), config.digest())


def get_configuration(store: BlobStore, digest: bytes) -> Config:
    """The configuration with this digest.

    Raises:
        BlobMissingError: the store has none, as of a federation that an earlier fedcxr founded.
        BlobCorruptError: what it has is another, or no configuration of this version.
        StoreError: it cannot be read.
    """
    data = store.get(digest, _LONGEST, name_of=lambda found: hashlib.sha256(found.data).digest())
    path = store.path(digest)
    try:
        config = configuration.validate(json_text.parse(data.tobytes(), _LONGEST), where=path)
    except (ValueError, ConfigError) as error:
        raise BlobCorruptError(f"{path}: not a configuration that this fedcxr reads: {error}") from None
    if config.digest() != digest:
        raise BlobCorruptError(f"{path}: as this fedcxr reads it, its digest is {config.digest().hex()}.")
    return config
