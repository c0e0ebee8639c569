"""The ledger: chained, whole after a kill, and shared by processes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from faceloom.core import FormatError
from faceloom.provenance import append_ledger, read_ledger


def test_lines_are_chained(tmp_path: Path) -> None:
    first = append_ledger(tmp_path, "merge", {"frames": 3})
    second = append_ledger(tmp_path, "encode", {"file": "résult.mp4"})
    entries = read_ledger(tmp_path)
    assert [entry.number for entry in entries] == [1, 2]
    assert entries[0].previous == "0" * 64
    assert entries[1].previous == first == entries[0].digest
    line = json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[1])
    assert line.pop("digest") == second
    canonical = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == second


@pytest.mark.parametrize("harm", ["edit", "remove", "swap", "tear", "garbage"])
def test_harm_is_found(tmp_path: Path, harm: str) -> None:
    for number in range(4):
        append_ledger(tmp_path, "merge", {"frames": number})
    file = tmp_path / "ledger.jsonl"
    lines = file.read_text().splitlines()
    if harm == "edit":
        lines[1] = lines[1].replace('"frames": 1', '"frames": 9')
    elif harm == "remove":
        del lines[1]
    elif harm == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif harm == "tear":
        lines[3] = lines[3][:40]
    else:
        lines[0] = "[]"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(FormatError, match=r"line [1234] was altered"):
        read_ledger(tmp_path)
    with pytest.raises(FormatError):
        append_ledger(tmp_path, "merge", {})


def test_processes_do_not_lose_each_others_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from faceloom.provenance import append_ledger\n"
        "for n in range(10): append_ledger(Path(sys.argv[1]), 'merge', {'n': n})"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert len(read_ledger(tmp_path)) == 20
