"""The command line: one file a command, nothing heavy imported before a command needs it."""

from fedcxr.cli import (  # registered by being imported
    audit,
    bench,
    bond,
    chain,
    challenge,
    contracts,
    data,
    demo,
    ledger,
    member,
    predict,
    proof,
    simulate,
    store,
)
from fedcxr.cli.app import main

__all__ = [
    "audit",
    "bench",
    "bond",
    "chain",
    "challenge",
    "contracts",
    "data",
    "demo",
    "ledger",
    "main",
    "member",
    "predict",
    "proof",
    "simulate",
    "store",
]
