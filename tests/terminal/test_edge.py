"""Nobody reaches a terminal past the one edge."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PRINTS = re.compile(
    r"print|((typer|click)\.)?(secho|echo|echo_via_pager)|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?"
    r"|.*\.from_(markup|ansi)"
)
_OF_RICH = {"rich", "rich.console", "rich.markup", "rich.prompt", "rich.pretty", "rich.traceback"}


def prints(path: Path) -> Iterator[str]:
    """Where a file writes to the terminal, and not through :mod:`fedcxr.terminal`."""
    tree = ast.parse(path.read_text())
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    passed = {inner for node in for_types for inner in ast.walk(node)}
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if _PRINTS.fullmatch(called):
                yield f"{where} calls {called}"
        elif isinstance(node, ast.ImportFrom) and node not in passed and node.module in _OF_RICH:
            yield f"{where} imports {', '.join(alias.name for alias in node.names)} of {node.module}"
        elif isinstance(node, ast.Import) and any(alias.name in _OF_RICH for alias in node.names):
            yield f"{where} imports rich"


def test_nobody_prints_past_the_edge() -> None:
    sources = [p for folder in ("fedcxr", "server", "clients") for p in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 200
    found = [said for p in sources if ROOT / "fedcxr" / "terminal" not in p.parents for said in prints(p)]
    assert found == []
