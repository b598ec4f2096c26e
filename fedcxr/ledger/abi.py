"""The values that the contract and its court encode by their ABI, under the ABI's names.

eth_abi reads the bytes. To import it takes as long as a whole answer of ``fedcxr ledger`` may take beside it;
so it is imported when there is something to read, and not before.

https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from fedcxr.chain.address import checksummed
from fedcxr.ledger.artifact import canonical_type
from fedcxr.ledger.deployment_parameters import ADMISSIONS, RECORDINGS, WEIGHTINGS
from fedcxr.ledger.phase import RoundPhase

if TYPE_CHECKING:
    from eth_abi.codec import ABICodec, ABIDecoder
    from eth_abi.registry import ABIRegistry
    from web3 import Web3

ENUMS = {
    "Phase": tuple(RoundPhase),
    "Weighting": WEIGHTINGS,
    "Admission": ADMISSIONS,
    "Recording": RECORDINGS,
}
"""Names of the contract's enumerations, which the ABI has as numbers."""


@dataclass(frozen=True)
class Fields:
    """Neighbouring fields of an event, an error, a struct or an answer.

    Attributes:
        entries: of the fields in the ABI, in their order.
    """

    entries: Sequence[Mapping[str, Any]]

    @cached_property
    def names(self) -> list[str]:
        return [str(entry["name"]) for entry in self.entries]

    @cached_property
    def _types(self) -> list[str]:
        return [canonical_type(entry) for entry in self.entries]

    @cached_property
    def _readings(self) -> list[Callable[[Any], Any]]:
        return [_reading(entry) for entry in self.entries]

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """The values as eth_abi gives them: enumerations as numbers, structs and lists as tuples.

        Raises:
            ValueError: the data are not encoded as the ABI says.
        """
        from eth_abi.exceptions import DecodingError

        try:
            return _decoder().decode(self._types, data)
        except (DecodingError, OverflowError) as error:  # an offset or a length may be any number
            raise ValueError(f"{error}") from None

    def read(self, data: bytes) -> dict[str, Any]:
        """The values by the names of their fields: enumerations by name too, structs as mappings.

        Raises:
            ValueError: as :meth:`decode`.
        """
        read = zip(self.names, self._readings, self.decode(data), strict=True)
        return {name: reading(value) for name, reading, value in read}


@lru_cache(maxsize=1)
def _decoder() -> ABIDecoder:
    """eth_abi's decoder, for texts that are not UTF-8 too."""
    from eth_abi.codec import ABIDecoder
    from eth_abi.registry import registry

    return ABIDecoder(_for_any_text(registry.copy()))


def read_any_text(w3: Web3) -> None:
    """Have a connection's contracts read texts that are not UTF-8 too, with a backslash for what is none.

    The contract takes any bytes for a text, and anyone may give a round that failed up: a reason that nobody
    can read must not make the round's events unreadable.
    """
    w3.codec = _codec()


@lru_cache(maxsize=1)
def _codec() -> ABICodec:
    from eth_abi.codec import ABICodec
    from web3._utils.abi import build_strict_registry

    return ABICodec(_for_any_text(build_strict_registry()))


def _for_any_text(registry: ABIRegistry) -> ABIRegistry:
    from eth_abi.decoding import StringDecoder

    registry.unregister_decoder("string")
    registry.register_decoder("string", StringDecoder(handle_string_errors="backslashreplace"))
    return registry


def _reading(field: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What makes the value that :meth:`Fields.read` gives out of eth_abi's."""
    name = str(field["type"])
    if name.endswith("[]"):
        each = _reading({**field, "type": name[:-2]})
        return lambda values: [each(value) for value in values]
    if name == "tuple":
        return partial(_by_name, [(str(part["name"]), _reading(part)) for part in field["components"]])
    if name == "address":
        return lambda value: checksummed(bytes.fromhex(value[2:]))
    kind = str(field.get("internalType", ""))
    if kind.startswith("enum ") and (names := ENUMS.get(kind.removeprefix("enum "))):
        return lambda value: names[value] if value < len(names) else str(value)
    return lambda value: value


def _by_name(parts: Sequence[tuple[str, Callable[[Any], Any]]], values: Sequence[Any]) -> dict[str, Any]:
    return {name: reading(value) for (name, reading), value in zip(parts, values, strict=True)}
