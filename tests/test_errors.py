"""The error tree: drawn at the head of its file, with a code and a help text for each."""

import re

from fedcxr import errors
from fedcxr.errors import FedcxrError

LINE = re.compile(r"^    ([ │├└─]*)(\w+Error) +(\d+)   (\S.*)$", re.MULTILINE)


def tree(kind: type[FedcxrError], depth: int = 0) -> dict[str, tuple[int, int]]:
    """Depth and exit code of an error and of those below it, by name; only those of the errors module."""
    found = {kind.__name__: (depth, kind.exit_code)}
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            found |= tree(below, depth + 1)
    return found


def test_the_docstring_draws_the_whole_tree() -> None:
    drawn = {
        name: (len(branch) // 4, int(code)) for branch, name, code, _ in LINE.findall(errors.__doc__ or "")
    }
    assert drawn == tree(FedcxrError)


def test_each_range_of_ten_is_a_subject_and_each_error_has_a_help() -> None:
    for kind in FedcxrError.__subclasses__():
        for name, (_, code) in tree(kind).items():
            assert code // 10 == kind.exit_code // 10, name
    for name in tree(FedcxrError):
        assert getattr(errors, name).help.endswith("."), name
        assert "help" in vars(getattr(errors, name)), name
