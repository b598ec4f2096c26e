"""Experiments of many runs: manifests, tasks, kept results, tables, and comparisons with baselines."""
