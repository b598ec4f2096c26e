"""The root of bytes: computed once for one object, and again for every other one."""

import os
import pickle

import pytest

from fedcxr.update.hashed import Hashed


def test_one_object_is_hashed_once_while_somebody_holds_it(hashed: list[int]) -> None:
    data = os.urandom(10_000)
    one = Hashed.of(data)
    assert Hashed.of(data) is one
    assert Hashed.of(data).root == one.root
    assert hashed == [10_000]


def test_equal_bytes_that_came_another_way_are_hashed_again(hashed: list[int]) -> None:
    data = os.urandom(10_000)
    one, other = Hashed.of(data), Hashed.of(bytes(bytearray(data)))
    assert other is not one
    assert other.root == one.root
    assert hashed == [10_000, 10_000]


def test_nothing_is_remembered_that_nobody_holds(hashed: list[int]) -> None:
    data = os.urandom(10_000)
    for _ in range(2):
        Hashed.of(data).hash()
    assert hashed == [10_000, 10_000]


def test_another_process_believes_no_root(hashed: list[int]) -> None:
    one = Hashed.of(os.urandom(10_000))
    root = one.root
    vars(one)["root"] = bytes(32)
    assert pickle.loads(pickle.dumps(one)).root == root
    assert hashed == [10_000, 10_000]


def test_what_may_change_has_no_remembered_root() -> None:
    with pytest.raises(TypeError, match="bytearray may change"):
        Hashed.of(bytearray(10))  # type: ignore[arg-type]
