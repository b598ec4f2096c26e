"""A coordinator makes one root under which a hospital both is and is not: a proof holds at one depth only."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from contract_party import Party
from told_run import CHAIN_ID, describe, store_blob
from typer.testing import CliRunner

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import LedgerError
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import tree
from fedcxr.ledger.submissions.proof import Proof

SEAT = 2


def proof(party: Party, root: bytes, path: list[bytes], submission: SignedSubmission | None) -> str:
    hospital = party.addresses[SEAT]
    place = (CHAIN_ID, party.ledger.address, 1, 1, hospital, SEAT, root)
    return Proof(*place, tuple(path), submission).to_json()


def test_a_proof_at_another_depth_than_the_rounds_proves_nothing(tmp_path: Path) -> None:
    run, good, bad = tmp_path / "run", tmp_path / "good.json", tmp_path / "bad.json"
    run.mkdir()
    with closing(EmbeddedChain(run / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        party = Party.found(chain, recording="root")
        describe(run, party)
        party.open()
        submission = party.signed(party.hospitals[SEAT])
        # In place of the leaf of seat 0 stands a tree of sixteen; twelve steps from the root lead into it.
        below, deeper = {SEAT: tree.leaf(submission)}, tree.WIDE_DEPTH - tree.DEPTH
        leaves = {0: tree.root(below, deeper), 1: b"1" * 32}
        root = tree.root(leaves)
        arguments = (1, root, store_blob(run, b"[]"), 0b110)
        party.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=500_000)
        party.finalize()
    good.write_text(proof(party, root, tree.path(leaves, SEAT), None))
    included = tree.path(below, SEAT, deeper) + tree.path(leaves, 0)
    bad.write_text(proof(party, root, included, submission))
    told = CliRunner().invoke(app, ["ledger", "check-proof", str(good), str(run)])
    assert "has no submission" in told.output
    refused = CliRunner().invoke(app, ["ledger", "check-proof", str(bad), str(run)])
    assert isinstance(refused.exception, LedgerError), refused.output
    assert "12 siblings, where the round's tree is 8 deep" in str(refused.exception)
