"""Expressions against photos whose expression the eye knows, and the network against LiteRT."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.detect import open_finder
from faceloom.detect.networks.blendshapes import INPUT_POINTS, ExpressionReader
from faceloom.geometry import BLENDSHAPES

ASTRONAUT_MESH = Path(__file__).parents[2] / "helpers" / "mesh_astronaut.npy"
SMILE = (BLENDSHAPES.index("mouthSmileLeft"), BLENDSHAPES.index("mouthSmileRight"))


@pytest.fixture(scope="module")
def reader(need_weights) -> ExpressionReader:
    (path,) = need_weights("face-landmarker")
    return ExpressionReader(path)


@pytest.fixture(scope="module")
def faces(media, need_weights):
    """Name of a photo or `clip@frame` → (picture, 68 points)."""
    need_weights("yunet", "face-landmarker")
    finder = open_finder()

    def find(name: str):
        clip, _, number = name.partition("@")
        if number:
            capture = cv2.VideoCapture(str(media / "videos" / clip))
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(number))
            read, picture = capture.read()
            assert read
        else:
            picture = cv2.imread(str(media / "photos" / clip))
        image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        found = max(finder.find(image), key=lambda face: face.rect[2] - face.rect[0])
        return image, found.landmarks

    return find


def test_there_are_52_names_and_146_points() -> None:
    assert len(set(BLENDSHAPES)) == 52
    assert len(np.unique(INPUT_POINTS)) == 146 and INPUT_POINTS.max() == 477


def test_the_network_answers_as_in_litert(reader, need_weights) -> None:
    """LiteRT is the runtime that the network was made for; OpenCV is the one we use."""
    interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    (path,) = need_weights("face-landmarker")
    content = zipfile.ZipFile(path).read("face_blendshapes.tflite")
    interpreter = interpreter_of(model_content=content)
    interpreter.allocate_tensors()
    mesh = np.load(ASTRONAUT_MESH).astype(np.float32)
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], mesh[None, INPUT_POINTS, :2]
    )
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(reader.coefficients(mesh), expected, atol=1e-4)


def test_place_and_size_of_the_face_do_not_matter(reader) -> None:
    mesh = np.load(ASTRONAUT_MESH).astype(np.float32)
    moved = reader.coefficients(mesh * 2 + 300)
    np.testing.assert_allclose(moved, reader.coefficients(mesh), atol=0.02)


@pytest.mark.media
@pytest.mark.parametrize("person", ["woman_east_asian_28", "man_white_bald_48"])
def test_the_same_person_smiles_in_the_smiling_photo(reader, faces, person: str) -> None:
    neutral = reader.read(*faces(f"{person}.jpg")).coefficients[list(SMILE)]
    smiling = reader.read(*faces(f"{person}_smiling.jpg")).coefficients[list(SMILE)]
    assert neutral.max() < 0.35
    assert smiling.min() > 0.5


@pytest.mark.media
def test_a_mirrored_face_has_its_sides_swapped(reader, faces) -> None:
    image, points = faces("woman_glasses_street.jpg")
    from faceloom.geometry import mirror_landmarks

    plain = reader.read(image, points)
    flipped = np.ascontiguousarray(image[:, ::-1])
    mirrored = reader.read(flipped, mirror_landmarks(points, image.shape[1]))
    assert mirrored.gaze_deg[0] == pytest.approx(-plain.gaze_deg[0], abs=5)
    assert mirrored.gaze_deg[1] == pytest.approx(plain.gaze_deg[1], abs=5)
    swapped = [
        BLENDSHAPES.index(name.replace("Left", "~").replace("Right", "Left").replace("~", "Right"))
        for name in BLENDSHAPES
    ]
    difference = np.abs(mirrored.coefficients[swapped] - plain.coefficients)
    assert difference.mean() < 0.05


@pytest.mark.media
def test_open_mouths_and_shut_eyes_stand_out(reader, faces) -> None:
    """Frames that were chosen by eye."""
    shut = reader.read(*faces("man_kitchen_talking_portrait.mp4@113"))
    awake = reader.read(*faces("man_sofa_gesturing_portrait.mp4@427"))
    closed = reader.read(*faces("woman_webcam_reading.mp4@60"))
    assert shut.eyes_closed > 0.6 > 0.3 > awake.eyes_closed
    assert awake.mouth_open > 0.3 > 0.1 > closed.mouth_open


@pytest.mark.media
def test_where_there_is_no_face_nothing_is_known(reader, media) -> None:
    picture = cv2.imread(str(media / "noface" / "brick_texture.png"))
    points = np.load(ASTRONAUT_MESH)[:68, :2]
    found = reader.read(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), points)
    assert found.presence < 0
    assert np.isnan(found.coefficients).all() and np.isnan(found.mouth_open)


def test_other_points_are_refused(reader) -> None:
    with pytest.raises(InputError, match="68"):
        reader.read(np.zeros((64, 64, 3), np.uint8), np.zeros((5, 2)))
