"""The contract ABI's encoding, read without eth_abi: to import that takes a good part of the second in which
a question is to be answered.

https://docs.soliditylang.org/en/latest/abi-spec.html, as far as our events and errors go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from fedcxr.chain.address import checksummed
from fedcxr.ledger.deployment_parameters import ADMISSIONS, RECORDINGS, WEIGHTINGS
from fedcxr.ledger.phase import RoundPhase

ENUMS = {
    "Phase": tuple(RoundPhase),
    "Weighting": WEIGHTINGS,
    "Admission": ADMISSIONS,
    "Recording": RECORDINGS,
}
"""Names of the contract's enumerations, which the ABI has as numbers."""

_WORD = 32


@dataclass(frozen=True)
class Codec:
    """How a type is read.

    Attributes:
        size: bytes that it takes among its neighbours.
        dynamic: whether those only say where it is.
        read: a value from data, at a place.
    """

    size: int
    dynamic: bool
    read: Callable[[bytes, int], Any]


def codec(field: Mapping[str, Any]) -> Codec:
    """The codec of an ABI field.

    Raises:
        ValueError: a type that no event of ours has.
    """
    name = str(field["type"])
    if name.endswith("[]"):
        return _array(codec({**field, "type": name[:-2]}))
    if name == "tuple":
        return _tuple(field["components"])
    if name in ("bytes", "string"):
        return Codec(_WORD, True, _bytes if name == "bytes" else _string)
    if names := _enumeration(field):
        return Codec(_WORD, False, lambda data, at: _named(names, _unsigned(data, at)))
    if name in _WORDS:
        return Codec(_WORD, False, _WORDS[name])
    raise ValueError(f"no codec for {name}")


def read_fields(codecs: Sequence[Codec], data: bytes, base: int = 0) -> list[Any]:
    """The values of neighbours, which start at ``base``.

    Raises:
        ValueError: the data end before they do.
    """
    values, at = [], base
    for each in codecs:
        values.append(each.read(data, base + _unsigned(data, at) if each.dynamic else at))
        at += each.size
    return values


def signature(entry: Mapping[str, Any]) -> bytes:
    """Keccak-256 of an event's or an error's signature: its topic, and in four bytes its selector."""
    return keccak(f"{entry['name']}({','.join(map(_canonical, entry['inputs']))})".encode())


def _canonical(field: Mapping[str, Any]) -> str:
    name = str(field["type"])
    if not name.startswith("tuple"):
        return name
    return f"({','.join(map(_canonical, field['components']))}){name[5:]}"


def _enumeration(field: Mapping[str, Any]) -> tuple[str, ...]:
    kind = str(field.get("internalType", ""))
    return ENUMS.get(kind.removeprefix("enum "), ()) if kind.startswith("enum ") else ()


def _named(names: tuple[str, ...], value: int) -> str:
    return names[value] if value < len(names) else str(value)


def _array(element: Codec) -> Codec:
    def read(data: bytes, at: int) -> list[Any]:
        count = _unsigned(data, at)
        if count * element.size > len(data):
            raise ValueError(f"an array of {count}")
        return read_fields([element] * count, data, at + _WORD)

    return Codec(_WORD, True, read)


def _tuple(components: Sequence[Mapping[str, Any]]) -> Codec:
    codecs = [codec(component) for component in components]
    names = [str(component["name"]) for component in components]
    dynamic = any(each.dynamic for each in codecs)

    def read(data: bytes, at: int) -> dict[str, Any]:
        return dict(zip(names, read_fields(codecs, data, at), strict=True))

    return Codec(_WORD if dynamic else sum(each.size for each in codecs), dynamic, read)


def _word(data: bytes, at: int) -> bytes:
    word = data[at : at + _WORD]
    if len(word) != _WORD:
        raise ValueError(f"the data end at {len(data)}, within a value")
    return word


def _unsigned(data: bytes, at: int) -> int:
    return int.from_bytes(_word(data, at), "big")


def _signed(data: bytes, at: int) -> int:
    return int.from_bytes(_word(data, at), "big", signed=True)


def _bytes(data: bytes, at: int) -> bytes:
    length = _unsigned(data, at)
    value = data[at + _WORD : at + _WORD + length]
    if len(value) != length:
        raise ValueError(f"the data end at {len(data)}, within {length} bytes")
    return value


def _string(data: bytes, at: int) -> str:
    return _bytes(data, at).decode(errors="backslashreplace")  # the chain takes any bytes for a string


def _fixed(length: int) -> Callable[[bytes, int], bytes]:
    return lambda data, at: _word(data, at)[:length]


_WORDS: dict[str, Callable[[bytes, int], Any]] = {
    "bool": lambda data, at: bool(_unsigned(data, at)),
    "address": lambda data, at: checksummed(_word(data, at)[12:]),
    **{f"uint{bits}": _unsigned for bits in range(8, 257, 8)},
    **{f"int{bits}": _signed for bits in range(8, 257, 8)},
    **{f"bytes{length}": _fixed(length) for length in range(1, 33)},
}
"""How types are read that take one word."""
