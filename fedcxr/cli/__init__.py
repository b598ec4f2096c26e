"""The command line: one file a command, registered by being imported here.

A command reads its arguments, calls one package below and prints; what is heavy is imported when a command
needs it.
"""

from fedcxr.cli import (  # registered by being imported
    audit,
    bench,
    bond,
    chain,
    challenge,
    contracts,
    data,
    demo,
    evaluate,
    experiments,
    explain,
    leave_one_site_out,
    ledger,
    member,
    predict,
    privacy,
    proof,
    report,
    robustness,
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
    "evaluate",
    "experiments",
    "explain",
    "leave_one_site_out",
    "ledger",
    "main",
    "member",
    "predict",
    "privacy",
    "proof",
    "report",
    "robustness",
    "simulate",
    "store",
]
