"""Grouping, naming, moving and freeing a real faceset of duplicates, from the footage on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceloom.core import Cancel, FormatError, InputError, NullProgress
from faceloom.curate.measures import identity_crop_px
from faceloom.detect import open_finder
from faceloom.faces import FaceRecord, encode_face, read_face
from faceloom.faces.moves.moves import undo_moves
from faceloom.geometry import ARCFACE_POINTS, frame_to_face, transform_points, warp_to_face
from faceloom.identify import load_people
from faceloom.media import open_footage, read_image
from faceloom.stages.curate import cluster, dedupe
from faceloom.stages.curate.config import ClusterConfig, DedupeConfig
from faceloom.stages.faceset import people
from faceloom.stages.faceset.config import (
    FacesetPeopleAddConfig,
    FacesetPeopleForgetConfig,
    FacesetPeopleListConfig,
)

CLIPS = {"turner": "man_webcam_turning.mp4", "kitchen": "man_kitchen_talking_portrait.mp4"}
PHOTOS = ("man_white_bald_48.jpg", "man_white_bald_48_smiling.jpg", "astronaut.png")
SIZE = 160


def _write(folder: Path, name: str, image: np.ndarray, finder) -> None:
    points = finder.find(image)[0].landmarks
    matrix = frame_to_face(points, SIZE, "whole_face")
    record = FaceRecord(
        face_type="whole_face",
        landmarks=transform_points(points, matrix).astype(np.float32),
        source_filename=f"{name}.png",
        source_rect=np.array([0, 0, 9, 9]),
        source_landmarks=points,
        image_to_face_mat=matrix,
    )
    face = np.asarray(warp_to_face(image, matrix, SIZE, antialias=True), np.uint8)
    (folder / f"{name}.jpg").write_bytes(encode_face(face, record, ".jpg", 95))


@pytest.fixture(scope="module")
def made(media: Path, need_weights, tmp_path_factory) -> Path:
    """A workspace with eight faces of each of two men, and three photos of two others."""
    need_weights("yunet", "face-landmarker", "sface")
    workspace = tmp_path_factory.mktemp("made") / "ws"
    folder = workspace / "data_src" / "aligned"
    folder.mkdir(parents=True)
    finder = open_finder()
    for person, clip in CLIPS.items():
        footage = open_footage(media / "videos" / clip)
        for number, frame in enumerate(footage.frames(0, 85)):
            if number % 12 == 0:
                _write(folder, f"{person}_{number:03d}", np.asarray(frame.image), finder)
    for name in PHOTOS:
        _write(folder, Path(name).stem, read_image(media / "photos" / name)[0], finder)
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "ws"))


def _cluster(workspace: Path, **values):
    config = ClusterConfig(**{"workspace": workspace, "faceset": "src", **values})
    return cluster.run(config, progress=NullProgress(), cancel=Cancel())


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.jpg")}


def test_persons_are_found_named_kept_and_brought_back(workspace: Path) -> None:
    aligned = workspace / "data_src" / "aligned"
    before = _names(aligned)
    listed = _cluster(workspace, sheet=workspace / "groups.png")
    assert [(row.group, row.faces) for row in listed.groups] == [(0, 8), (1, 8), (2, 2), (3, 1)]
    assert {row.typical.split("_")[0] for row in listed.groups[:2] if row.typical} == set(CLIPS)
    assert listed.groups[2].typical is not None and "bald" in listed.groups[2].typical
    assert read_image(workspace / "groups.png")[0].shape[1] > 1000
    assert _names(aligned) == before and listed.moved == 0
    number = next(r.group for r in listed.groups if r.typical and "kitchen" in r.typical)

    tried = _cluster(workspace, name=(f"{number}=ben",), keep=("ben",), dry_run=True)
    assert tried.moved == 11 and _names(aligned) == before
    assert load_people(workspace / "people") == {}

    kept = _cluster(workspace, name=(f"{number}=ben",), keep=("ben",))
    assert kept.moved == 11 and "recognised from now on: ben" in "\n".join(kept.lines())
    assert all(name.startswith("kitchen") for name in _names(aligned))
    assert len(_names(aligned)) == 8
    assert _names(workspace / "data_src" / "aligned_trash") == before - _names(aligned)
    undo_moves(aligned)
    assert _names(aligned) == before

    # There are no unsure faces: keeping them beside others keeps the others.
    assert _cluster(workspace, keep=("ben", "unsure"), dry_run=True).moved == 11
    with pytest.raises(InputError, match="there is no group 'unsure'"):
        _cluster(workspace, keep=("unsure",), dry_run=True)

    again = _cluster(workspace, move=True)
    assert [row.name for row in again.groups if row.group == number] == ["ben"]
    assert _names(aligned) == set()
    assert all(n.startswith("kitchen") for n in _names(workspace / "data_src" / "aligned_ben"))
    others = sorted(p.name for p in (workspace / "data_src").glob("aligned_group_*"))
    assert others == [f"aligned_group_{k}" for k in range(4) if k != number]
    undo_moves(aligned)
    assert _names(aligned) == before


def test_outliers_are_renamed_to_come_first(workspace: Path) -> None:
    aligned = workspace / "data_src" / "aligned"
    whose = {path.read_bytes(): path.stem for path in aligned.glob("*.jpg")}
    _cluster(workspace, outliers=True)
    order = [whose[path.read_bytes()] for path in sorted(aligned.glob("*.jpg"))]
    assert order[0] == "astronaut"
    assert all("bald" in name for name in order[1:3])
    assert len({name.split("_")[0] for name in order[3:11]}) == 1
    assert [path.stem for path in sorted(aligned.glob("*.jpg"))][:2] == ["00000", "00001"]
    undo_moves(aligned)
    assert _names(aligned) == {f"{name}.jpg" for name in whose.values()}


def test_a_person_is_not_looked_for_in_a_pack(workspace: Path) -> None:
    aligned = workspace / "data_src" / "aligned"
    (aligned / "faceset.pak").write_bytes(b"")
    for path in aligned.glob("*.jpg"):
        path.unlink()
    config = FacesetPeopleAddConfig(workspace=workspace, name="ben", pictures=aligned)
    with pytest.raises(
        InputError, match=r"packed \(faceset.pak\); unpack it with `faceloom faceset unpack`"
    ):
        people.run_add(config, progress=NullProgress(), cancel=Cancel())


def test_an_empty_faceset_is_told(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    with pytest.raises(InputError, match="no faces in"):
        _cluster(tmp_path, faceset=str(tmp_path / "faces"))
    config = DedupeConfig(workspace=tmp_path, faceset=str(tmp_path / "faces"))
    with pytest.raises(InputError, match="no faces in"):
        dedupe.run(config, progress=NullProgress(), cancel=Cancel())


def test_what_cannot_be_is_told_before_anything_is_done(workspace: Path) -> None:
    before = _names(workspace / "data_src" / "aligned")
    wrong: list[dict] = [
        {"name": ("anna",)},
        {"name": ("x=anna",)},
        {"name": ("0=a/b",)},
        {"name": ("9=anna",)},
        {"keep": ("nobody",)},
    ]
    for values in wrong:
        with pytest.raises(InputError):
            _cluster(workspace, **values)
    with pytest.raises(ValueError, match="only one of keep, move and outliers"):
        ClusterConfig(workspace=workspace, faceset="src", keep=("0",), move=True)
    (workspace / "people").mkdir()
    (workspace / "people" / "anna.json").write_text("{}")
    with pytest.raises(FormatError, match=r"anna\.json"):
        _cluster(workspace)
    assert _names(workspace / "data_src" / "aligned") == before


def test_people_are_added_from_pictures_and_name_groups(workspace: Path, media: Path) -> None:
    def add(name: str, pictures: Path):
        config = FacesetPeopleAddConfig(workspace=workspace, name=name, pictures=pictures)
        return people.run_add(config, progress=NullProgress(), cancel=Cancel())

    with pytest.raises(InputError, match="nobody\\.jpg"):
        add("carl", workspace / "nobody.jpg")
    with pytest.raises(InputError, match="no face"):
        add("carl", media / "noface" / "house.jpg")
    add("carl", media / "photos" / "man_green_shirt_turned.png")
    rows = _cluster(workspace).groups
    assert [r.typical[:6] for r in rows if r.name == "carl" and r.typical] == ["turner"]
    common: Any = {"progress": NullProgress(), "cancel": Cancel()}
    (listed,) = people.run_list(FacesetPeopleListConfig(workspace=workspace), **common).people
    assert listed.name == "carl" and listed.faces == 1
    forget = FacesetPeopleForgetConfig(workspace=workspace, name="carl")
    assert people.run_forget(forget, **common).people == ()
    assert all(row.name is None for row in _cluster(workspace).groups)


def test_copies_are_duplicates_and_come_back(workspace: Path) -> None:
    aligned = workspace / "data_src" / "aligned"
    originals = sorted(aligned.glob("*_0*.jpg"))[::4]
    for path in originals:
        image, record = read_face(path)
        data = encode_face(image, record, ".jpg", 60)
        path.with_name(f"zcopy_{path.name}").write_bytes(data)
    before = _names(aligned)
    bytes_before = {path.name: path.read_bytes() for path in aligned.glob("*.jpg")}

    def run(**values):
        config = DedupeConfig(workspace=workspace, faceset="src", **values)
        return dedupe.run(config, progress=NullProgress(), cancel=Cancel())

    tried = run(strength=0, dry_run=True, sheet=workspace / "pairs.png")
    pairs = {frozenset((one.face, one.kept)) for one in tried.duplicates}
    assert {frozenset((p.name, f"zcopy_{p.name}")) for p in originals} == pairs
    assert tried.moved == 0 and _names(aligned) == before
    assert f"{len(originals)} faces would be moved to {tried.target}" in tried.lines()
    assert (workspace / "pairs.png").is_file()
    done = run(strength=0)
    target = workspace / "data_src" / "aligned_duplicates" / "0"
    assert done.moved == len(originals) and done.target.resolve() == target.resolve()
    assert _names(target) | _names(aligned) == before
    assert run(strength=0).duplicates == ()
    assert len(run(strength=5, dry_run=True).duplicates) > 0
    undo_moves(aligned)
    assert {path.name: path.read_bytes() for path in aligned.glob("*.jpg")} == bytes_before


def test_face_size_is_that_of_the_square_the_network_sees() -> None:
    """Points that lie as the network wants them in a square of 300 pixels, turned and moved."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    five = ARCFACE_POINTS @ turn.T * (300 / 112) + [70, 900]
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48], points[[30, 48, 54]] = five[0], five[1], five[2:]
    record = FaceRecord("whole_face", points, "a.png", np.zeros(4, np.int32), points)
    assert identity_crop_px([record, record]) == pytest.approx(300, rel=1e-5)
    assert identity_crop_px([]).shape == (0,)
