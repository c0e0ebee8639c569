"""The mirror permutation, the parts and the point tables."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.geometry import (
    MIRROR,
    MODEL_POINTS_3D,
    PARTS,
    TEMPLATE_POINTS,
    mirror_landmarks,
)


def test_mirror_is_its_own_inverse_and_keeps_the_middle():
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    middle = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [i for i in range(68) if MIRROR[i] == i] == middle


def test_mirrored_template_is_the_template():
    # A mean face is symmetric: only a right permutation brings each point near its partner.
    full = np.concatenate([MODEL_POINTS_3D[:17, :2] / 140 + 0.5, TEMPLATE_POINTS])
    flipped = full[MIRROR] * (-1, 1)
    off = np.abs(flipped - full - (flipped - full).mean(0))
    assert off.max() < 0.08


def test_mirror_landmarks_moves_pixels_as_an_image_flip_does():
    points = np.random.default_rng(1).integers(0, 64, (68, 2)).astype(np.float32)
    flipped = mirror_landmarks(points, 64)
    assert flipped.dtype == np.float32
    for i in (0, 20, 36, 48, 66):
        picture = np.zeros((64, 64))
        picture[int(points[i, 1]), int(points[i, 0])] = 1
        x, y = flipped[MIRROR[i]]
        assert picture[:, ::-1][int(y), int(x)] == 1


def test_parts_cover_every_point_once():
    covered = [i for part, _ in PARTS.values() for i in range(68)[part]]
    assert covered == list(range(68))


def test_tables_cannot_be_changed_by_accident():
    for table in (MIRROR, MODEL_POINTS_3D, TEMPLATE_POINTS):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0
