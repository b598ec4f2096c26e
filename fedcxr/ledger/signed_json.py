"""Signed structs as JSON: one codec for journals, signed requests, and lists of submissions.

A tree has the names of the Python fields; 32-byte words and signatures are lower-case hexadecimal digits, and
every other value is as it is. Trees come from other institutions: :func:`from_tree` takes a value in its one
form or refuses it, and says which field it refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from fedcxr.errors import FederationError
from fedcxr.ledger.signing import LONGEST_SIGNATURE, Signed, Struct

S = TypeVar("S", bound=Struct)
Tree = dict[str, Any]
_SIGNATURE = "signature"


def to_tree(struct: Struct) -> Tree:
    """A struct's values by the names of its fields, in their order."""
    values = {field.name: getattr(struct, field.name) for field in fields(struct)}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


def from_tree(kind: type[S], tree: object) -> S:
    """The struct of a kind that :func:`to_tree` made a tree of.

    Raises:
        FederationError: the tree is no object, lacks a field, has one more, or has a value that the field's
            Solidity type cannot hold; the message names the field.
    """
    found = object_of(kind.type_name(), tree, *(field.name for field in fields(kind)))
    values: Tree = {}
    for (name, value), solidity in zip(found.items(), kind.types.values(), strict=True):
        where = f"{kind.type_name()}.{name}"
        values[name] = hash_of(where, value) if solidity == "bytes32" else value
    return kind(**values)  # which refuses what its types cannot hold


def signed_to_tree(signed: Signed[S]) -> Tree:
    """A struct's tree with its signature as one more field."""
    return {**to_tree(signed.message), _SIGNATURE: signed.signature.hex()}


def signed_from_tree(kind: type[S], tree: object) -> Signed[S]:
    """What :func:`signed_to_tree` made a tree of; whether the signature holds is not looked at.

    Raises:
        FederationError: as :func:`from_tree`, or what is there for a signature is none.
    """
    name = kind.type_name()
    found = object_of(name, tree, *(field.name for field in fields(kind)), _SIGNATURE)
    signature = octets(f"{name}.{_SIGNATURE}", found.pop(_SIGNATURE), longest=LONGEST_SIGNATURE)
    return Signed(from_tree(kind, found), signature)


def object_of(what: str, tree: object, *names: str) -> Tree:
    """The fields of a JSON object, which must have these and no others, in this order.

    Args:
        what: the object is, for the error.
        tree: as a parser of JSON gave it.
        names: of its fields.

    Raises:
        FederationError: it is no object, lacks a field, or has one more.
    """
    if not isinstance(tree, Mapping):
        raise FederationError(f"{what}: {tree!r:.80} is not an object.")
    for name in names:
        if name not in tree:
            raise FederationError(f"{what}.{name}: is missing.")
    if strange := sorted(str(name) for name in tree if name not in names):
        raise FederationError(f"{what}.{strange[0]:.80}: there is no such field.")
    return {name: tree[name] for name in names}


def octets(where: str, value: object, *, longest: int) -> bytes:
    """Bytes of hexadecimal digits.

    Args:
        where: the value stands, for the error.
        value: as a parser of JSON gave it.
        longest: in bytes, that it may be.

    Raises:
        FederationError: it is no text, no even number of digits in lower case, or longer.
    """
    if not isinstance(value, str) or len(value) > 2 * longest or not re.fullmatch(r"([0-9a-f]{2})*", value):
        raise FederationError(f"{where}: {value!r:.80} is not at most {longest} bytes in hexadecimal.")
    return bytes.fromhex(value)


def hash_of(where: str, value: object) -> bytes:
    """The 32 bytes of a hash or another word, from their hexadecimal digits; arguments as of :func:`octets`.

    Raises:
        FederationError: as :func:`octets`, or there are not 32.
    """
    found = octets(where, value, longest=32)
    if len(found) != 32:
        raise FederationError(f"{where}: {value!r:.80} is not 32 bytes in hexadecimal.")
    return found
