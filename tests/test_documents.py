"""The documents name what is there: paths, links, commands, packages; and the README stays short."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from fedcxr.cli.app import app
from fedcxr.cli.run_group import RunGroup

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*.md")),
]
README_WORDS = 800
COMMAND = typer.main.get_command(app)
# A word in backticks is a path of the repository when it begins with one of its folders, or is a file that
# only the repository can have.
FOLDERS = ("fedcxr", "clients", "server", "contracts", "tests", "docs", "experiments", "deploy", ".ci")
SOURCES = (".py", ".sol")
PLACEHOLDER = re.compile(r"NAME|…|\*")  # of a file that is still to be written


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks of code, whose lines are commands."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def paths_in(text: str) -> Iterator[str]:
    """The repository's paths among the words in backticks."""
    for word in re.findall(r"`([^`\s]+)`", text):
        path = word.split("::")[0].rstrip("/")
        if PLACEHOLDER.search(path) or not re.fullmatch(r"[\w./-]+", path):
            continue
        if path.startswith(tuple(f"{folder}/" for folder in FOLDERS)) or path.endswith(SOURCES):
            yield path


def there(path: str) -> bool:
    """Whether the repository has a path: from its root, or below one folder by its last parts."""
    return (ROOT / path).exists() or (
        path.endswith(SOURCES) and any(any((ROOT / folder).rglob(path)) for folder in FOLDERS[:5])
    )


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links_in(text: str) -> list[str]:
    """The targets of links and pictures that lead to no other host."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def test_what_is_a_path_and_what_is_not() -> None:
    text = (
        "`server/no.py`, `no_file.py`, `fedcxr/privacy/`, `RUN/models/`, `make test`, `fedcxr/NAME.py`, `0/1`"
    )
    assert list(paths_in(text)) == ["server/no.py", "no_file.py", "fedcxr/privacy"]
    assert [there(path) for path in paths_in(text)] == [False, False, True]
    assert links_in("[a](b.md#c) ![d](e.png) <https://f> [g](https://h)") == ["b.md#c", "e.png"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_in_a_document_is_there(page: Path) -> None:
    assert [path for path in paths_in(prose(page)) if not there(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_in_a_document_leads_somewhere(page: Path) -> None:
    lost = []
    for target in links_in(prose(page)):
        file, _, fragment = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        if not other.exists():
            lost.append(target)
        elif fragment:
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), flags=re.MULTILINE)
            if fragment not in {anchor(heading) for heading in headings}:
                lost.append(target)
    assert lost == []


def test_every_page_of_docs_is_linked() -> None:
    linked = {
        (page.parent / target.split("#")[0]).resolve() for page in PAGES for target in links_in(prose(page))
    }
    assert [name(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked] == []


def test_each_attack_of_the_threat_model_names_its_test_or_says_that_nothing_stops_it() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| ") and not row.startswith("| attack |")]
    assert len(rows) > 50
    for row in rows:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert tests or "**neither**" in row, row
        for file, test in tests:
            code = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", code, flags=re.MULTILINE), f"{file}::{test}"


def test_the_readme_is_read_in_five_minutes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.split()) <= README_WORDS
    assert all(f"\n{command}" in readme for command in ("make demo", "make test"))


def commands(command: click.Command, words: tuple[str, ...] = ("fedcxr",)) -> Iterator[str]:
    """Every command that does something by itself, as it is typed."""
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield " ".join(words)
        for part, inner in command.commands.items():
            yield from commands(inner, (*words, part))
    else:
        yield " ".join(words)


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    typed = list(commands(COMMAND))
    assert "fedcxr ledger bond post" in typed
    assert [command for command in typed if not re.search(rf"{re.escape(command)}[ `]", page)] == []


def options(command: click.Command) -> Iterator[str]:
    """Every option of a command and of those below it."""
    yield "--help"
    for parameter in command.params:
        yield from parameter.opts
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        yield from options(inner)


def test_every_option_on_the_page_of_commands_is_one() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) - set(options(COMMAND)) == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_a_document_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*$(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    code = "\n".join((*blocks, *re.findall(r"`([^`\n]+)`", prose(page))))
    named = r"(?:^|&& |-m )fedcxr ([a-z][a-z-]*)(?: ([a-z][a-z-]*)(?![\w./]))?"
    typed = re.findall(named, code, flags=re.MULTILINE)
    assert [" ".join(words) for words in typed if not is_command(*words)] == []


def is_command(first: str, second: str) -> bool:
    """Whether the first word is a command, and the second one of its own, where it wants one."""
    assert isinstance(COMMAND, click.Group)
    group = COMMAND.commands.get(first)
    if isinstance(group, click.Group) and not isinstance(group, RunGroup):
        return not second or second in group.commands
    return group is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_target_of_make_in_a_document_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    typed = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(typed) - targets == set()


def test_the_map_has_every_package() -> None:
    map_ = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = [path.parent for path in (ROOT / "fedcxr").glob("*/__init__.py")]
    assert [package.name for package in packages if f"`fedcxr/{package.name}/`" not in map_] == []


@pytest.mark.parametrize("package", ["fedcxr", "clients", "server"])
def test_every_package_says_what_lives_there(package: str) -> None:
    silent = [
        name(path) for path in (ROOT / package).rglob("__init__.py") if not path.read_text().startswith('"""')
    ]
    assert silent == []


RECORDS = sorted(page for page in (ROOT / "docs" / "decisions").glob("*.md") if page.stem != "README")


@pytest.mark.parametrize("page", RECORDS, ids=name)
def test_a_decision_has_its_date_and_its_three_parts(page: Path) -> None:
    title, *records = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert title.startswith("# Decisions about ")
    assert records
    for record in records:
        heading, date, *parts = [part for part in record.split("\n\n") if part.strip()]
        assert re.match(r"20\d\d-\d\d-\d\d[,.]", date), heading
        starts = [part.split("**")[1] for part in parts]
        assert starts == ["Context.", "Decision.", "Consequence."], heading


def test_every_subject_of_decisions_is_in_their_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in RECORDS if f"({page.name})" not in index] == []


def test_the_layers_on_the_map_are_those_that_are_checked() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(cli\n.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == "layers")
    assert block.splitlines() == [layer.replace("fedcxr.", "").replace(":", "|") for layer in layers]


def test_the_glossary_names_what_the_code_has() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    last = [row.rstrip(" |").rpartition(" | ")[2] for row in page.splitlines() if row.startswith("| ")]
    names = {word for column in last for word in re.findall(r"`(\w+)`", column)}
    sources = [ROOT / "contracts" / "src", *(ROOT / package for package in ("fedcxr", "clients", "server"))]
    files = (path for folder in sources for path in folder.rglob("*") if path.suffix in SOURCES)
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in files)))
    assert len(names) > 50
    assert names - words == set()
