"""Break single lines, one at a time, and see that the suite notices: ``make mutants``.

``tests/mutants.toml`` lists the mutants: a file, a piece of it that stands there once, what is put in its
place, and the tests that must fail then. Each runs in a copy of the tree. The exit code is 1 when a mutant
survives, when its tests fail without it, or when its piece is not there exactly once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 900  # seconds for the tests of one mutant
FAILED = 1  # pytest's exit code for tests that ran and failed; an import that broke is another


@dataclass(frozen=True)
class Mutant:
    """One broken line.

    Attributes:
        name: what it breaks, in words.
        file: from the root.
        line: the piece that is replaced; it stands in the file once.
        becomes: what it is replaced by.
        tests: arguments of pytest that name the tests which must fail.
    """

    name: str
    file: str
    line: str
    becomes: str
    tests: tuple[str, ...]

    @property
    def compiled(self) -> bool:
        """Whether the contract has to be compiled again."""
        return self.file.endswith(".sol")

    def misplaced(self) -> str:
        """Why it cannot be applied; empty where it can."""
        count = (ROOT / self.file).read_text(encoding="utf-8").count(self.line)
        return "" if count == 1 else f"{self.file} has {self.line!r} {count} times, not once"


def read(path: Path) -> list[Mutant]:
    """The mutants of a list, in its order."""
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Mutant(**{**one, "tests": tuple(one["tests"])}) for one in tree["mutant"]]


class Tree:
    """A copy of the tracked files, in which one mutant at a time is applied."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in listed.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        (root / "contracts" / "node_modules").symlink_to(
            (ROOT / "contracts" / "node_modules").resolve(), target_is_directory=True
        )
        for script in ("solc", "check", "slither"):
            (root / "contracts" / script).chmod(0o755)

    def run(self, tests: Sequence[str]) -> int:
        """Exit code of the tests; 124 when they took too long."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            return subprocess.run(
                command,
                cwd=self.root,
                env=self._environment,
                capture_output=True,
                check=False,
                timeout=TIMEOUT,
            ).returncode
        except subprocess.TimeoutExpired:
            return 124

    def verdict(self, mutant: Mutant) -> str:
        """What became of a mutant: ``killed``, ``SURVIVED``, or why that cannot be said."""
        path = self.root / mutant.file
        whole = path.read_text(encoding="utf-8")
        path.write_text(whole.replace(mutant.line, mutant.becomes), encoding="utf-8")
        try:
            if mutant.compiled and (said := self._compile()):
                return f"does not compile: {said}"
            code = self.run(mutant.tests)
        finally:
            path.write_text(whole, encoding="utf-8")
            if mutant.compiled:
                self._compile()
        if code in (FAILED, 124):  # a guard without which a test never ends is missed, too
            return "killed"
        return "SURVIVED" if code == 0 else f"its tests did not run (pytest's exit code {code})"

    def _compile(self) -> str:
        command = [sys.executable, "-m", "fedcxr", "contracts", "build"]
        done = subprocess.run(
            command, cwd=self.root, env=self._environment, capture_output=True, check=False, text=True
        )
        return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()[-300:]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name or file has this in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    wanted = [
        m for m in read(ROOT / "tests" / "mutants.toml") if asked.only in m.name or asked.only in m.file
    ]
    problems = [f"{mutant.name}: {why}" for mutant in wanted if (why := mutant.misplaced())]
    if problems or not wanted:
        print("\n".join(problems) or f"no mutant is called {asked.only!r}")
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(asked.jobs):
            trees.put(Tree(Path(scratch) / str(number)))
        with ThreadPoolExecutor(asked.jobs) as pool:

            def sound(tests: tuple[str, ...]) -> bool:
                tree = trees.get()
                try:
                    return tree.run(tests) == 0
                finally:
                    trees.put(tree)

            def verdict(mutant: Mutant) -> str:
                tree, started = trees.get(), time.monotonic()
                try:
                    said = tree.verdict(mutant)
                finally:
                    trees.put(tree)
                print(
                    f"{said:9} {time.monotonic() - started:5.0f} s  {mutant.name} ({mutant.file})", flush=True
                )
                return said

            sets = sorted({mutant.tests for mutant in wanted})
            broken = [tests for tests, good in zip(sets, pool.map(sound, sets), strict=True) if not good]
            if broken:
                print("without any mutant, these fail:", *(" ".join(tests) for tests in broken), sep="\n  ")
                return 1
            print(f"{len(sets)} sets of tests pass without a mutant", flush=True)
            said = list(pool.map(verdict, wanted))
    killed = said.count("killed")
    print(f"{killed} of {len(said)} mutants were killed")
    return 0 if killed == len(said) else 1


if __name__ == "__main__":
    sys.exit(main())
