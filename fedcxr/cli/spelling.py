"""A misspelt command, option or value is answered with the nearest name, in the same words everywhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from typer.core import TyperGroup

from fedcxr.cli.help_text import flow_help
from fedcxr.spelling import nearest, suggestion

_RENAMED = {"--tasks": "--labels"}  # by earlier versions' spelling, where the new one is not like it


_NO_COMMAND = re.compile(r"No such command '(.*?)'")  # typer adds a suggestion to click's own


class SpellingGroup(TyperGroup):
    """The root of the command line: a usage error of any command below it names what was meant.

    It is made last, when all commands are there, and so it is here that their help is flowed.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        flow_help(self)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _naming_the_nearest():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _naming_the_nearest():
            return super().invoke(ctx)


@contextmanager
def _naming_the_nearest() -> Iterator[None]:
    try:
        yield
    except click.NoSuchOption as error:
        known = [] if error.ctx is None else [opt for p in error.ctx.command.params for opt in p.opts]
        renamed = _RENAMED.get(error.option_name, "")
        meant = renamed if renamed in known else nearest(error.option_name, known)
        hint = f" Did you mean {meant}?" if meant else ""
        raise click.UsageError(f"No such option: {error.option_name}.{hint}", error.ctx) from None
    except click.BadParameter as error:
        _name_the_nearest_value(error)
    except click.UsageError as error:
        if (named := _NO_COMMAND.match(error.message)) is None or not isinstance(error.ctx, click.Context):
            raise
        raise no_such_command(error.ctx, named[1]) from None


def no_such_command(ctx: click.Context, word: str) -> click.UsageError:
    """The error of a word that is none of a group's commands."""
    known = ctx.command.list_commands(ctx) if isinstance(ctx.command, click.Group) else []
    return click.UsageError(f"No such command: {word}.{suggestion(word, known)}", ctx)


def require_known(option: str, words: Iterable[str], known: Collection[str]) -> None:
    """Check an option's words where the known ones are not at hand before the command runs.

    Raises:
        BadParameter: a word is none of them; the nearest is named.
    """
    for word in words:
        if word not in known:
            message = f"{word!r} is not one of {', '.join(known)}.{suggestion(word, known)}"
            raise click.BadParameter(message, param_hint=option)


def _name_the_nearest_value(error: click.BadParameter) -> NoReturn:
    """Raise the error again; of a value that is none of the parameter's choices, with the nearest choice."""
    kind = error.param.type if error.param is not None else None
    value = re.match(r"'(.*?)' is not (one of )?'", error.message)
    if isinstance(kind, click.Choice) and value is not None:
        choices = [str(getattr(choice, "value", choice)) for choice in kind.choices]
        message = error.message + suggestion(value[1], choices)
        raise click.BadParameter(message, error.ctx, error.param, error.param_hint) from None
    raise error
