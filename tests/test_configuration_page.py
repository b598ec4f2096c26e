"""``docs/configuration.md`` has every key of the configuration, with its default, and no other."""

import json
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fedcxr.config import Config, Phantom
from fedcxr.models.registry import model_names

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"


def documented() -> dict[str, tuple[str, str]]:
    """Default and what is allowed, by dotted key, as the page has them."""
    found, section = {}, ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"^(?:## )?`\[([\w.]+)\]`", line):
            section = heading[1] + "."
        if row := re.match(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", line):
            found[section + row[1]] = (row[2], row[3])
    return found


def configured(section: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    fields = {}
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if name == "phantom":
            fields |= configured(Phantom, f"{prefix}phantom.")
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields |= configured(annotation, f"{prefix}{name}.")
        else:
            fields[prefix + name] = field
    return fields


def test_every_key_is_on_the_page_with_its_default() -> None:
    page, keys = documented(), configured(Config)
    assert set(page) == set(keys)
    for key, field in keys.items():
        default = (
            "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
        )
        assert page[key][0].strip("`") == default, key


def test_every_choice_is_on_the_page() -> None:
    page = documented()
    for key, field in configured(Config).items():
        choices = getattr(field.annotation, "__args__", ())
        if all(isinstance(choice, str) for choice in choices):
            assert all(f"`{choice}`" in page[key][1] for choice in choices), key
    assert all(f"`{name}`" in page["model.name"][1] for name in model_names())
