"""What a maker of first models is asked for and answers, and how both cross to its process and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr import json_text
from fedcxr.config import Config, validate
from fedcxr.errors import ModelError
from fedcxr.update.layout import LONGEST, MOST_VALUES, Layout, Vector


@dataclass(frozen=True)
class Order:
    """A first model that is to be made.

    Attributes:
        config: the federation's.
        file: of the pretrained weights; None where they are ``weights``, or there are none.
        weights: pretrained ones, the bytes of a .safetensors file; empty for none.
        frozen: Merkle root, in hex, of the values that no round trains, as the ledger's layout has it.
    """

    config: Config
    file: Path | None = None
    weights: bytes = b""
    frozen: str = ""


@dataclass(frozen=True)
class MadeModel:
    """A first model that was made here.

    Attributes:
        layout: of the federation.
        vector: its shared tensors.
        frozen: the values that no round trains, in the order of their names; empty where there are none, or
            they have the root that the order names.
        usual: whether torch draws here the numbers that first models have always been made of.
    """

    layout: Layout
    vector: Vector
    frozen: Vector
    usual: bool


def order_to_bytes(order: Order) -> bytes:
    """An order as the process reads it: a line of JSON, and the weights."""
    tree = {
        "config": json.loads(order.config.canonical_json()),
        "file": None if order.file is None else str(order.file.absolute()),
        "frozen": order.frozen,
    }
    return json.dumps(tree).encode() + b"\n" + order.weights


def order_from(data: BufferedIOBase) -> Order:
    """Read :func:`order_to_bytes` back, to the end."""
    tree = json.loads(data.readline())
    file = None if tree["file"] is None else Path(tree["file"])
    return Order(validate(tree["config"], "the configuration"), file, data.read(), tree["frozen"])


def write_made(made: MadeModel | str, out: BufferedIOBase) -> None:
    """Say what was made, or why nothing was: a line of JSON, and the values."""
    if isinstance(made, str):
        out.write(json.dumps({"error": made[:2000]}).encode() + b"\n")
        return
    head = {"layout": made.layout.to_json(), "frozen": made.frozen.size, "usual": made.usual}
    out.write(json.dumps(head).encode() + b"\n")
    for values in (made.vector, made.frozen):
        out.write(np.ascontiguousarray(values).data)


def made_from(data: BufferedIOBase) -> MadeModel:
    """Read :func:`write_made` back.

    Raises:
        ModelError: it says why nothing was made.
        EOFError: it ends too early, or is no such thing.
    """
    try:
        head = json_text.parse(data.readline(2 * LONGEST), 2 * LONGEST)
        if "error" in head:
            raise ModelError(str(head["error"]))
        layout, frozen = Layout.from_json(head["layout"]), int(head["frozen"])
        if not 0 <= frozen <= MOST_VALUES:
            raise EOFError
        return MadeModel(layout, _values(data, layout.size), _values(data, frozen), head["usual"] is True)
    except (ValueError, KeyError, TypeError):
        raise EOFError from None


def _values(data: BufferedIOBase, count: int) -> NDArray[np.float32]:
    values = np.empty(count, np.float32)
    into, done = values.view(np.uint8).data, 0
    while done < into.nbytes:
        if not (read := data.readinto(into[done:])):
            raise EOFError
        done += read
    return values
