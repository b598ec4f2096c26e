"""Memory that is kept: nobody gets what somebody else still looks at."""

import numpy as np
import torch

from fedcxr.update.kept_memory import MOST, KeptMemory


def place(array: np.ndarray) -> int:  # type: ignore[type-arg]
    return int(array.__array_interface__["data"][0])


def test_memory_is_handed_out_again_once_nobody_has_a_view_of_it() -> None:
    memory = KeptMemory()
    vector = memory.vector(1000)
    first = place(vector)
    del vector
    assert place(memory.vector(1000)) == first


def test_a_view_of_any_kind_keeps_its_memory() -> None:
    memory = KeptMemory()
    for look in (
        lambda vector: vector.view(np.float32)[10:],
        lambda vector: memoryview(vector)[5:9],
        lambda vector: torch.from_numpy(vector.view(np.int32))[3:],
        lambda vector: vector.astype("<u4", copy=False).view(np.uint8),
        lambda vector: np.frombuffer(vector.data, "<u4"),
    ):
        vector = memory.vector(1000)
        taken, held = place(vector), look(vector)
        del vector
        assert place(memory.vector(1000)) != taken
        del held
        assert taken in {place(one) for one in [memory.vector(1000), memory.vector(1000)]}


def test_no_more_is_kept_than_a_round_needs_and_nothing_of_another_length() -> None:
    memory = KeptMemory()
    vectors = [memory.vector(1000) for _ in range(MOST + 2)]
    assert len({place(vector) for vector in vectors}) == MOST + 2
    assert len(memory._kept) == MOST
    memory.vector(2000)
    assert [kept.size for kept in memory._kept] == [2000]
