"""The hash stays with a face through what files go through, and parts people."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.curate.measures import perceptual_hash
from measured_faces import as_jpeg, crop, portraits

NAMES = (
    "man_black_27.jpg",
    "woman_white_54.jpg",
    "astronaut.png",
    "grace_hopper.jpg",
    "man_east_asian_47.jpg",
    "woman_brown_skin_40.jpg",
)


@pytest.fixture(scope="module")
def faces(media, need_weights):
    need_weights("yunet", "face-landmarker")
    found = portraits(media, NAMES)
    return {name: crop(*found[name], "whole_face", 256)[:2] for name in NAMES} | {
        f"{name} full": crop(*found[name], "full_face", 192)[:2] for name in NAMES
    }


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many of 64 bits differ."""
    return np.unpackbits(a ^ b, axis=-1).sum(-1)


@pytest.mark.media
def test_what_files_go_through_hardly_changes_it(faces) -> None:
    for image, landmarks in faces.values():
        first = perceptual_hash(image, landmarks)
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        others = {
            "jpeg": perceptual_hash(as_jpeg(image, 40), landmarks),
            "darker": perceptual_hash((image * 0.7).astype(np.uint8), landmarks),
            "brighter": perceptual_hash((image * 0.8 + 40).astype(np.uint8), landmarks),
            "half": perceptual_hash(half, (landmarks + 0.5) / 2 - 0.5),
        }
        for what, other in others.items():
            assert hamming(first, other) <= 5, what


@pytest.mark.media
def test_another_crop_of_the_same_face_has_nearly_the_same(faces) -> None:
    for name in NAMES:
        a, b = (perceptual_hash(*faces[key]) for key in (name, f"{name} full"))
        assert hamming(a, b) <= 6, name


@pytest.mark.media
def test_other_people_are_far_off(faces) -> None:
    hashes = np.stack([perceptual_hash(*faces[name]) for name in NAMES])
    apart = hamming(hashes[:, None], hashes[None])[np.triu_indices(len(NAMES), 1)]
    assert apart.min() >= 14 and np.median(apart) >= 22


def test_points_without_an_alignment_are_refused() -> None:
    with pytest.raises(InputError):
        perceptual_hash(np.zeros((64, 64, 3), np.uint8), np.zeros((68, 2)))
