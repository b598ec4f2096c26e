"""Breaks one line of the code at a time and runs the tests nearest to it: a break that none notices is a gap.

``mutants.toml`` names each mutant, its file, a snippet that stands there exactly once, what replaces it, the
tests that must fail, and why it matters. Tests of a contract (``forge NAME``) run against what forge makes of
the sources; the others are arguments of pytest. Each job works in a copy of the tree, and the tests must pass
there before anything is broken. Exits 1 when a mutant survives, cannot be judged, or is not found.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORGE = "forge "
SHIPPED = ("contracts/test/Party.sol", "vm.isContext(COVERAGE)", "true")  # tests deploy what forge compiled
PYTEST_PASSED, PYTEST_FAILED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """One broken line."""

    name: str
    file: str
    line: str
    broken: str
    tests: tuple[str, ...]
    why: str

    @property
    def problem(self) -> str:
        """Why it cannot be applied to the tree as it stands; empty when it can."""
        path = ROOT / self.file
        count = path.read_text().count(self.line) if path.exists() else 0
        return "" if count == 1 else f"its line stands {count} times in {self.file}"


@dataclass
class Tree:
    """A copy of the working tree to break."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> Tree:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        modules = root / "contracts" / "node_modules"
        if not modules.exists():
            modules.symlink_to(ROOT / "contracts" / "node_modules")
        tree = cls(root)
        tree._replace(*SHIPPED)
        return tree

    def _replace(self, file: str, line: str, broken: str) -> None:
        path = self.root / file
        path.write_text(path.read_text().replace(line, broken))

    @contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        path = self.root / mutant.file
        whole = path.read_text()
        path.write_text(whole.replace(mutant.line, mutant.broken))
        try:
            yield
        finally:
            path.write_text(whole)

    def run(self, tests: Sequence[str], timeout: float) -> str:
        """``passed``, ``failed``, ``timed out``, or what went wrong before a test could say anything."""
        contracts = [test.removeprefix(FORGE) for test in tests if test.startswith(FORGE)]
        others = [test for test in tests if not test.startswith(FORGE)]
        try:
            said = self._forge(contracts, timeout) if contracts else "passed"
            return self._pytest(others, timeout) if said == "passed" and others else said
        except subprocess.TimeoutExpired:
            return "timed out"

    def _forge(self, contracts: Sequence[str], timeout: float) -> str:
        wanted = f"^({'|'.join(contracts)})$"
        code, said = self._call(["./forge", "test", "--match-contract", wanted], "contracts", timeout)
        if code == 0:
            return "passed"
        return "failed" if "[FAIL" in said else said[-2000:]

    def _pytest(self, tests: Sequence[str], timeout: float) -> str:
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        code, said = self._call([sys.executable, "-m", "pytest", *options, *tests], ".", timeout)
        return {PYTEST_PASSED: "passed", PYTEST_FAILED: "failed"}.get(code, said[-2000:])

    def _call(self, command: Sequence[str], folder: str, timeout: float) -> tuple[int, str]:
        environment = os.environ | {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            command,
            cwd=self.root / folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return ended.returncode, ended.stdout


def read(path: Path) -> list[Mutant]:
    tree = tomllib.loads(path.read_text())
    mutants = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in tree["mutant"]]
    names = [mutant.name for mutant in mutants]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise SystemExit(f"{path}: two mutants are named {', '.join(sorted(doubled))}")
    return mutants


def judge(mutants: Sequence[Mutant], jobs: int, timeout: float) -> list[str]:
    """Run everything; what is wrong, a line each."""
    wrong = [f"{mutant.name}: {mutant.problem}" for mutant in mutants if mutant.problem]
    sound = [mutant for mutant in mutants if not mutant.problem]
    with tempfile.TemporaryDirectory(prefix="fedcxr-mutants-") as place, ThreadPoolExecutor(jobs) as pool:
        trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        for number in range(jobs):
            trees.put(Tree.copy(Path(place) / str(number)))

        def run(tests: Sequence[str], mutant: Mutant | None = None) -> str:
            tree = trees.get()
            try:
                if mutant is None:
                    return tree.run(tests, timeout)
                with tree.broken(mutant):
                    return tree.run(tests, timeout)
            finally:
                trees.put(tree)

        whole = {pool.submit(run, tests): tests for tests in dict.fromkeys(m.tests for m in sound)}
        for done in as_completed(whole):
            if (said := done.result()) != "passed":
                wrong.append(f"{' '.join(whole[done])}: does not pass on the whole code: {said}")
        if any(done.result() != "passed" for done in whole):
            return wrong
        print(f"{len(whole)} sets of tests pass on the whole code", flush=True)
        started = {pool.submit(run, mutant.tests, mutant): mutant for mutant in sound}
        for count, done in enumerate(as_completed(started), 1):
            mutant, said = started[done], done.result()
            verdict = {"failed": "killed", "timed out": "killed (by time)", "passed": "SURVIVED"}.get(said)
            print(f"{count:3}/{len(started)} {verdict or 'UNCLEAR'}: {mutant.name}", flush=True)
            if verdict is None:
                wrong.append(f"{mutant.name}: its tests could not run: {said}")
            elif verdict == "SURVIVED":
                wrong.append(f"{mutant.name}: survived {' '.join(mutant.tests)} ({mutant.why})")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a set of tests")
    parser.add_argument("--only", action="append", default=[], help="mutants whose name has this in it")
    arguments = parser.parse_args()
    mutants = read(Path(__file__).with_suffix(".toml"))
    chosen = [m for m in mutants if not arguments.only or any(part in m.name for part in arguments.only)]
    if not chosen:
        parser.error("no mutant has such a name")
    started = time.monotonic()
    wrong = judge(chosen, arguments.jobs, arguments.timeout)
    print(f"{len(chosen)} mutants, {len(wrong)} problems, {time.monotonic() - started:.0f} s")
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
