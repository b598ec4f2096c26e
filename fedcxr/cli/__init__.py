"""The command line: one file a command, nothing heavy imported before a command needs it."""

from fedcxr.cli import audit, bench, data, demo, predict, simulate  # registered by being imported
from fedcxr.cli.app import main

__all__ = ["audit", "bench", "data", "demo", "main", "predict", "simulate"]
