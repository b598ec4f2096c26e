"""A chain's rows are named as py-evm names them, and their RLP is read as the library wrote it."""

from __future__ import annotations

import contextlib
from typing import Any

from eth.db.schema import SchemaV1
from hypothesis import given
from hypothesis import strategies as st

from fedcxr.errors import ChainError
from fedcxr.indexer import chain_rows


def test_the_chains_rows_have_the_names_that_py_evm_gives_them() -> None:
    assert SchemaV1.make_canonical_head_hash_lookup_key() == chain_rows.HEAD
    number = SchemaV1.make_block_number_to_hash_lookup_key(12)  # type: ignore[arg-type]
    assert number == (chain_rows.NUMBER % 12).encode()


@given(st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=20))
def test_rlp_is_read_as_the_library_wrote_it(tree: Any) -> None:
    import rlp

    try:
        assert chain_rows.decode(rlp.encode(tree)) == tree
    except ChainError:
        assert depth(tree) > 8


@given(st.binary(max_size=60))
def test_what_is_no_rlp_is_refused(data: bytes) -> None:
    import rlp

    try:
        good = rlp.decode(data, strict=True)
    except rlp.exceptions.DecodingError:
        # The library also refuses lengths that could be shorter; here they are only read.
        with contextlib.suppress(ChainError):
            chain_rows.decode(data)
        return
    assert chain_rows.decode(data) == good


def depth(tree: Any) -> int:
    return 1 + max(map(depth, tree), default=0) if isinstance(tree, list) else 0
