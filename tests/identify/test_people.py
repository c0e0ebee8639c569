"""People: their rule against a plain loop, their files through damage, and real faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceloom.core import FormatError, InputError
from faceloom.identify import (
    BLANK_LIMIT,
    Identifier,
    Person,
    blank_direction,
    blankness,
    check_name,
    default_threshold,
    forget_person,
    load_people,
    load_person,
    person_from_embeddings,
    save_person,
)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def _around(centre: np.ndarray, count: int, spread: float, seed: int) -> np.ndarray:
    """Vectors about a centre, away from the direction of blank ones."""
    noise = _unit(np.random.default_rng(seed).normal(size=(count, 128)))
    blank = blank_direction()
    noise -= (noise @ blank)[:, None] * blank
    return _unit(centre + spread * noise)


@pytest.fixture
def anna() -> Person:
    return person_from_embeddings("anna", _around(_centre(1), 200, 0.6, 2), made_from="a clip")


def _centre(seed: int) -> np.ndarray:
    return _around(np.zeros(128), 1, 1.0, seed)[0]


def test_similarity_is_the_mean_or_three_nearest_exemplars(anna: Person) -> None:
    queries = np.concatenate([_around(_centre(1), 5, 1.0, 3), _around(_centre(9), 5, 0.2, 4)])
    for query, got in zip(queries, anna.similarities(queries), strict=True):
        near = sorted((float(query @ exemplar) for exemplar in anna.exemplars), reverse=True)
        assert got == pytest.approx(max(float(query @ anna.mean), sum(near[:3]) / 3), abs=1e-5)
    near = anna.similarities(queries) >= anna.threshold
    assert near[:5].all() and not near[5:].any()


def test_exemplars_are_spread_and_strangers_are_left_out() -> None:
    own, stranger = _around(_centre(1), 100, 0.6, 2), _around(_centre(5), 1, 0.1, 6)
    person = person_from_embeddings("anna", np.concatenate([own, stranger]))
    assert person.count == 100
    assert len(person.exemplars) == 32
    assert not (person.exemplars @ stranger[0] > 0.9).any()
    among = person.exemplars @ person.exemplars.T
    drawn = own[:32] @ own[:32].T
    off = ~np.eye(32, dtype=bool)
    assert among[off].max() < drawn[off].max() and among[off].mean() < drawn[off].mean()


def test_blank_vectors_and_missing_ones_are_left_out() -> None:
    blank = _unit(_around(_centre(1), 3, 0.1, 2) + 2 * blank_direction())
    assert (blankness(blank) > BLANK_LIMIT).all()
    nothing = np.full((2, 128), np.nan, np.float32)
    own = _around(_centre(1), 4, 0.2, 3)
    assert person_from_embeddings("a", np.concatenate([blank, nothing, own])).count == 4
    assert person_from_embeddings("a", np.concatenate([blank, nothing])).count == 3
    with pytest.raises(InputError, match="no usable face"):
        person_from_embeddings("a", nothing)
    with pytest.raises(InputError, match=r"shape \(n, 128\)"):
        person_from_embeddings("a", own[:, :5])


def test_threshold_grows_with_what_is_known() -> None:
    steps = [default_threshold(count) for count in (1, 2, 4, 8, 1000)]
    assert steps == pytest.approx([0.36, 0.38, 0.40, 0.42, 0.42])
    one = person_from_embeddings("one", _centre(1)[None])
    assert one.threshold == 0.36 and one.exemplars.shape == (1, 128)
    assert person_from_embeddings("one", _centre(1)[None], threshold=0.5).threshold == 0.5


def test_one_of_two_people_is_matched_and_a_stranger_neither(anna: Person) -> None:
    ben = person_from_embeddings("ben", _around(_centre(7), 20, 0.5, 8))
    of_ben, stranger = _around(_centre(7), 1, 0.3, 10)[0], _centre(30)
    to_anna, to_ben = (person.similarities([of_ben, stranger]) for person in (anna, ben))
    assert to_ben[0] > 0.8 and to_anna[0] < anna.threshold
    assert to_anna[1] < anna.threshold and to_ben[1] < ben.threshold


def test_files_round_trip(tmp_path: Path, anna: Person) -> None:
    folder = tmp_path / "people"
    assert load_people(folder) == {}
    path = save_person(folder, anna)
    (again,) = load_people(folder).values()
    assert path == folder / "anna.json"
    for field in ("name", "count", "made_from", "threshold"):
        assert getattr(again, field) == getattr(anna, field)
    assert (again.mean == anna.mean).all() and (again.exemplars == anna.exemplars).all()
    forget_person(folder, "anna")
    assert load_people(folder) == {}
    with pytest.raises(InputError, match="known people: none"):
        forget_person(folder, "anna")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"mean": "AAAA"},
        {"mean": "no base64!"},
        {"mean": 7},
        {"exemplars": []},
        {"exemplars": ["AAAA"]},
        {"exemplars": "x"},
        {"count": -1},
        {"count": True},
        {"threshold": 2},
        {"threshold": None},
        {"made_from": ["x"]},
    ],
)
def test_damaged_files_are_one_line_errors(tmp_path: Path, anna: Person, change: dict) -> None:
    path = save_person(tmp_path, anna)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FormatError, match=r"anna\.json") as told:
        load_person(path)
    assert "\n" not in str(told.value)


def test_cut_huge_and_scaled_files(tmp_path: Path, anna: Person) -> None:
    path = save_person(tmp_path, anna)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 997):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError):
            load_person(path)
    path.write_bytes(b"[" * 200_000)
    with pytest.raises(FormatError):
        load_person(path)
    path.write_bytes(whole + b" " * (1 << 20))
    with pytest.raises(FormatError, match="too large"):
        load_person(path)
    with pytest.raises(InputError, match="no such person"):
        load_person(tmp_path / "ben.json")


def test_names() -> None:
    for name in ("anna", "Anna B.2", "женщина", "女人", "n2", "a-b_c", "oldman", "group"):
        assert check_name(name) == name
    bad = [
        "",
        "2",
        "a/b",
        "a\\b",
        "..",
        ".a",
        "-a",
        "a.",
        " a",
        "a,b",
        "a=b",
        "con",
        "NUL.x",
        "a\nb",
        "unsure",
        "group_3",
        "Trash",
        "old2",
        "debug",
    ]
    for name in [*bad, "x" * 65]:
        with pytest.raises(InputError):
            check_name(name)


def test_small_and_blurred_faces_are_blank(media: Path, need_weights) -> None:
    """Blur moves vectors of whoever it is towards the direction, most of them beyond the limit."""
    import cv2

    from faceloom.detect import open_finder
    from faceloom.identify import align_face
    from faceloom.media import read_image

    need_weights("yunet", "face-landmarker", "sface")
    finder, identifier = open_finder(), Identifier()
    above = 0
    for name in ("astronaut.png", "woman_white_54.jpg", "man_black_27.jpg", "woman_dim_close.jpg"):
        image, _ = read_image(media / "photos" / name)
        face = align_face(image, finder.find(image)[0].landmarks)
        tiny = cv2.resize(face, (8, 8), interpolation=cv2.INTER_AREA)
        tiny = cv2.resize(tiny, (112, 112), interpolation=cv2.INTER_CUBIC)
        soft = cv2.GaussianBlur(face, (0, 0), 7)
        values = blankness([identifier.embed_aligned(one) for one in (face, tiny, soft)])
        assert values[0] < 0.2 and min(values[1:]) > values[0] + 0.15
        above += int((values[1:] > BLANK_LIMIT).sum())
    assert above >= 5
