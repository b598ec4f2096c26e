"""The ``fedcxr`` command: its groups, and how errors become exit codes."""

import contextlib
import errno
import io
import sys
from typing import Annotated

import typer

from fedcxr.cli.spelling import SpellingGroup
from fedcxr.errors import FedcxrError, StoreError, UnwritableError
from fedcxr.terminal import say
from fedcxr.terminal.failures import guard

app = typer.Typer(
    name="fedcxr",
    cls=SpellingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # a disk that takes no more


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"fedcxr {version('fedcxr')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Federated chest X-ray classification with a ledger that proves what was aggregated."""


def main() -> None:
    """Run the command line; a :class:`FedcxrError` ends it with its own exit code and its help.

    So does a file that the system refuses: a full disk, a missing permission. Text that the terminal's
    encoding lacks is shown escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="backslashreplace")
    guard()
    try:
        app()
    except FedcxrError as error:
        _end(error)
    except OSError as error:
        refused = error.errno in _REFUSED
        if error.filename is None and not refused:
            raise
        if error.filename is None:  # of a file that was open already, as standard output is
            with contextlib.suppress(OSError):
                sys.stdout.close()  # else Python tries once more as it ends, and complains
        where = error.filename or "standard output, or another open file"
        _end((UnwritableError if refused else StoreError)(f"{where}: {error.strerror}."))


def _end(error: FedcxrError) -> None:
    from fedcxr.terminal.console import Console

    console = Console(stderr=True)
    first, *more = map(str, error.args or ("",))
    console.say((type(error).__name__, "bold red"), f": {first}")
    for line in more:
        console.say(f"  {line}")
    console.say((error.help, "dim"))
    sys.exit(error.exit_code)
