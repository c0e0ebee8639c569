"""Listing, original names and undo, as stages and on the command line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, InputError, NullProgress
from faceloom.faces import FaceRecord, Faceset, OwnMetadata, SegPolygon, encode_face
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points
from faceloom.stages.faceset.config import FacesetListConfig, FacesetRenameConfig, FacesetUndoConfig
from faceloom.stages.faceset.list import run
from faceloom.stages.faceset.rename import natural_key
from faceloom.stages.faceset.rename import run as rename
from faceloom.stages.faceset.undo import run as undo

POINTS = (MODEL_POINTS_3D[:, :2] * 2 + np.array([500, 400])).astype(np.float32)


def face(source: str, *, track: int | None = None, size_px: int = 32, **changes: object) -> bytes:
    matrix = frame_to_face(POINTS, size_px, "whole_face")
    own = None if track is None else OwnMetadata(track=track, detector="yunet", frame_index=7)
    values: dict[str, object] = {
        "face_type": "whole_face",
        "landmarks": transform_points(POINTS, matrix),
        "source_filename": source,
        "source_rect": np.array([1, 2, 300, 400]),
        "source_landmarks": POINTS,
        "image_to_face_mat": matrix,
        "own": own,
    }
    record = FaceRecord(**{**values, **changes})  # type: ignore[arg-type]
    return encode_face(np.full((size_px, size_px, 3), 99, np.uint8), record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    polygon = SegPolygon(True, np.array([[1, 1], [9, 1], [9, 9]], np.float32))
    (folder / "a.jpg").write_bytes(face("00001.png", track=0))
    (folder / "b.jpg").write_bytes(face("00001.png", track=1, seg_ie_polys=(polygon,)))
    (folder / "c.jpg").write_bytes(face("00002.png", track=0, xseg_mask=b"mask"))
    (folder / "d.jpg").write_bytes(face("", size_px=64))
    (folder / "e.jpg").write_bytes(b"no face")
    return folder


def test_totals(folder: Path):
    for _ in range(2):
        config = FacesetListConfig(faceset=str(folder))
        found = run(config, progress=NullProgress(), cancel=Cancel()).as_dict()
        # The crop's side in the frame: how far two of its corners lie apart there.
        matrix = frame_to_face(POINTS, 32, "whole_face")
        side_px = 32 / np.hypot(*matrix[:, 0])
        assert found.pop("sizes_px") == pytest.approx([side_px] * 3)
        assert found == {
            "folder": str(folder),
            "faces": 4,
            "face_types": {"whole_face": 4},
            "pictures_px": {"32x32": 3, "64x64": 1},
            "sources": 3,
            "tracks": 2,
            "detectors": {"yunet": 3},
            "with_polygons": 1,
            "with_mask": 1,
            "with_embedding": 0,
            "skipped": [{"file": "e.jpg", "reason": "neither JPEG nor PNG"}],
        }


def test_json_is_one_object_a_face(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["faceset", "list", str(folder), "--json"]) == 0
    told = capsys.readouterr()
    faces = [json.loads(line) for line in told.out.splitlines()]
    assert [face["file"] for face in faces] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    for found in faces:
        assert list(found) == [
            "file", "source_file", "frame_index", "time_s", "source_rect", "source_landmarks",
            "face_type", "yaw_deg", "pitch_deg", "roll_deg", "track", "detector", "score",
        ]  # fmt: skip
        assert found["source_landmarks"] == pytest.approx(POINTS, abs=1e-3)
        assert found["source_rect"] == [1, 2, 300, 400]
    assert (faces[1]["track"], faces[1]["frame_index"], faces[3]["track"]) == (1, 7, None)
    assert "e.jpg" in told.err


def test_list_for_people(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["faceset", "list", str(folder)]) == 0
    out = capsys.readouterr().out
    for piece in ("whole_face 4", "32x32 3, 64x64 1", "polygons        1 face", "e.jpg: neither"):
        assert piece in out


def test_a_packed_faceset_is_listed_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]):
    config = FacesetListConfig(faceset=str(folder))
    loose = run(config, progress=NullProgress(), cancel=Cancel()).as_dict()
    assert run_command(["faceset", "pack", str(folder), "--remove"]) == 0
    assert not (folder / "a.jpg").exists()
    for _ in range(2):
        packed = run(config, progress=NullProgress(), cancel=Cancel()).as_dict()
        assert packed == loose
    capsys.readouterr()
    assert run_command(["faceset", "list", str(folder), "--json"]) == 0
    faces = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [face["source_file"] for face in faces] == ["00001.png", "00001.png", "00002.png", ""]
    assert run_command(["faceset", "rename", str(folder)]) == 1
    assert "`faceloom faceset unpack` it first" in capsys.readouterr().err


def test_original_names_come_back_and_go_again(folder: Path, capsys: pytest.CaptureFixture[str]):
    before = {path.name: path.read_bytes() for path in folder.glob("*.jpg")}
    assert run_command(["faceset", "rename", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["renamed"], result["right"], result["unknown"]) == (3, 0, 1)
    after = {path.name: path.read_bytes() for path in folder.glob("*.jpg")}
    assert after == {
        "00001_0.jpg": before["a.jpg"],
        "00001_1.jpg": before["b.jpg"],
        "00002_0.jpg": before["c.jpg"],
        "d.jpg": before["d.jpg"],
        "e.jpg": before["e.jpg"],
    }
    assert run_command(["faceset", "undo", str(folder), "--list"]) == 0
    assert "3 faces  rename after source files" in capsys.readouterr().out
    assert run_command(["faceset", "undo", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.glob("*.jpg")} == before
    assert run_command(["faceset", "undo", str(folder)]) == 1
    assert "nothing to undo" in capsys.readouterr().err


def test_a_shuffled_extraction_gets_its_names_back(tmp_path: Path):
    """One face a frame: the names must be those of the extraction whatever a sort made of them."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    numbers = list(range(30))
    random.Random(0).shuffle(numbers)
    for place, number in enumerate(numbers):
        (folder / f"{place:05d}.jpg").write_bytes(face(f"{number:05d}.png", track=number))
    config = FacesetRenameConfig(faceset=str(folder), prefix="cam2_")
    result = rename(config, progress=NullProgress(), cancel=Cancel())
    assert result.renamed == 30
    for path, record in Faceset(folder):
        assert record.own is not None and path.name == f"cam2_{record.own.track:05d}_0.jpg"
    assert rename(config, progress=NullProgress(), cancel=Cancel()).right == 30
    undo(FacesetUndoConfig(faceset=str(folder)), progress=NullProgress(), cancel=Cancel())
    assert [path.name for path in Faceset(folder).paths] == [f"{i:05d}.jpg" for i in range(30)]


def test_more_than_ten_faces_of_a_frame_keep_their_order(tmp_path: Path):
    folder = tmp_path / "aligned"
    folder.mkdir()
    for i in range(12):
        (folder / f"00001_{i}.jpg").write_bytes(face("00001.png", track=i))
    config = FacesetRenameConfig(faceset=str(folder))
    assert rename(config, progress=NullProgress(), cancel=Cancel()).right == 12
    names = [f"x_{i}.jpg" for i in range(12)] + ["x.jpg", "x_01.jpg", "10.jpg", "9.jpg"]
    ordered = sorted(names, key=natural_key)
    assert ordered[:2] == ["9.jpg", "10.jpg"] and ordered[-3:] == [
        f"x_{i}.jpg" for i in (9, 10, 11)
    ]


@pytest.mark.parametrize("prefix", ["../x", "a/b", ".hidden", "a\n"])
def test_prefix_that_is_no_name_is_refused(folder: Path, prefix: str):
    assert run_command(["faceset", "rename", str(folder), "--prefix", prefix]) == 2
    assert (folder / "a.jpg").is_file()


def test_missing_faceset():
    with pytest.raises(InputError, match="no faceset there"):
        run(FacesetListConfig(faceset="/no/such"), progress=NullProgress(), cancel=Cancel())
