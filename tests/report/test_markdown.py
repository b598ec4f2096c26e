"""Text of others in a page of Markdown."""

from __future__ import annotations

from fedcxr.report import markdown
from fedcxr.report.tables import Table


def test_words_open_nothing_and_end_nothing() -> None:
    assert markdown.words("a|b\n# c") == "a\\|b\\n# c"
    assert markdown.words("<img src=x>&lt;") == "&lt;img src=x>&amp;lt;"
    assert markdown.words("![x](http://192.0.2.7/a.png)") == "![x]\\(http://192.0.2.7/a.png)"
    assert markdown.words("\\| \x1b\u202e") == "\\\\\\| \\x1b\\u202e"


def test_figures_stay_as_they_are() -> None:
    for text in ("0.713 [0.690, 0.735]", "p < 0.05 & more", "Mean of 4 of 5 *", "`fedcxr audit`"):
        assert markdown.words(text) == text


def test_code_is_not_left() -> None:
    assert markdown.code("ab`<b>`\n") == "`ab'<b>'\\n`"


def test_a_table_has_a_line_a_row() -> None:
    words = "a\nb | c\r<b>"
    page = Table(words, ("x\ny", words), ((words, "1"),), (words,)).markdown()
    assert page.splitlines() == [
        r"**a\nb \| c\r&lt;b>**",
        "",
        r"| x y | a b \| c\r&lt;b> |",
        "| --- | ---: |",
        r"| a\nb \| c\r&lt;b> | 1 |",
        "",
        r"a\nb \| c\r&lt;b>",
    ]
