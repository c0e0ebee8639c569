"""Tracks by person: through absences and cuts, never two on one number, and who is kept."""

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
from faceloom.stages.extract.pipeline import Found
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.stages.extract.tracks import Named, TrackNamer
from faceloom.stages.extract.window import Settled
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


def frames(rows: list[dict[int, tuple[int, float]]]) -> list[Settled]:
    """Of each frame, track → (person, x); persons are painted where they stand."""
    found: list[Found] = []
    for index, row in enumerate(rows):
        image = np.zeros((120, 400, 3), np.uint8)
        faces = []
        for track, (person, x) in row.items():
            image[40:80, round(x) - 20 : round(x) + 20] = person
            faces.append(replace(face(x, 60, 40), track=track))
        found.append(Found(Frame(index, Fraction(index, 25), image, f"{index}.png"), faces, {}))
    return [
        Settled(item.frame, list(item.faces), {}, 0, found[at + 1 : at + 13])
        for at, item in enumerate(found)
    ]


def name(namer: TrackNamer, settled: list[Settled]) -> list[Named]:
    return [namer.name(item) for item in settled]


def numbers(named: list[Named]) -> list[list[int | None]]:
    return [[found.track for found in item.faces] for item in named]


def namer(**settings) -> TrackNamer:
    return TrackNamer(ByPlace(), **settings)  # type: ignore[arg-type]


ANNA, BEN, CARA = 10, 20, 30


def test_who_comes_back_has_the_same_number() -> None:
    rows = [{0: (ANNA, 60)}] * 5 + [{}] * 20 + [{1: (BEN, 60)}] * 5 + [{2: (ANNA, 300)}] * 5
    named = name(namer(), frames(rows))
    assert numbers(named) == [[0]] * 5 + [[]] * 20 + [[1]] * 5 + [[0]] * 5
    learned = [item for frame in named for item in frame.learned]
    assert [item.get("joined", False) for item in learned] == [False, False, True]


def test_twins_in_one_frame_keep_two_numbers() -> None:
    rows = (
        [{0: (ANNA, 60), 1: (ANNA, 200)}] * 6
        + [{}] * 20
        + [{2: (ANNA, 60)}, {2: (ANNA, 60), 3: (ANNA, 200)}]
    )
    for frame in numbers(name(namer(), frames(rows))):
        assert len(set(frame)) == len(frame)


def test_a_track_that_comes_back_beside_its_heir_gets_another_number() -> None:
    """Track 1 is taken for the lost track 0, which then is seen again."""
    rows = [{0: (ANNA, 60)}] * 4 + [{1: (ANNA, 200)}] * 14 + [{0: (ANNA, 60), 1: (ANNA, 200)}] * 3
    found = numbers(name(namer(), frames(rows)))
    assert found[4] == [0]
    assert found[-1] == [0, 1]


def test_what_was_learned_decides_alike() -> None:
    rows = [{0: (ANNA, 60), 1: (BEN, 200)}] * 40 + [{}] * 20
    rows += [{2: (CARA, 60)}] * 10 + [{3: (BEN, 60), 4: (ANNA, 300)}] * 30
    settled = frames(rows)
    whole = name(namer(), settled)
    for stop in (1, 40, 65, 75):
        learned = [item for frame in whole[:stop] for item in frame.learned]
        resumed = namer(learned=json.loads(json.dumps(learned)))
        assert numbers(name(resumed, settled[stop:])) == numbers(whole[stop:])
    assert numbers(whole)[-1] == [1, 0]


def test_few_faces_of_a_track_are_looked_at() -> None:
    identifier = ByPlace()
    name(TrackNamer(identifier, max_faces=1), frames([{0: (ANNA, 60)}] * 1000))  # type: ignore[arg-type]
    assert identifier.asked <= 3 + 3


def test_only_the_one_wanted_is_kept() -> None:
    anna = ByPlace().embed(np.full((120, 400, 3), ANNA, np.uint8), face(60, 60).landmarks)

    def wanted(vectors) -> bool:
        return float(np.mean([v @ anna for v in vectors])) > 0.5

    rows = [{0: (ANNA, 60), 1: (BEN, 200)}] * 5 + [{1: (BEN, 200)}] * 3
    named = name(namer(wanted=wanted), frames(rows))
    assert numbers(named) == [[0]] * 5 + [[]] * 3
    assert sum(item.left_out for item in named) == 8


@pytest.mark.parametrize(
    "item", [{}, {"track": 0, "vectors": ["AAAA"]}, {"track": 0, "number": 0, "time": "1/0"}]
)
def test_a_damaged_journal_is_told(item) -> None:
    with pytest.raises(FormatError, match="--restart"):
        namer(learned=[item])


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
    with pytest.raises(InputError, match=r"no such person; known: anna"):
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
