"""A group of commands of which the usual one goes without a name: ``fedcxr audit RUN``."""

import click
from typer.core import TyperGroup

USUAL = "RUN"
"""Name of the usual command: as its usage shows it."""


class RunGroup(TyperGroup):
    """``fedcxr audit RUN`` is ``fedcxr audit RUN RUN``: what is no command is a run, or an option of one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"} - {USUAL}:
            args = [USUAL, *args]
        return super().parse_args(ctx, args)
