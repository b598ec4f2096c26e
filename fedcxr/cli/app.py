"""The ``fedcxr`` command: its groups, and how errors become exit codes."""

import sys

import typer

from fedcxr.errors import FedcxrError

app = typer.Typer(
    name="fedcxr",
    help="Federated chest X-ray classification with a ledger that proves what was aggregated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line; a :class:`FedcxrError` ends it with its own exit code and its help."""
    try:
        app()
    except FedcxrError as error:
        from rich.console import Console
        from rich.markup import escape

        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}", soft_wrap=True)
        console.print(f"[dim]{escape(error.help)}[/]", soft_wrap=True)
        sys.exit(error.exit_code)
