"""The list of slow tests is of tests that are there, and leaves some of every package to the fast run."""

from pathlib import Path

from slow_tests import read_slow_tests

TESTS = Path(__file__).parent


def test_every_slow_test_is_there() -> None:
    gone = [
        name
        for name in read_slow_tests()
        if f"def {name.partition('::')[2]}(" not in (TESTS.parent / name.partition("::")[0]).read_text()
    ]
    assert gone == []


def test_every_package_has_a_test_that_is_not_slow() -> None:
    slow = read_slow_tests()
    covered = set()
    for path in TESTS.rglob("test_*.py"):
        names = [
            line[4:].partition("(")[0]
            for line in path.read_text().splitlines()
            if line.startswith("def test_")
        ]
        file = path.relative_to(TESTS.parent).as_posix()
        if any(f"{file}::{name}" not in slow for name in names):
            covered.add(path.relative_to(TESTS).parts[0])
    packages = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    assert packages - covered == set()
