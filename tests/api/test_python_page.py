"""docs/python.md: its code blocks run in their order, quietly, on a federation of phantoms."""

import re
import shutil
from pathlib import Path

import pytest

import fedcxr
from fedcxr.api.run import _HOSPITAL_FIGURES, _METRIC_COLUMNS, _ROUND_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"


def test_the_blocks_run_twice_in_their_order_and_print_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=shutil.ignore_patterns("results"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 9
    for _ in range(2):  # the second time the run is complete
        names: dict[str, object] = {}
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"experiments", "runs"}
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == ""


def test_the_page_names_everything_that_the_package_gives() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## The names")[1]
    assert [name for name in fedcxr.__all__ if f"`{name}" not in table] == []


def test_the_page_names_the_columns_of_every_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    columns = {*_ROUND_COLUMNS, *_HOSPITAL_FIGURES, *_METRIC_COLUMNS}
    assert [name for name in sorted(columns) if f"`{name}`" not in text] == []
