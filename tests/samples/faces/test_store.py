"""Loading facesets: what lands in the store is what the face shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.faces import encode_mask, read_face, update_record
from faceloom.geometry import frame_to_face, hull_mask, transform_points
from faceloom.samples import AugmentSettings, draw_batch, load_samples, plain_batch, prepare_sample
from synthetic_faces import face_picture, landmarks68, synthetic_record, write_faceset

CPU = torch.device("cpu")


def test_store_holds_each_face_once_in_name_order(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 7, size=96)
    store = load_samples(folder, size_px=96, face_type="full_face", device=CPU, threads=3)
    assert store.names == tuple(f"{i:05d}_0.png" for i in range(1, 8))
    assert store.planes.shape == (7, 5, 96, 96)
    assert store.planes.dtype == torch.uint8
    image, record = read_face(folder / "00003_0.png")
    assert np.array_equal(store.planes[:, :3][2].permute(1, 2, 0).numpy(), image)
    mask = hull_mask(record.landmarks, (96, 96), record.eyebrows_expand_mod)
    assert np.abs(store.planes[:, 3:4][2, 0].numpy() / 255 - mask).mean() < 0.02
    assert np.all(np.diff(store.yaw_rad) > 0) or np.all(np.diff(store.yaw_rad) < 0)
    outside = store.planes[:, 3:4][:, 0] == 0
    assert int(store.planes[:, 4:5][:, 0][outside].max()) == 0
    assert int(store.planes[:, 4:5].max()) > 200


def test_larger_type_is_cut_by_its_landmarks(tmp_path: Path) -> None:
    """A whole face in a full-face model looks as if it had been extracted as a full face."""
    whole = write_faceset(tmp_path / "wf", 3, size=320, face_type="whole_face")
    full = write_faceset(tmp_path / "f", 3, size=320, face_type="full_face")
    stores = [load_samples(f, size_px=96, face_type="full_face", device=CPU) for f in (whole, full)]
    a, b = (s.planes.float() / 255 for s in stores)
    # Cutting maps corners to corners, resizing pixel areas to pixel areas: 0.35 px apart.
    assert float((a[:, :3] - b[:, :3]).abs().mean()) < 0.02
    assert float((a[:, 3] - b[:, 3]).abs().mean()) < 0.02
    assert float((a[:, 4] - b[:, 4]).abs().mean()) < 0.01


def test_smaller_type_is_refused_and_listed(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 2)
    with pytest.raises(InputError, match=r"2 of 2 faces show less.*00001_0\.png"):
        load_samples(folder, size_px=64, face_type="whole_face", device=CPU)


def test_applied_mask_wins_over_the_hull(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 1)
    _, record = read_face(folder / "00001_0.png")
    grey = np.zeros((256, 256), np.float32)
    grey[64:192, 64:192] = 0.5
    changed = synthetic_record(record.landmarks, "1.png", xseg_mask=encode_mask(grey))
    update_record(folder / "00001_0.png", changed)
    store = load_samples(folder, size_px=64, face_type="full_face", device=CPU)
    expected = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(store.planes[:, 3:4][0, 0].numpy() / 255 - expected).max() < 0.04


def test_cut_masks_end_where_the_picture_ends() -> None:
    """A face near its picture's border: nothing is known beyond, so the mask is zero there."""
    size = 128
    landmarks = landmarks68(size) - np.array([48.0, 0.0])
    image = face_picture(size, landmarks, hue=12, seed=1)
    record = synthetic_record(landmarks, "a.png", face_type="head")
    sample = prepare_sample(image, record, size_px=64, face_type="full_face")
    matrix = frame_to_face(landmarks, 64, "full_face")
    edge = transform_points([[0.0, 64.0]], matrix)[0, 0]
    assert 5 < edge < 40
    assert sample.planes[3, :, : int(edge) - 1].max() == 0
    assert sample.planes[3, :, int(edge) + 3 :].max() == 255


def test_damaged_faces_are_noted_and_left_out(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 3)
    broken = folder / "00002_0.png"
    _, record = read_face(broken)
    damaged = synthetic_record(record.landmarks, "2.png", xseg_mask=b"\x89PNG no picture")
    update_record(broken, damaged)
    notes = NullProgress()
    store = load_samples(folder, size_px=64, face_type="full_face", device=CPU, progress=notes)
    assert len(store) == 2
    assert "00002_0.png" in " ".join(notes.notes)


def test_empty_folder_and_cancel(tmp_path: Path) -> None:
    (tmp_path / "aligned").mkdir()
    with pytest.raises(InputError, match="extract"):
        load_samples(tmp_path / "aligned", size_px=64, face_type="full_face", device=CPU)
    folder = write_faceset(tmp_path / "some", 2)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        load_samples(folder, size_px=64, face_type="full_face", device=CPU, cancel=cancel)


def test_batches_come_from_the_store(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 3, size=96)
    store = load_samples(folder, size_px=96, face_type="full_face", device=CPU)
    plain = plain_batch(store, [1], resolution=96)
    torch.testing.assert_close(plain.target[0], store.planes[:, :3][1].float() / 255)
    still = AugmentSettings(rotation_deg=0, scale_range=0, shift=0)
    batch = draw_batch(store, [1, 1, 0], torch.Generator().manual_seed(1), still, resolution=96)
    assert batch.warped.shape == batch.target.shape == (3, 3, 96, 96)
    torch.testing.assert_close(batch.target[0], plain.target[0], atol=1e-4, rtol=0)
    assert float((batch.warped[0] - batch.warped[1]).abs().mean()) > 1e-3
    assert plain_batch(store, [0], resolution=48).target.shape == (1, 3, 48, 48)
