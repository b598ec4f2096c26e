"""Memory for vectors, kept by the process and handed out again once nobody has a view of it any more.

Fresh memory is dear: the kernel clears every page of it, and that takes longer than reading, adding or
encrypting what is then written there. A round needs the same few vectors over and over.
"""

from __future__ import annotations

import sys
from threading import Lock

import numpy as np
from numpy.typing import NDArray

MOST = 2
"""Vectors that are kept: a sum, and the update that is made for it or added to it."""

_UNUSED = 3  # references to memory that only this list has: the list's, the loop's and the question's own


class KeptMemory:
    """Keeps the memory of vectors of one length; what a shorter or longer one left is given up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: list[NDArray[np.uint32]] = []

    def vector(self, values: int) -> NDArray[np.uint32]:
        """Memory for a vector, uint32 (values,); what is in it is whatever was there before.

        Every view of it, and every view of a view, keeps it from being handed out again.
        """
        with self._lock:
            self._kept = [memory for memory in self._kept if memory.size == values]
            for memory in self._kept:
                if sys.getrefcount(memory) == _UNUSED:
                    return memory[:]
            memory = np.empty(values, np.uint32)
            if len(self._kept) < MOST:
                self._kept.append(memory)
            return memory[:]


MEMORY = KeptMemory()
"""This process's."""
