"""The Merkle root of a message's bytes, computed once in a process for one ``bytes`` object.

Where server and hospitals share a process, one object is what the server sent and what every hospital of the
round got, or what a hospital sent and what the server got: each of them needs its root. What is remembered
is tied to the object and to nothing that anybody says of it. ``bytes`` cannot change, so the root of the
very same object is the same; bytes that came over a network, or from another process, are another object,
whoever sent them, and are hashed here. So nobody profits who sends one thing and names the root of another.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from fedcxr.update import merkle

PATHS = 16
"""Leaves whose audit paths come with the root: as many as the longest header of a masked update has."""


class Hashed:
    """Bytes and their root; remembered as long as somebody holds this object, and not longer.

    Attributes:
        data: ``bytes`` and nothing derived from it, which could change.
    """

    _held: ClassVar[WeakValueDictionary[int, Hashed]] = WeakValueDictionary()

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The one that somebody holds of this very object, or a new one.

        Raises:
            TypeError: not ``bytes``.
        """
        if type(data) is not bytes:
            raise TypeError(f"{type(data).__name__} may change: only the root of bytes is remembered.")
        held = cls._held.get(id(data))
        if isinstance(held, cls) and held.data is data:  # one that is held holds its bytes: no id comes twice
            return held
        cls._held[id(data)] = made = cls(data)
        return made

    @property
    def root(self) -> bytes:
        """Merkle root, 32 bytes."""
        return self._tree[0]

    @property
    def paths(self) -> list[list[bytes]]:
        """Audit paths of the first leaves, :data:`PATHS` of them: those of a header."""
        return self._tree[1]

    @cached_property
    def _tree(self) -> tuple[bytes, list[list[bytes]]]:
        return merkle.root_and_paths(self.data, PATHS)

    def hash(self) -> None:
        """Compute the root now: it takes a while."""
        _ = self._tree

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """In another process the root is computed again."""
        return Hashed.of, (self.data,)
