"""Coverage and tracks on real faces, from the files to what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, NullProgress
from faceloom.faces.moves.moves import undo_moves
from faceloom.stages.curate.coverage import CoverageConfig
from faceloom.stages.curate.coverage import run as compare
from faceloom.stages.extract.run import ExtractConfig
from faceloom.stages.extract.run import run as extract
from faceloom.stages.faceset.config import FacesetTracksConfig
from faceloom.stages.faceset.tracks import run as tracks
from faceloom.workspace.layout import create_workspace

FRONTAL = ("man_white_bald_48.jpg", "man_white_bald_48_smiling.jpg", "woman_white_54.jpg")
TURNED = "man_green_shirt_turned.png"


@pytest.fixture(scope="module")
def pair(media, need_weights, tmp_path_factory) -> Path:
    """A workspace with three frontal photos for src and one of a turned head for dst."""
    need_weights("yunet", "face-landmarker")
    folder = tmp_path_factory.mktemp("pair")
    workspace = create_workspace(folder)
    for side, names in (("src", FRONTAL), ("dst", (TURNED,))):
        for name in names:
            shutil.copy(media / "photos" / name, workspace.data(side) / name)
        config = ExtractConfig(workspace=folder, side=side, image_size=192)
        extract(config, progress=NullProgress(), cancel=Cancel())
    return folder


def _compare(folder: Path, **values: object):
    config = CoverageConfig(workspace=folder, **values)  # type: ignore[arg-type]
    return compare(config, progress=NullProgress(), cancel=Cancel())


def test_a_head_that_is_seen_to_turn_left_lacks_src_on_the_left(pair):
    result = _compare(pair)
    gap = next(gap for gap in result.gaps if gap.dimension == "pose")
    # In the photo the man's nose points to the picture's left: seen by eye.
    assert "° left" in gap.finding and "person's own right" in gap.shot and gap.share == 1
    assert result.score == 0
    picture = cv2.imread(str(pair / "coverage.png"))
    assert picture is not None and picture.shape[1] > 2000
    page = (pair / "coverage.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == len(result.gaps)
    assert f"{Path(TURNED).stem}_0.jpg" in page


def test_a_faceset_covers_itself(pair):
    result = _compare(pair, dst=str(pair / "data_src" / "aligned"), enough=1)
    assert result.score == result.score_with_light == 1
    assert result.gaps == () and result.unused == ()


def test_src_that_serves_nobody_moves_away_and_back(pair, tmp_path):
    shutil.copytree(pair / "data_src" / "aligned", tmp_path / "f" / "aligned")
    folder = tmp_path / "f" / "aligned"
    values = {
        "src": str(folder),
        "dst": "dst",
        "html": tmp_path / "a.html",
        "png": tmp_path / "a.png",
    }
    result = _compare(pair, **values, trash_unused=True, pose_tolerance_deg=5)
    moved = {path.name for path in (tmp_path / "f" / "aligned_trash").glob("*.jpg")}
    assert len(moved) == result.moved == 3 and not list(folder.glob("*.jpg"))
    undo_moves(folder)
    assert {path.name for path in folder.glob("*.jpg")} == moved


def test_the_command_gives_json_and_one_line_of_reason(pair, capsys):
    assert run_command(["coverage", "-w", str(pair), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == 0 and told["shares"]["pose"] == 0
    assert told["gaps"][0]["faces"] == [f"{Path(TURNED).stem}_0.jpg"]
    assert run_command(["coverage", "-w", str(pair), "--dst", str(pair / "nothing")]) == 1
    assert "no faceset there" in capsys.readouterr().err


def test_tracks_are_listed_drawn_and_dropped(pair, tmp_path):
    """Photos have no tracks; numbers are written into some of them as extraction does."""
    from dataclasses import replace

    from faceloom.faces import read_record, update_record

    shutil.copytree(pair / "data_src" / "aligned", tmp_path / "aligned")
    folder = tmp_path / "aligned"
    names = sorted(path.name for path in folder.glob("*.jpg"))
    for track, name in enumerate(names[:2]):
        record = read_record(folder / name)
        frame = {"source_filename": f"{track + 1:05d}.png"}
        own = replace(record.own, track=track, frame_index=track)
        update_record(folder / name, replace(record, own=own, **frame))
    sheet = tmp_path / "tracks.png"

    def run(**values: object):
        config = FacesetTracksConfig(faceset=str(folder), **values)  # type: ignore[arg-type]
        return tracks(config, progress=NullProgress(), cancel=Cancel())

    result = run(sheet=sheet)
    assert sorted(len(track.rows) for track in result.tracks) == [1, 1, 1]
    assert np.isfinite([track.sharpness for track in result.tracks]).all()
    drawn = cv2.imread(str(sheet))
    assert drawn.shape[0] > 3 * 160 and drawn.shape[1] > 4 * 160
    with pytest.raises(ValueError, match="not both"):
        run(keep=("0",), drop=("1",))
    label = next(track.label for track in result.tracks if track.number == 0)
    assert run(keep=(label,)).moved == 2
    assert [path.name for path in folder.glob("*.jpg")] == names[:1]
    undo_moves(folder)
    assert sorted(path.name for path in folder.glob("*.jpg")) == names
