"""A group of commands of which the usual one goes without a name: ``fedcxr audit RUN``."""

from pathlib import Path

import click
from typer.core import TyperCommand, TyperGroup

from fedcxr.cli.spelling import no_such_command
from fedcxr.spelling import nearest

USUAL = "RUN"
"""Name of the usual command, which nobody types."""


class _UsualContext(click.Context):
    @property
    def command_path(self) -> str:
        """That of the group: a usage has RUN where the argument is."""
        return self.parent.command_path if self.parent is not None else super().command_path


class UsualCommand(TyperCommand):
    """The command that goes without a name."""

    context_class = _UsualContext


class RunGroup(TyperGroup):
    """``fedcxr audit RUN`` is ``fedcxr audit RUN RUN``: what is no command is a run, or an option of one.

    So is ``--help``, or nothing: it shows the usual command's arguments, and names the others below. A word
    that is nearly a command, and no run that exists, is taken for a misspelt command.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = args or ["--help"]
        others = self.commands.keys() - {USUAL}
        if nearest(args[0], others) not in ("", args[0]) and not Path(args[0]).exists():
            raise no_such_command(ctx, args[0])
        if args[0] not in others:
            named = ", ".join(f"{ctx.command_path} {name}" for name in self.commands if name != USUAL)
            self.commands[USUAL].epilog = f"Other commands: {named}."
            args = [USUAL, *args]
        return super().parse_args(ctx, args)
