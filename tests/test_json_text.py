"""JSON from others: as the standard parser has it, but never deeper than it bears."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr import json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_it_reads_what_the_standard_parser_reads(value: object) -> None:
    assert json_text.parse(json.dumps(value)) == value
    assert json_text.parse(json.dumps(value, ensure_ascii=False).encode()) == value


def test_brackets_in_a_text_do_not_count() -> None:
    text = "[" * 100 + '\\"' + "{" * 100
    assert json_text.parse(json.dumps([text])) == [text]


@pytest.mark.parametrize("text", ["[" * 33 + "]" * 33, "[" * 1_000_000, '{"a":' * 33 + "1" + "}" * 33])
def test_what_nests_too_deep_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        json_text.parse(text)


@pytest.mark.parametrize("text", [b"\xff\xfe", "", "{", '"', "[1,]", "]["])
def test_what_is_no_json_is_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        json_text.parse(text)
