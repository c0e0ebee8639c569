"""What no tool can work on is told in one line, before anything is measured or moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.core import InputError
from faceloom.curate.orders import METHODS
from faceloom.faces import Faceset, Move, move_faces
from synthetic_faces import write_faceset

TOOLS = [
    ["sort", "--by", "yaw"],
    ["dedupe"],
    ["cluster", "--move"],
    ["faceset", "tracks", "--drop", "none"],
    ["faceset", "rename"],
]
OTHERS = [
    ["cluster"],
    ["faceset", "masks"],
    ["faceset", "debug"],
    ["faceset", "resize", "--size", "64"],
]


def _told(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(words) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("faceloom:")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60, 3), number, np.uint8))
    return folder


@pytest.mark.parametrize("tool", [*TOOLS, *OTHERS], ids=" ".join)
def test_a_folder_of_frames_stays_as_it_is(
    tool: list[str], frames: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _told([*tool, str(frames)], 1, capsys)
    assert ": 3 pictures without face metadata" in told
    assert len(list(frames.glob("*.png"))) == 3
    assert [path.name for path in frames.parent.iterdir()] == ["frames"]


@pytest.mark.parametrize("tool", TOOLS, ids=" ".join)
def test_a_packed_faceset_is_refused_before_it_is_measured(
    tool: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_faceset(tmp_path / "aligned", 3, size=64)
    assert run_command(["faceset", "pack", str(folder), "--remove"]) == 0

    def measured(*_: object, **__: object) -> None:
        pytest.fail("it was measured")

    monkeypatch.setattr(Faceset, "__init__", measured)
    assert "`faceloom faceset unpack` it first" in _told([*tool, str(folder)], 1, capsys)


@pytest.mark.parametrize(
    "tool",
    [["sort"], ["dedupe"], ["cluster"], ["faceset", "tracks"]],
    ids=" ".join,
)
def test_a_sheet_that_is_no_picture_is_told_first(
    tool: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_faceset(tmp_path / "aligned", 3, size=64)
    told = _told([*tool, str(folder), "--sheet", str(tmp_path / "x.txt")], 2, capsys)
    assert "must be a .png or .jpg file" in told


@pytest.mark.parametrize("by", [m.name for m in METHODS if m.name != "person"])
def test_an_empty_faceset_is_told_whatever_is_measured(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no faces in" in _told(["sort", str(tmp_path), "--by", by], 1, capsys)


def test_people_of_no_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere: no such folder" in _told(
        ["faceset", "people", "list", "-w", "nowhere"], 1, capsys
    )


@pytest.mark.parametrize("tool", TOOLS, ids=" ".join)
def test_names_stay_from_the_look_at_the_faces_to_the_move(
    tool: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another tool's sort in between would give the measured names to other faces."""
    folder = write_faceset(tmp_path / "aligned", 3, size=64)
    refused: list[str] = []
    look = Faceset.__init__

    def spied(self: Faceset, *values: Any, **named: Any) -> None:
        look(self, *values, **named)
        with pytest.raises(InputError) as caught:
            move_faces(folder, [Move(folder / "00001_0.png", folder / "x.png")], label="sort")
        refused.append(str(caught.value))
        raise InputError("seen enough")

    monkeypatch.setattr(Faceset, "__init__", spied)
    assert "seen enough" in _told([*tool, str(folder)], 1, capsys)
    assert len(refused) == 1
    assert (folder / "00001_0.png").exists()
