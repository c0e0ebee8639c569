"""Damaged and hostile faceset files in processes of their own: see `bench/hostile.py`.

Here two hundred of them, some by chance and some of the attacks that have a name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch):
    if sys.platform == "win32":
        pytest.skip("needs limits on a process's memory")
    monkeypatch.syspath_prepend(str(BENCH))
    import hostile

    return hostile


def test_hostile_files_do_no_harm(hostile, tmp_path: Path):
    made = hostile.chosen_files(130, 7, attacks=70)
    results = hostile.attack(tmp_path, made)
    assert len(results) == 200
    assert hostile.failures(tmp_path, results) == []
    assert {one["kind"] for one in results} == set(hostile.KINDS)
    assert max(one["bytes"] for one in results) < 1 << 30
    # Most are refused: what is opened is the rest of the trial.
    assert sum(one["outcome"] == "error" for one in results) > 100


def test_the_good_files_open(hostile, tmp_path: Path):
    good = [(kind, "good", data) for kind, data in hostile.good_files().items()]
    results = hostile.attack(tmp_path, good)
    assert [one["outcome"] for one in results] == ["opened"] * len(hostile.KINDS)
    assert hostile.failures(tmp_path, results) == []


def test_the_trial_notices_harm(hostile, tmp_path: Path):
    """A file that is a program would be seen: the watch is not blind."""
    (tmp_path / "files").mkdir()
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / hostile.CANARY).write_text("made by code in a file")
    results = [
        {
            "kind": "jpg",
            "what": "x",
            "outcome": "KeyError: 1",
            "s": 3.0,
            "bytes": 0,
            "alarms": ["os.system"],
        }
    ]
    wrong = hostile.failures(tmp_path, results)
    assert len(wrong) == 5
