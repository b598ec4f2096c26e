"""``fedcxr ledger`` in this process: what it says, or the error that it ends with."""

from typer.testing import CliRunner

from fedcxr.cli.app import app
from fedcxr.errors import FedcxrError


def said(*words: object) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["ledger", *map(str, words)])
    if isinstance(result.exception, FedcxrError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout
