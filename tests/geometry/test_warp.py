"""Warps: where pixels land, what borders hold, and that antialiasing keeps the geometry."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.transform import AffineTransform, warp

from faceloom.geometry import frame_to_face, transform_points, warp_to_face, warp_to_frame
from geometry_inputs import INPUT_A


def smooth_frame(h: int, w: int, wave_px: float = 90) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    return (0.5 + 0.4 * np.sin(x / wave_px) * np.cos(y / wave_px)).astype(np.float32)


def test_crop_agrees_with_scikit_image():
    frame = smooth_frame(800, 1000)
    matrix = frame_to_face(INPUT_A, 256, "whole_face")
    transform = AffineTransform(np.vstack([matrix, [0, 0, 1]]))
    oracle = warp(frame, transform.inverse, output_shape=(256, 256), order=3)
    ours = warp_to_face(frame, matrix, 256, interpolation="cubic")
    assert ours == pytest.approx(oracle, abs=2e-3)


@pytest.mark.parametrize("shrink", [0.9, 2.5, 4.2])
def test_antialias_keeps_every_pixel_in_place(shrink: float):
    points = (INPUT_A - 100) * shrink
    frame = smooth_frame(int(800 * shrink), int(1000 * shrink), 90 * shrink)
    matrix = frame_to_face(points, 300, "full_face")
    plain = warp_to_face(frame, matrix, 300)
    assert warp_to_face(frame, matrix, 300, antialias=True) == pytest.approx(plain, abs=4e-3)


def test_antialias_averages_fine_texture():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (2400, 3000, 3)).astype(np.uint8)
    matrix = frame_to_face(INPUT_A * 3, 128, "half_face")
    plain = warp_to_face(frame, matrix, 128, interpolation="linear")
    soft = warp_to_face(frame, matrix, 128, interpolation="linear", antialias=True)
    assert soft.std() < plain.std() / 3
    assert soft.mean() == pytest.approx(plain.mean(), abs=2)


def test_antialias_of_a_face_outside_the_frame_is_black():
    frame = np.full((200, 200, 3), 255, np.uint8)
    matrix = frame_to_face(INPUT_A * 8 + 9000, 64, "whole_face")
    assert warp_to_face(frame, matrix, 64, antialias=True).max() == 0


def test_borders():
    frame = np.full((400, 400, 3), 200, np.uint8)
    matrix = frame_to_face(INPUT_A - (500, 400), 128, "whole_face")
    assert warp_to_face(frame, matrix, 128)[0, 0].tolist() == [0, 0, 0]
    for border in ("replicate", "reflect"):
        assert (warp_to_face(frame, matrix, 128, border=border) == 200).all()


def test_there_and_back():
    frame = smooth_frame(800, 1000)
    matrix = frame_to_face(INPUT_A, 512, "whole_face")
    back = warp_to_frame(warp_to_face(frame, matrix, 512), matrix, (800, 1000))
    inside = transform_points([[256.0, 256.0]], np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2])
    x, y = inside[0].astype(int)
    assert back.shape == (800, 1000)
    region = np.s_[y - 100 : y + 100, x - 100 : x + 100]
    assert back[region] == pytest.approx(frame[region], abs=2e-3)


def test_nearest_keeps_label_values():
    labels = (cv2.getGaussianKernel(300, 60) @ cv2.getGaussianKernel(300, 60).T > 1e-5) * 7
    matrix = np.array([[0.7, 0.1, 3], [-0.1, 0.7, 20]])
    assert set(
        np.unique(warp_to_face(labels.astype(np.uint8), matrix, 200, interpolation="nearest"))
    ) <= {0, 7}
