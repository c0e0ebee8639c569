"""Identity: the same person is near, others are far, and alignment is what ArcFace's is."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.detect import open_finder
from faceloom.identify import (
    SAME_PERSON,
    Identifier,
    align_face,
    five_points,
    mean_embedding,
    similarity,
)
from faceloom.media import read_image

PEOPLE = {
    "bald": ["man_white_bald_48.jpg", "man_white_bald_48_smiling.jpg"],
    "woman": ["woman_east_asian_28.jpg", "woman_east_asian_28_smiling.jpg"],
    "lisa": ["woman_dim_close.jpg", "woman_dim_tilted.jpg"],
    "astronaut": ["astronaut.png"],
    "hopper": ["grace_hopper.jpg"],
}


@pytest.fixture(scope="module")
def portraits(media: Path, need_weights):
    """Person → pictures with their landmarks."""
    need_weights("yunet", "face-landmarker", "sface")
    finder = open_finder()
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for person, names in PEOPLE.items():
        images = [read_image(media / "photos" / name)[0] for name in names]
        found[person] = [(image, finder.find(image)[0].landmarks) for image in images]
    return found


def test_people_are_told_apart(portraits) -> None:
    identifier = Identifier()
    vectors = {
        person: [identifier.embed(image, points) for image, points in pictures]
        for person, pictures in portraits.items()
    }
    for pictures in vectors.values():
        for vector in pictures:
            assert vector.shape == (128,) and vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        for a, b in combinations(pictures, 2):
            assert similarity(a, b) > SAME_PERSON + 0.3
    for one, other in combinations(vectors, 2):
        assert similarity(vectors[one][0], vectors[other][0]) < SAME_PERSON


def test_the_network_agrees_with_opencvs(portraits, need_weights) -> None:
    (path,) = need_weights("sface")
    recognizer = cv2.FaceRecognizerSF.create(str(path), "")
    image, points = portraits["astronaut"][0]
    face = align_face(image, points)
    theirs = recognizer.feature(cv2.cvtColor(face, cv2.COLOR_RGB2BGR)).ravel()
    assert similarity(Identifier().embed_aligned(face), theirs) > 0.9999


def test_a_turned_or_stretched_picture_gives_the_same_vector(portraits) -> None:
    identifier = Identifier()
    image, points = portraits["hopper"][0]
    vector = identifier.embed(image, points)
    turned = np.ascontiguousarray(np.rot90(image))
    moved = np.stack([points[:, 1], image.shape[1] - 1 - points[:, 0]], axis=1)
    assert similarity(vector, identifier.embed(turned, moved)) > 0.99
    wide = cv2.resize(image, (image.shape[1] * 2, image.shape[0]), interpolation=cv2.INTER_CUBIC)
    stretched = points * [2, 1] + [0.5, 0]
    squeezed = identifier.embed(wide, stretched, pixel_aspect=0.5)
    assert similarity(vector, squeezed) > 0.98


def test_five_points_of_68() -> None:
    points = np.zeros((68, 2))
    points[36:42] = [[0, 0], [2, 0], [4, 0], [0, 6], [2, 6], [4, 6]]
    points[30], points[48], points[54] = (9, 9), (1, 2), (3, 4)
    assert five_points(points).tolist() == [[2, 3], [0, 0], [9, 9], [1, 2], [3, 4]]
    assert five_points(points[:5]).shape == (5, 2)
    with pytest.raises(InputError):
        five_points(points[:7])


def test_mean_and_similarity() -> None:
    a, b = np.eye(128, dtype=np.float32)[:2]
    mean = mean_embedding([a, b])
    assert np.linalg.norm(mean) == pytest.approx(1)
    assert similarity(mean, a) == pytest.approx(np.sqrt(0.5))
    assert similarity(a, -a) == pytest.approx(-1)
    with pytest.raises(InputError):
        mean_embedding([])
