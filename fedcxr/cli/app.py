"""The ``fedcxr`` command: its groups, and how errors become exit codes."""

import errno
import sys
from typing import Annotated

import typer

from fedcxr.errors import FedcxrError, StoreError, UnwritableError

app = typer.Typer(
    name="fedcxr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"fedcxr {version('fedcxr')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which, and end.")
    ] = False,
) -> None:
    """Federated chest X-ray classification with a ledger that proves what was aggregated."""


def main() -> None:
    """Run the command line; a :class:`FedcxrError` ends it with its own exit code and its help.

    So does a file that the system refuses: a full disk, a missing permission.
    """
    try:
        app()
    except FedcxrError as error:
        _end(error)
    except OSError as error:
        if error.filename is None:
            raise
        refused = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        _end((UnwritableError if refused else StoreError)(f"{error.filename}: {error.strerror}."))


def _end(error: FedcxrError) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}", soft_wrap=True)
    console.print(f"[dim]{escape(error.help)}[/]", soft_wrap=True)
    sys.exit(error.exit_code)
