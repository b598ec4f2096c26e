"""The command line: one file a command, nothing heavy imported before a command needs it."""

from fedcxr.cli import (  # registered by being imported
    audit,
    bench,
    chain,
    challenge,
    contracts,
    data,
    demo,
    evaluate,
    explain,
    leave_one_site_out,
    ledger,
    member,
    predict,
    report,
    robustness,
    simulate,
    store,
)
from fedcxr.cli.app import main

__all__ = [
    "audit",
    "bench",
    "chain",
    "challenge",
    "contracts",
    "data",
    "demo",
    "evaluate",
    "explain",
    "leave_one_site_out",
    "ledger",
    "main",
    "member",
    "predict",
    "report",
    "robustness",
    "simulate",
    "store",
]
