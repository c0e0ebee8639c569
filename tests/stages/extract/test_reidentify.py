"""Recognising people: across absences and cuts, never two under one number, and who is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, FormatError, InputError, NullProgress
from faceloom.faces import Faceset
from faceloom.identify import Identifier, person_from_embeddings, save_person
from faceloom.media import Frame, open_footage, write_image
from faceloom.stages.extract.frame import ExtractedFrame
from faceloom.stages.extract.reidentify import MOST_VECTORS, Gallery, Reidentifier
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.workspace.layout import create_workspace, set_footage
from fakes import face


class ByPlace:
    """An identifier that knows who stands where: the frame's pixel at the face says who it is."""

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, image: np.ndarray, landmarks: np.ndarray, *, pixel_aspect: float = 1.0):
        self.asked += 1
        x, y = np.asarray(landmarks).mean(axis=0).astype(int)
        who = int(image[y, x, 0])
        generator = np.random.default_rng(who)
        vector = generator.normal(0, 1, 128) + 0.4 * np.random.default_rng().normal(0, 1, 128)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


Item = tuple[ExtractedFrame, list[ExtractedFrame]]
"""A frame, and the frames ahead of it."""


def frames(rows: list[dict[int, tuple[int, float]]]) -> list[Item]:
    """For each frame: track → (person, x). People are painted where they stand."""
    items: list[ExtractedFrame] = []
    for index, row in enumerate(rows):
        image = np.zeros((120, 400, 3), np.uint8)
        faces = []
        for track, (person, x) in row.items():
            image[40:80, round(x) - 20 : round(x) + 20] = person
            faces.append(replace(face(x, 60, 40), track=track))
        frame = Frame(index, Fraction(index, 25), image, f"{index}.png")
        items.append(ExtractedFrame(frame, found=faces, faces=list(faces)))
    return [(item, items[at + 1 : at + 13]) for at, item in enumerate(items)]


def number(reidentifier: Reidentifier, items: list[Item]) -> list[ExtractedFrame]:
    numbered = []
    for item, ahead in items:
        numbered.append(replace(item))
        reidentifier.number(numbered[-1], ahead)
    return numbered


def numbers(items: list[ExtractedFrame]) -> list[list[int | None]]:
    return [[found.track for found in item.faces] for item in items]


def reidentifier(**settings) -> Reidentifier:
    return Reidentifier(ByPlace(), **settings)  # type: ignore[arg-type]


ANNA, BEN, CARA = 10, 20, 30


def test_who_comes_back_has_the_same_number() -> None:
    rows = [{0: (ANNA, 60)}] * 5 + [{}] * 20 + [{1: (BEN, 60)}] * 5 + [{2: (ANNA, 300)}] * 5
    numbered = number(reidentifier(), frames(rows))
    assert numbers(numbered) == [[0]] * 5 + [[]] * 20 + [[1]] * 5 + [[0]] * 5
    learned = [item for frame in numbered for item in frame.learned]
    assert [item.get("joined", False) for item in learned] == [False, False, True]


def test_twins_in_one_frame_keep_two_numbers() -> None:
    rows = (
        [{0: (ANNA, 60), 1: (ANNA, 200)}] * 6
        + [{}] * 20
        + [{2: (ANNA, 60)}, {2: (ANNA, 60), 3: (ANNA, 200)}]
    )
    for frame in numbers(number(reidentifier(), frames(rows))):
        assert len(set(frame)) == len(frame)


def test_a_track_that_comes_back_next_to_its_successor_gets_another_number() -> None:
    """Track 1 is taken for the lost track 0, which then is seen again."""
    rows = [{0: (ANNA, 60)}] * 4 + [{1: (ANNA, 200)}] * 14 + [{0: (ANNA, 60), 1: (ANNA, 200)}] * 3
    found = numbers(number(reidentifier(), frames(rows)))
    assert found[4] == [0]
    assert found[-1] == [0, 1]


def test_what_was_learned_decides_alike() -> None:
    rows = [{0: (ANNA, 60), 1: (BEN, 200)}] * 40 + [{}] * 20
    rows += [{2: (CARA, 60)}] * 10 + [{3: (BEN, 60), 4: (ANNA, 300)}] * 30
    items = frames(rows)
    whole = number(reidentifier(), items)
    for stop in (1, 40, 65, 75):
        learned = [item for frame in whole[:stop] for item in frame.learned]
        resumed = reidentifier(learned=json.loads(json.dumps(learned)))
        assert numbers(number(resumed, items[stop:])) == numbers(whole[stop:])
    assert numbers(whole)[-1] == [1, 0]


def test_few_faces_of_a_track_are_embedded() -> None:
    identifier = ByPlace()
    number(Reidentifier(identifier, max_faces=1), frames([{0: (ANNA, 60)}] * 1000))  # type: ignore[arg-type]
    assert identifier.asked <= 3 + 3


def test_only_the_one_wanted_is_kept() -> None:
    anna = ByPlace().embed(np.full((120, 400, 3), ANNA, np.uint8), face(60, 60).landmarks)

    def wanted(vectors) -> bool:
        return float(np.mean([v @ anna for v in vectors])) > 0.5

    rows = [{0: (ANNA, 60), 1: (BEN, 200)}] * 5 + [{1: (BEN, 200)}] * 3
    numbered = number(reidentifier(wanted=wanted), frames(rows))
    assert numbers(numbered) == [[0]] * 5 + [[]] * 3
    assert sum(item.left_out for item in numbered) == 8


@pytest.mark.parametrize(
    "item", [{}, {"track": 0, "vectors": ["AAAA"]}, {"track": 0, "number": 0, "time": "1/0"}]
)
def test_a_damaged_journal_is_an_error(item) -> None:
    with pytest.raises(FormatError, match="--restart"):
        reidentifier(learned=[item])


# --- the gallery


def unit(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(0, 1, 128)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_similarity_is_the_mean_of_the_highest_cosines() -> None:
    rng = np.random.default_rng(7)
    gallery, slow = Gallery(), list[list[np.ndarray]]()
    for person in range(120):
        slow.append([unit(rng) for _ in range(int(rng.integers(0, 4)))])
        gallery.add(person, slow[-1])
    for _ in range(400):
        person = int(rng.integers(0, 120))
        slow[person].append(unit(rng))
        gallery.add(person, slow[person][-1:])
    gallery.add(3, [unit(rng) for _ in range(60)])
    assert len(gallery) == 120 and len(gallery.of(3)) == MOST_VECTORS
    for person in {*range(120)} - {3}:
        np.testing.assert_array_equal(gallery.of(person), slow[person][:MOST_VECTORS])
    slow[3] = gallery.of(3)
    asked = [unit(rng) for _ in range(3)]
    expected = [
        float(np.mean([max(float(a @ b) for b in known[:MOST_VECTORS]) for a in asked]))
        if known
        else -1.0
        for known in slow
    ]
    np.testing.assert_allclose(gallery.similarities(asked), expected, atol=1e-6)


def test_an_empty_gallery_is_similar_to_nothing() -> None:
    gallery = Gallery()
    assert gallery.similarities([]).shape == (0,) and gallery.of(0) == []
    gallery.add(0, [])
    assert gallery.similarities([np.ones(128, np.float32)]).tolist() == [-1]
    assert gallery.similarities([]).tolist() == [-1]
    with pytest.raises(ValueError, match="one after the other"):
        gallery.add(2, [])


# --- with real faces


def extract(folder: Path, footage: Path, **settings: object) -> ExtractResult:
    set_footage(create_workspace(folder), "dst", footage)
    values = {"workspace": folder, "side": "dst", "image_size": 96, **settings}
    return run(ExtractConfig.model_validate(values), progress=NullProgress(), cancel=Cancel())


@pytest.fixture
def grid(media: Path, tmp_path: Path, need_weights) -> Path:
    """Nine frames of the four-person call."""
    need_weights("yunet", "face-landmarker", "sface")
    folder = tmp_path / "grid"
    folder.mkdir()
    clip = open_footage(media / "videos" / "four_people_call_grid.mp4")
    for index in range(0, 160, 20):
        small = cv2.resize(clip.frame(index).image, (960, 540), interpolation=cv2.INTER_AREA)
        write_image(folder / f"{index:03d}.jpg", np.asarray(small, dtype=np.uint8))
    return folder


def corner(records) -> set[tuple[bool, bool]]:
    """In which quarter of the picture the faces are."""
    return {
        (r.source_landmarks[:, 0].mean() > 480, r.source_landmarks[:, 1].mean() > 270)
        for r in records
    }


@pytest.mark.parametrize("tracking", ["on", "off"])
def test_one_of_four_people_by_a_picture(grid: Path, media: Path, tmp_path: Path, tracking) -> None:
    reference = tmp_path / "her.jpg"
    frame = open_footage(media / "videos" / "woman_webcam_reading.mp4").frame(200)
    write_image(reference, frame.image)
    result = extract(tmp_path / "w", grid, who=str(reference), tracking=tracking)
    records = [record for _, record in Faceset(result.folder, use_index=False)]
    assert (result.faces, result.left_out) == (8, 24)
    assert len({r.source_filename for r in records}) == 8 and len(corner(records)) == 1


def test_one_of_four_people_by_name(grid: Path, media: Path, tmp_path: Path) -> None:
    from faceloom.detect import open_finder

    frame = open_footage(media / "videos" / "woman_webcam_reading.mp4").frame(100)
    (found,) = open_finder().find(np.asarray(frame.image))
    vector = Identifier().embed(np.asarray(frame.image), found.landmarks)
    save_person(tmp_path / "w" / "people", person_from_embeddings("anna", [vector]))
    result = extract(tmp_path / "w", grid, who="anna", tracking="on")
    assert (result.faces, result.left_out, result.tracks) == (8, 24, 4)
    with pytest.raises(InputError, match=r"no such person.*known people: anna"):
        extract(tmp_path / "w", grid, who="berta", restart=True)


def test_a_person_is_known_again_behind_cuts(media: Path, tmp_path: Path, need_weights) -> None:
    """Woman, nobody, man, woman: two persons."""
    need_weights("yunet", "face-landmarker", "sface")
    folder = tmp_path / "frames"
    folder.mkdir()
    clip = open_footage(media / "awkward" / "cuts_face_noface_other_face.mp4")
    order = [*range(4), *range(60, 63), *range(110, 114), *range(40, 44)]
    for number, index in enumerate(order):
        write_image(folder / f"{number:03d}.jpg", clip.frame(index).image)
    result = extract(tmp_path / "w", folder, tracking="on")
    tracks = {}
    for _, record in Faceset(result.folder, use_index=False):
        assert record.own is not None
        tracks[int(record.source_stem)] = record.own.track
    assert tracks == {
        **dict.fromkeys(range(4), 0),
        **dict.fromkeys(range(7, 11), 1),
        **dict.fromkeys(range(11, 15), 0),
    }
    assert (result.tracks, result.joined) == (2, 1)
    off = extract(tmp_path / "off", folder, tracking="on", join=False)
    assert {r.own.track for _, r in Faceset(off.folder) if r.own} == {0, 1, 2}
