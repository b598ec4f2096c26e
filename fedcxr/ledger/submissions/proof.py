"""A proof that a hospital is in a closed round, or that it is not, under the one root on the contract.

It is a file that stands by itself: who has it and reads the contract needs neither the store nor a secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from fedcxr import json_text
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.signed_json import hash_of, object_of, signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import Domain, SignedSubmission, Submission, recover
from fedcxr.ledger.submissions import tree as submission_tree

LONGEST = 1 << 14
"""Bytes of a proof; ours have some 2,500."""

_WORDS = ("omission", "inclusion")
_OMITTED = bytes(32)  # the leaf of a seat without a submission


@dataclass(frozen=True)
class Proof:
    """What stands at a hospital's place under a root.

    Attributes:
        chain_id, contract: of the federation.
        round, attempt: that the root is of.
        hospital: address; of an inclusion, the one that signed.
        seat: its place.
        root: over all submissions.
        path: siblings from its leaf up.
        submission: what it signed; None where nothing of it is there.
    """

    chain_id: int
    contract: str
    round: int
    attempt: int
    hospital: str
    seat: int
    root: bytes
    path: tuple[bytes, ...]
    submission: SignedSubmission | None

    def check(self) -> None:
        """See that it holds together: that the path leads to the root, and that the hospital signed.

        Raises:
            LedgerError: it does not.
        """
        leaf = submission_tree.leaf(self.submission) if self.submission else _OMITTED
        if not submission_tree.proves(self.root, self.seat, leaf, self.path):
            raise LedgerError(f"the path from seat {self.seat} does not lead to the root {self.root.hex()}.")
        if self.submission is None:
            return
        message, domain = self.submission.message, Domain(self.chain_id, self.contract)
        said = (message.hospital, message.round, message.attempt)
        if said != (self.hospital, self.round, self.attempt):
            raise LedgerError(f"what was signed is of {said[0]} for round {said[1]}, attempt {said[2]}.")
        if (signer := recover(message, self.submission.signature, domain)) != self.hospital:
            raise LedgerError(f"{self.hospital} did not sign; {signer} did.")

    def to_json(self) -> str:
        """One object; bytes in hexadecimal, the submission as in a round's list in the store."""
        listed = signed_to_tree(self.submission) if self.submission else None
        tree: dict[str, Any] = {
            "proof": _WORDS[self.submission is not None],
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "root": self.root.hex(),
            "path": [sibling.hex() for sibling in self.path],
            "submission": dict(sorted(listed.items())) if listed else None,
        }
        return json.dumps(tree, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Read :meth:`to_json` back.

        Raises:
            LedgerError: not such an object; the error names the field that is wrong.
        """
        try:
            return cls._of(json_text.parse(text, LONGEST))
        except (ValueError, FederationError) as error:
            raise LedgerError(f"not a proof of inclusion or omission: {error}") from None

    @classmethod
    def _of(cls, tree: object) -> Proof:
        found = object_of("proof", tree, "proof", *(field.name for field in fields(cls)))
        for name, kind in (("chain_id", int), ("contract", str), ("round", int), ("attempt", int)):
            _require(name, found[name], kind)
        _require("hospital", found["hospital"], str)
        _require("seat", found["seat"], int)
        _require("path", found["path"], list)
        if len(found["path"]) > submission_tree.WIDE_DEPTH:
            raise FederationError(f"proof.path: has more than {submission_tree.WIDE_DEPTH} siblings.")
        if (word := found.pop("proof")) not in _WORDS:  # a word for the reader; the submission is what proves
            raise FederationError(f"proof.proof: {word!r:.80} is none of {', '.join(_WORDS)}.")
        return cls(
            **{
                **found,
                "root": hash_of("proof.root", found["root"]),
                "path": tuple(hash_of("proof.path", sibling) for sibling in found["path"]),
                "submission": signed_from_tree(Submission, found["submission"])
                if found["submission"] is not None
                else None,
            }
        )


def _require(name: str, value: object, kind: type) -> None:
    if type(value) is not kind:
        raise FederationError(f"proof.{name}: {value!r:.80} is not of the type {kind.__name__}.")
