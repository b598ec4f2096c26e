"""A proof that a hospital is in a closed round, or that it is not, under the one root on the contract.

It is a file that stands by itself: who has it and reads the contract needs neither the store nor a secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from fedcxr import json_text
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.signing import Domain, SignedSubmission, recover
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree

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
        listed = json.loads(submission_list.to_bytes([self.submission] if self.submission else []))
        tree: dict[str, Any] = {
            "proof": "inclusion" if self.submission else "omission",
            **asdict(self),
            "root": self.root.hex(),
            "path": [sibling.hex() for sibling in self.path],
            "submission": listed[0] if listed else None,
        }
        return json.dumps(tree, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Read :meth:`to_json` back.

        Raises:
            LedgerError: not such an object.
        """
        try:
            tree = json_text.parse(text)
            listed = [] if tree["submission"] is None else [tree["submission"]]
            read = submission_list.from_bytes(json.dumps(listed).encode())
            proof = cls(
                chain_id=tree["chain_id"],
                contract=tree["contract"],
                round=tree["round"],
                attempt=tree["attempt"],
                hospital=tree["hospital"],
                seat=tree["seat"],
                root=bytes.fromhex(tree["root"]),
                path=tuple(bytes.fromhex(sibling) for sibling in tree["path"]),
                submission=read[0] if read else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, FederationError) as error:
            raise LedgerError(f"not a proof of inclusion or omission: {error!r}") from None
        numbers = (proof.chain_id, proof.round, proof.attempt, proof.seat)
        words = (proof.contract, proof.hospital)
        if not (all(type(n) is int for n in numbers) and all(type(word) is str for word in words)):
            raise LedgerError("not a proof of inclusion or omission: a field of another kind.")
        return proof
