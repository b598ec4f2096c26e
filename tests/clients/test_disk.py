"""A hospital's own disk: its journal survives the hospital's end at any byte."""

import json
from pathlib import Path

from clients.disk import HospitalDisk


def test_a_line_that_a_crash_cut_short_neither_stays_nor_spoils_the_next(tmp_path: Path) -> None:
    disk, path = HospitalDisk(tmp_path), tmp_path / "0x1" / "journal.jsonl"
    path.parent.mkdir()
    whole = [{"kind": "refusal", "round": number} for number in (1, 2)]
    disk.record("0x1", whole[0])
    for cut in (b"{", b'{"kind": "refusal", "rou', json.dumps({"kind": "never sent"}).encode()):
        path.write_bytes(json.dumps(whole[0]).encode() + b"\n" + cut)
        disk.record("0x1", whole[1])
        assert [json.loads(line) for line in path.read_text().splitlines()] == whole
    path.write_bytes(b"{")  # of the very first line
    disk.record("0x1", whole[0])
    assert [json.loads(line) for line in path.read_text().splitlines()] == whole[:1]
