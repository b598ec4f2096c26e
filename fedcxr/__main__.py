"""``python -m fedcxr``."""

from fedcxr.cli import main

main()
