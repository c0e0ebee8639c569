"""Sharpness by frequency: what spoils a face lowers it, crop, size, noise and JPEG do not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceloom.curate.measures.aligned import luma
from faceloom.curate.measures.spectral import spectral_sharpness
from faceloom.detect import mesh_to_68
from faceloom.geometry import mirror_landmarks
from measured_faces import MESH, as_jpeg, crop, portraits

NAMES = ("man_black_27.jpg", "woman_white_54.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def faces(media, need_weights):
    need_weights("yunet", "face-landmarker")
    found = portraits(media, NAMES)
    return [crop(*found[name], "whole_face", 256) for name in NAMES]


def sharpness(image: np.ndarray, landmarks: np.ndarray, scale: float) -> float:
    return spectral_sharpness(luma(image), landmarks, pixels_per_source_px=scale)


def smeared(image: np.ndarray, length_px: int, *, upright: bool) -> np.ndarray:
    kernel = np.zeros((length_px, length_px))
    kernel[:, length_px // 2] = 1 / length_px
    return cv2.filter2D(image, -1, kernel if upright else kernel.T)


def shrunk_and_back(image: np.ndarray, factor: float) -> np.ndarray:
    small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


@pytest.mark.media
def test_every_kind_of_blur_lowers_it_the_more_the_stronger(faces) -> None:
    for image, landmarks, scale in faces:
        series = {
            "defocus": [cv2.GaussianBlur(image, (0, 0), s) for s in (0.7, 1.2, 2, 3)],
            "enlarged": [shrunk_and_back(image, f) for f in (1.5, 2, 3, 4)],
            "panned": [smeared(image, n, upright=False) for n in (3, 5, 9)],
            "shaken": [smeared(image, n, upright=True) for n in (3, 5, 9)],
        }
        for kind, pictures in series.items():
            values = [sharpness(p, landmarks, scale) for p in (image, *pictures)]
            assert values == sorted(values, reverse=True), (kind, values)
            assert values[-1] < 0.4 * values[0], (kind, values)


@pytest.mark.media
def test_noise_and_jpeg_hardly_change_it(faces) -> None:
    rng = np.random.default_rng(0)
    for image, landmarks, scale in faces:
        sharp = sharpness(image, landmarks, scale)
        noise = rng.normal(0, 5, image.shape)
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        assert sharpness(noisy, landmarks, scale) == pytest.approx(sharp, rel=0.2)
        assert sharpness(as_jpeg(image, 50), landmarks, scale) == pytest.approx(sharp, rel=0.2)
        soft = cv2.GaussianBlur(image, (0, 0), 2)
        noisy = np.clip(soft + noise, 0, 255).astype(np.uint8)
        assert sharpness(noisy, landmarks, scale) < 0.3 * sharp, "noise passes for no detail"


@pytest.mark.media
def test_it_is_the_same_in_other_crops_sizes_and_the_mirror(media, need_weights) -> None:
    need_weights("yunet", "face-landmarker")
    for image, landmarks in portraits(media, (*NAMES[2:], "grace_hopper.jpg")).values():
        whole = sharpness(*crop(image, landmarks, "whole_face", 384))
        full = sharpness(*crop(image, landmarks, "full_face", 288))
        huge = sharpness(*crop(image, landmarks, "whole_face", 640))
        assert full == pytest.approx(whole, rel=0.25)
        assert huge == pytest.approx(whole, rel=0.35), "enlarging adds no detail and takes none"
        face, points, scale = crop(image, landmarks, "whole_face", 384)
        mirrored = np.ascontiguousarray(face[:, ::-1])
        other = sharpness(mirrored, mirror_landmarks(points, 384), scale)
        assert other == pytest.approx(whole, rel=0.05)


@pytest.mark.media
def test_a_smaller_face_of_equal_focus_is_less_sharp(media, need_weights) -> None:
    """Enlarged in its picture or not: what counts is the size that it had in the frame."""
    need_weights("yunet", "face-landmarker")
    ((image, landmarks),) = portraits(media, ("man_black_27.jpg",)).values()
    values = []
    for factor in (5, 10, 20):
        small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        points = ((landmarks + 0.5) / factor - 0.5).astype(np.float32)
        values.append(sharpness(*crop(small, points, "whole_face", 256)))
        other = sharpness(*crop(small, points, "full_face", 384))
        assert other == pytest.approx(values[-1], rel=0.3), factor
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.5 * values[0]


def test_one_colour_holds_no_detail() -> None:
    points = mesh_to_68(np.load(MESH).astype(np.float32))
    flat = np.full((512, 512), 120, np.uint8)
    assert spectral_sharpness(flat, points) == pytest.approx(0, abs=1e-3)
