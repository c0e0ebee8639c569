"""Labelled faces: which are taken, what their masks are, and how batches of them are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import InputError, NullProgress
from faceloom.faces import (
    Faceset,
    SegPolygon,
    encode_mask,
    has_polygons,
    polygon_mask,
    read_face,
    read_record,
    update_record,
)
from faceloom.geometry import frame_to_face, hull_mask, transform_points
from faceloom.samples.xseg.draw import Dice, draw_mask_batch
from faceloom.samples.xseg.store import MaskStore, load_labelled, load_spread
from synthetic_faces import write_faceset

CPU = torch.device("cpu")
SIDE = 64


def disc(centre: tuple[float, float], radius: float, *, include: bool = True) -> SegPolygon:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([np.cos(turn), np.sin(turn)], 1) * radius + np.array(centre)
    return SegPolygon(include, points.astype(np.float32))


def label(folder: Path, number: int, **changes: Any) -> Path:
    """Change the record of the folder's `number`-th face; its path."""
    path = Faceset(folder, use_index=False).paths[number]
    update_record(path, replace(read_record(path), **changes))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    src = write_faceset(tmp_path / "src", 4, size=128)
    dst = write_faceset(tmp_path / "dst", 3, size=128, hue=99)
    return src, dst


def load(folders: tuple[Path, Path], **options: object) -> MaskStore:
    values: dict[str, object] = {"size_px": SIDE, "face_type": "full_face", "device": CPU}
    return load_labelled(folders, **{**values, **options})  # type: ignore[arg-type]


def test_polygons_include_then_exclude() -> None:
    polygons = [
        disc((30, 20), 6, include=False),
        SegPolygon(True, np.array([[10, 10], [50, 10], [50, 40], [10, 40]], np.float32)),
        SegPolygon(True, np.empty((0, 2), np.float32)),
    ]
    mask = polygon_mask(polygons, (64, 60))
    assert mask.shape == (64, 60) and set(np.unique(mask)) == {0, 1}
    assert mask[20, 30] == 0 and mask[20, 40] == 1 and mask[5, 30] == 0
    y, x = np.mgrid[:64, :60]
    rectangle = (x >= 10) & (x <= 50) & (y >= 10) & (y <= 40)
    clearly_out = np.hypot(x - 30, y - 20) > 7.5
    assert (mask[clearly_out] == rectangle[clearly_out]).all()
    assert has_polygons(polygons) and not has_polygons(polygons[2:])


def test_a_polygon_that_crosses_itself_is_filled_even_odd() -> None:
    points = np.array([[5, 5], [55, 5], [55, 55], [20, 55], [20, 20], [40, 20], [40, 40], [5, 40]])
    mask = polygon_mask([SegPolygon(True, points.astype(np.float32))], (60, 60))
    assert mask[30, 30] == 0, "wound twice"
    assert mask[10, 30] == 1 and mask[50, 45] == 1 and mask[30, 10] == 1


def test_without_labels_the_error_says_what_to_do(folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="none of 7 faces has a mask") as caught:
        load(folders)
    assert "polygons" in str(caught.value) and str(folders[0]) in str(caught.value)
    missing = folders[0] / "nowhere"
    with pytest.raises(InputError, match="faceloom extract"):
        load((missing, missing))


def test_polygons_win_over_applied_masks(folders: tuple[Path, Path]) -> None:
    applied = np.zeros((256, 256), np.float32)
    applied[100:150, 50:200] = 1
    label(folders[0], 0, xseg_mask=encode_mask(applied))
    store = load(folders)
    assert store.labels == "masks" and len(store) == 1
    mask = store.planes[0, 3].numpy()
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[26:37, 13:50] == 255).all() and mask.mean() / 255 == pytest.approx(0.114, abs=0.01)

    named = label(
        folders[1], 2, seg_ie_polys=(disc((64, 70), 30), disc((64, 60), 8, include=False))
    )
    store = load(folders)
    assert store.labels == "polygons" and store.names == (named.name,)
    y, x = np.mgrid[:SIDE, :SIDE] * 2 + 0.5
    far_in = (np.hypot(x - 64, y - 70) < 27) & (np.hypot(x - 64, y - 60) > 11)
    far_out = (np.hypot(x - 64, y - 70) > 33) | (np.hypot(x - 64, y - 60) < 5)
    mask = store.planes[0, 3].numpy()
    assert (mask[far_in] == 255).all() and (mask[far_out] == 0).all()
    image, _ = read_face(named)
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert np.array_equal(store.planes[0, :3].permute(1, 2, 0).numpy(), small)


def test_another_face_type_is_cut_by_landmarks(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "wide", 1, size=256, face_type="whole_face")
    path = Faceset(folder, use_index=False).paths[0]
    _, record = read_face(path)
    hull = cv2.convexHull(record.landmarks.astype(np.int32))[:, 0].astype(np.float32)
    label(folder, 0, seg_ie_polys=(SegPolygon(True, hull),))
    store = load((folder, folder), size_px=128)
    matrix = frame_to_face(record.landmarks, 128, "full_face")
    points = transform_points(record.landmarks, matrix).astype(np.int32)
    expected = np.zeros((128, 128), np.uint8)
    cv2.fillConvexPoly(expected, cv2.convexHull(points), (255,))
    different = (store.planes[0, 3].numpy() != expected).mean()
    assert different < 0.02
    assert 0.2 < expected.mean() / 255 < 0.9

    progress = NullProgress()
    wider = load((folder, folder), face_type="head", progress=progress)
    assert any("black" in note for note in progress.notes)
    assert (wider.planes[0, :, 0] == 0).all(), "beyond the stored face"


def hull_store(folder: Path) -> MaskStore:
    """The faces of a folder with their hulls as labels."""
    for number, path in enumerate(Faceset(folder, use_index=False).paths):
        _, record = read_face(path)
        mask = hull_mask(record.landmarks, (128, 128))
        label(folder, number, xseg_mask=encode_mask(mask))
    return load((folder, folder))


def test_batches_depend_on_the_seed_alone(folders: tuple[Path, Path]) -> None:
    store = hull_store(folders[0])

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.rand(3)  # what others draw does not matter
        batch = draw_mask_batch(store, [0, 1, 2, 3], torch.Generator().manual_seed(seed))
        return batch.image, batch.target

    one, again, other = draw(4), draw(4), draw(5)
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


def test_batches_stay_pictures_and_masks(folders: tuple[Path, Path]) -> None:
    store = hull_store(folders[0])
    for seed in range(12):
        batch = draw_mask_batch(store, [0, 1, 2, 3], torch.Generator().manual_seed(seed))
        image, mask = batch.image, batch.target
        assert image.shape == (4, 3, SIDE, SIDE) and mask.shape == (4, 1, SIDE, SIDE)
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
        assert ((mask == 0) | (mask == 1)).all()
        whole = store.planes[:4, 3].float().mean((1, 2)) / 255
        assert ((mask.mean((1, 2, 3)) / whole - 1).abs() < 0.4).all()


def test_the_mask_moves_with_its_picture() -> None:
    """Where colours are left in peace inside the mask, a white disc keeps to its label."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.hypot(x - 40, y - 25) < 14
    planes = np.zeros((1, 4, SIDE, SIDE), np.uint8)
    planes[0, :, inside] = 255
    store = MaskStore(torch.from_numpy(planes), ("disc",), CPU, "masks")
    overlaps = []
    for seed in range(16):
        batch = draw_mask_batch(store, [0], torch.Generator().manual_seed(seed))
        image, mask = batch.image, batch.target
        bright = image.mean(1, keepdim=True)
        level = (bright.amax() + bright.amin()) / 2
        found = bright > level
        overlaps.append(float((found & (mask > 0)).sum() / (found | (mask > 0)).sum()))
    # Some pictures are flared or shifted beyond this crude measure; most are not.
    assert np.median(overlaps) > 0.9


def test_a_single_sample_is_its_own_ground(folders: tuple[Path, Path]) -> None:
    label(folders[0], 1, seg_ie_polys=(disc((64, 64), 40),))
    store = load(folders)
    for seed in range(4):
        batch = draw_mask_batch(store, [0, 0], torch.Generator().manual_seed(seed))
        assert batch.image.isfinite().all()


def test_dice_ranges() -> None:
    dice = Dice(4000, torch.Generator().manual_seed(1))
    whole = dice.whole(1, 5)
    assert sorted(set(whole.tolist())) == [1, 2, 3, 4, 5]
    assert float(dice.chance(0.25).float().mean()) == pytest.approx(0.25, abs=0.03)
    uniform = dice.uniform(-0.5, 0.5)
    assert uniform.min() >= -0.5 and uniform.max() < 0.5 and abs(float(uniform.mean())) < 0.03


def test_preview_faces_are_spread_over_the_folder(folders: tuple[Path, Path]) -> None:
    faces = load_spread(folders[0], 2, size_px=SIDE, face_type="full_face", device=CPU)
    paths = Faceset(folders[0], use_index=False).paths
    assert faces.shape == (2, 3, SIDE, SIDE)
    for face, path in zip(faces, (paths[1], paths[3]), strict=True):
        image, _ = read_face(path)
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.abs(face.permute(1, 2, 0).numpy() * 255 - small).max() < 1e-3
    nowhere = load_spread(folders[0] / "no", 2, size_px=SIDE, face_type="full_face", device=CPU)
    assert nowhere.shape == (0, 3, SIDE, SIDE)
