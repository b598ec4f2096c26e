"""A group of commands of which the usual one goes without a name: ``fedcxr audit RUN``."""

import click
from typer.core import TyperGroup

USUAL = "RUN"
"""Name of the usual command: as its usage shows it."""


class RunGroup(TyperGroup):
    """``fedcxr audit RUN`` is ``fedcxr audit RUN RUN``: what is no command is a run, or an option of one.

    So is ``--help``, or nothing: it shows the usual command's arguments, and names the others below.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = args or ["--help"]
        if args[0] not in self.commands.keys() - {USUAL}:
            others = ", ".join(f"{ctx.command_path} {name}" for name in self.commands if name != USUAL)
            self.commands[USUAL].epilog = f"Besides: {others}."
            args = [USUAL, *args]
        return super().parse_args(ctx, args)
