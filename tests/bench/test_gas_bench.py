"""``fedcxr bench gas``: the calls of a round stay within their goals."""

import json

from typer.testing import CliRunner

from fedcxr.cli.app import app


def test_a_round_costs_no_more_than_its_goals_and_a_root_the_same_for_any_number() -> None:
    result = CliRunner().invoke(app, ["bench", "gas", "--json"])
    assert result.exit_code == 0, result.output
    gas = json.loads(result.stdout)
    assert gas["update_gas_batch10"] <= 45_000
    assert gas["finalize_gas"] <= 60_000
    assert gas["root_close_64"] < 1.01 * gas["root_close_8"]  # as many more bytes of the set of seats
    assert gas["root_finalize_64"] == gas["root_finalize_8"]
