"""Private keys: made once, readable by their owner alone, and never printed."""

import json
import stat
from pathlib import Path

import pytest

from fedcxr.errors import StoreError
from fedcxr.store.identity import Identity


def test_keys_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "identity.json"
    first = Identity.load_or_create(path, "MLKEM768_X25519")
    again = Identity.load_or_create(path, "MLKEM768_X25519")
    assert first.account.address == again.account.address
    assert first.envelope_key.public.digest == again.envelope_key.public.digest
    other = Identity.load_or_create(tmp_path / "other.json", "MLKEM768_X25519")
    assert other.account.address != first.account.address


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    Identity.load_or_create(path, "MLKEM768_X25519")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_private_is_printed(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity.json", "MLKEM768_X25519")
    assert identity.signing_key.hex() not in repr(identity)
    assert identity.envelope_key.data.hex() not in repr(identity)


@pytest.mark.parametrize(
    "change",
    [
        {"signing_key": "00" * 32},
        {"signing_key": "ff" * 32},
        {"signing_key": "11" * 31},
        {"signing_key": "no hex"},
        {"signing_key": 5},
        {"envelope_key": "11"},
        {"envelope_key": None},
    ],
)
def test_a_key_that_is_none_is_an_error_that_does_not_show_it(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "identity.json"
    Identity.load_or_create(path, "MLKEM768_X25519")
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, **change}))
    with pytest.raises(StoreError, match="not a key file") as caught:
        Identity.load(path)
    assert tree["envelope_key"] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", "[" * 100_000, "\\"])
def test_a_file_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="not a key file"):
        Identity.load(path)
    path.unlink()
    with pytest.raises(StoreError, match="no keys here"):
        Identity.load(path)
