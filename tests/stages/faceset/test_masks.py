"""Mask and landmark pictures: the right source, the right place, nothing that stops them."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.faces import FaceRecord, Faceset, SegPolygon, encode_face, encode_mask
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points
from faceloom.stages.faceset.config import FacesetDebugConfig, FacesetMasksConfig
from faceloom.stages.faceset.debug import run as debug
from faceloom.stages.faceset.masks import run

SIZE = 96
POINTS = (MODEL_POINTS_3D[:, :2] * 2 + np.array([500, 400])).astype(np.float32)
MATRIX = frame_to_face(POINTS, SIZE, "whole_face")
LANDMARKS = transform_points(POINTS, MATRIX).astype(np.float32)
SQUARE = np.array([[10, 20], [49, 20], [49, 79], [10, 79]], np.float32)


def face(**changes: object) -> bytes:
    values: dict[str, object] = {
        "face_type": "whole_face",
        "landmarks": LANDMARKS,
        "source_filename": "00001.png",
        "source_rect": np.array([10, 20, 60, 80]),
        "source_landmarks": POINTS,
        "image_to_face_mat": MATRIX,
    }
    record = FaceRecord(**{**values, **changes})  # type: ignore[arg-type]
    return encode_face(np.full((SIZE, SIZE, 3), 200, np.uint8), record, quality=100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    left = np.zeros((256, 256), np.float32)
    left[:, :128] = 0.8
    polygon = SegPolygon(True, SQUARE)
    (folder / "both.jpg").write_bytes(face(xseg_mask=encode_mask(left), seg_ie_polys=(polygon,)))
    (folder / "drawn.jpg").write_bytes(face(seg_ie_polys=(polygon,)))
    (folder / "plain.jpg").write_bytes(face())
    (folder / "torn.jpg").write_bytes(face(xseg_mask=b"\x89PNG damaged"))
    (folder / "stranger.jpg").write_bytes(b"x")
    return folder


def masks(folder: Path, **values: object) -> dict[str, np.ndarray]:
    result = run(
        FacesetMasksConfig(faceset=str(folder), **values),  # type: ignore[arg-type]
        progress=NullProgress(),
        cancel=Cancel(),
    )
    pictures = sorted(result.folder.glob("*mask*" if result.folder == folder else "*"))
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in pictures}


def is_left(mask: np.ndarray) -> bool:
    return bool((mask[:, :46] == 255).all() and (mask[:, 50:] == 0).all())


def is_square(mask: np.ndarray) -> bool:
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[20:80, 10:50] = 255
    return np.array_equal(mask, expected)


def is_hull(mask: np.ndarray) -> bool:
    """Convex, holding all landmarks' middle, and of about the hull's area."""
    corners = cv2.convexHull(LANDMARKS)
    area, grown = cv2.contourArea(corners), float((mask > 0).sum())
    inside = all(mask[int(y), int(x)] for x, y in LANDMARKS[27:68])
    return inside and 0.9 * area < grown < 1.5 * area


def test_auto_takes_the_best_that_is_there(folder: Path):
    found = masks(folder)
    assert sorted(found) == ["both.png", "drawn.png", "plain.png", "torn.png"]
    assert all(mask.shape == (SIZE, SIZE) and mask.dtype == np.uint8 for mask in found.values())
    assert is_left(found["both.png"]) and is_square(found["drawn.png"])
    assert is_hull(found["plain.png"]) and is_hull(found["torn.png"])
    assert len(Faceset(folder)) == 4


def test_one_source_leaves_the_others_out(folder: Path):
    assert {name: is_square(m) for name, m in masks(folder, source="polygons").items()} == {
        "both.png": True,
        "drawn.png": True,
    }
    found = masks(folder, source="hull", again=True)
    assert len(found) == 4 and all(is_hull(mask) for mask in found.values())


def test_damaged_mask_does_not_stop_the_others(folder: Path):
    progress = NullProgress()
    config = FacesetMasksConfig(faceset=str(folder), source="xseg")
    result = run(config, progress=progress, cancel=Cancel())
    assert (result.written, result.without, result.failed) == (1, 2, 1)
    assert any("torn.jpg" in note for note in progress.notes)


def test_soft_keeps_grey_values(folder: Path):
    left = masks(folder, soft=True)["both.png"][:, :40]
    assert set(np.unique(left)) <= {203, 204}


def test_beside_the_faces_by_dfls_names(folder: Path):
    for _ in range(2):  # masks are not masked again
        found = masks(folder, place="beside_faces")
        assert sorted(found) == [
            "both_mask.jpg",
            "drawn_mask.jpg",
            "plain_mask.jpg",
            "torn_mask.jpg",
        ]
    assert len(Faceset(folder)) == 4
    (folder / "faceset.pak").write_bytes(b"")
    with pytest.raises(InputError, match="unpack it first"):
        masks(folder, place="beside_faces")


def test_what_is_there_stays_until_the_face_changes(folder: Path):
    masks(folder)
    target = folder.with_name("aligned_masks") / "plain.png"
    target.write_bytes(b"mine")
    config = FacesetMasksConfig(faceset=str(folder))
    result = run(config, progress=NullProgress(), cancel=Cancel())
    assert (result.written, result.there) == (0, 4) and target.read_bytes() == b"mine"
    os.utime(target, (1, 1))
    assert run(config, progress=NullProgress(), cancel=Cancel()).written == 1
    again = FacesetMasksConfig(faceset=str(folder), again=True)
    assert run(again, progress=NullProgress(), cancel=Cancel()).written == 4


def test_stop_and_go_on(folder: Path):
    cancel = Cancel()

    class Stop(NullProgress):
        drawing = False

        def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
            self.drawing = stage == "drawing"

        def advance(self, items: int = 1) -> None:
            if self.drawing:
                cancel.set()

    config = FacesetDebugConfig(faceset=str(folder))
    for i in range(60):
        (folder / f"more{i}.jpg").write_bytes((folder / "plain.jpg").read_bytes())
    with pytest.raises(CancelledError):
        debug(config, progress=Stop(), cancel=cancel)
    there = len(list(folder.with_name("aligned_landmarks").glob("*.jpg")))
    assert 0 < there < 64
    result = debug(config, progress=NullProgress(), cancel=Cancel())
    assert (result.there, result.written) == (there, 64 - there)


def test_landmarks_are_drawn_where_they_are(folder: Path):
    debug(
        FacesetDebugConfig(faceset=str(folder), jpeg_quality=100),
        progress=NullProgress(),
        cancel=Cancel(),
    )
    bgr = cv2.imread(str(folder.with_name("aligned_landmarks") / "plain.jpg"))
    for x, y in LANDMARKS[27:68]:
        b, g, r = (int(v) for v in bgr[round(float(y)), round(float(x))])
        assert g > b + 40 and g > r + 40, "green at every inner landmark"
    assert abs(int(bgr[2, 2, 1]) - 200) < 4, "outside the hull as it was"
    inner = bgr[int(LANDMARKS[30, 1]) + 4, int(LANDMARKS[2:15, 0].mean()) - 9]
    assert 80 < int(inner[2]) < 120, "half as bright inside"
    assert len(Faceset(folder)) == 4, "nothing in the faceset"


def test_command_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["faceset", "masks", str(folder), "--format", "jpg"]) == 0
    assert "4 masks written" in capsys.readouterr().out
    assert run_command(["faceset", "debug", str(folder)]) == 0
    assert "4 pictures written" in capsys.readouterr().out
