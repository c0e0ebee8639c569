"""Light on a scanned head whose light is known, and on mirrored portraits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceloom.curate.measures.light import LightReader
from faceloom.geometry import mirror_landmarks
from measured_faces import crop, lit_head, portraits


@pytest.fixture(scope="module")
def reader() -> LightReader:
    return LightReader()


@pytest.mark.parametrize(
    "towards",
    [
        (1, 0, 0.6), (-1, 0, 0.6), (0, -1, 0.6), (0, 1, 0.6), (0.7, -0.7, 0.6), (-0.7, -0.7, 0.8),
    ],
)  # fmt: skip
def test_a_lit_head_gives_its_light_away(reader: LightReader, towards) -> None:
    found = reader.read(*lit_head(towards))
    side = np.array(towards[:2]) / np.hypot(*towards[:2])
    cosine = float(found[:2] @ side / np.linalg.norm(found[:2]))
    assert cosine > np.cos(np.radians(30)), found
    assert 0.2 < np.linalg.norm(found) <= 1


def test_the_length_falls_as_the_light_becomes_even(reader: LightReader) -> None:
    lengths = [
        np.hypot(*reader.read(*lit_head((1, -0.3, 0.5), ambient=ambient))[:2])
        for ambient in (0.1, 0.4, 0.8, 1.0)
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 0.03 < 0.3 < lengths[0]


def test_the_faces_colour_and_the_exposure_do_not_matter(reader: LightReader) -> None:
    image, points = lit_head((0.8, -0.5, 0.6))
    dark = np.rint(255 * (image / 255.0) * 0.5).astype(np.uint8)
    np.testing.assert_allclose(reader.read(dark, points), reader.read(image, points), atol=0.05)


def test_where_the_frame_ends_is_no_shadow(reader: LightReader) -> None:
    image, points = lit_head((1, -0.3, 0.5), ambient=1.0)
    whole = reader.read(image, points)
    cut = image.copy()
    cut[:, int(points[45, 0]) :] = 0
    np.testing.assert_allclose(reader.read(cut, points)[:2], whole[:2], atol=0.04)


@pytest.mark.media
def test_a_mirror_turns_x_over(reader: LightReader, media, need_weights) -> None:
    need_weights("yunet", "face-landmarker")
    names = ("woman_dim_close.jpg", "grace_hopper.jpg", "man_black_27.jpg", "man_black_sofa.jpg")
    for image, landmarks in portraits(media, names).values():
        face, points, _ = crop(image, landmarks, "whole_face", 256)
        plain = reader.read(face, points)
        flipped = np.ascontiguousarray(face[:, ::-1])
        mirrored = reader.read(flipped, mirror_landmarks(points, 256))
        np.testing.assert_allclose(mirrored * (-1, 1, 1), plain, atol=0.06)


@pytest.mark.media
def test_shading_painted_on_a_portrait_is_seen(reader: LightReader, media, need_weights) -> None:
    """A side of the face darkened by a smooth ramp: the light moves to the other side."""
    need_weights("yunet", "face-landmarker")
    (image, landmarks), = portraits(media, ("man_east_asian_47.jpg",)).values()  # fmt: skip
    face, points, _ = crop(image, landmarks, "whole_face", 256)
    before = reader.read(face, points)
    for ramp, sign in ((np.linspace(0.3, 1, 256), 1), (np.linspace(1, 0.3, 256), -1)):
        lit = (face * ramp[None, :, None]).astype(np.uint8)
        assert sign * (reader.read(lit, points)[0] - before[0]) > 0.15
    upper = (face * np.linspace(1, 0.3, 256)[:, None, None]).astype(np.uint8)
    assert reader.read(upper, points)[1] < before[1] - 0.1


def test_too_little_skin_gives_no_direction(reader: LightReader) -> None:
    image, points = lit_head((1, 0, 1))
    assert not reader.read(np.zeros_like(image), points).any()
    away = points + np.float32(10_000)
    assert not reader.read(cv2.resize(image, (32, 32)), away).any()
