"""Extracting frames again: which ones, what is written, and that nothing else comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.detect.points import bounds, overlap
from faceloom.faces import Faceset, read_record
from faceloom.stages.extract.journal import JOURNAL_NAME, read_done
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.workspace.layout import create_workspace, set_footage

CORRIDOR = "videos/three_people_corridor.mp4"


@pytest.fixture(autouse=True)
def _networks(need_weights) -> None:
    need_weights("yunet", "face-landmarker", "sface")


class StopAfter(NullProgress):
    def __init__(self, items: int, cancel: Cancel) -> None:
        super().__init__()
        self._left, self._cancel = items, cancel

    def advance(self, items: int = 1) -> None:
        self._left -= items
        if self._left <= 0:
            self._cancel.set()


def extract(folder: Path, *, stop_after: int | None = None, **settings: object) -> ExtractResult:
    cancel = Cancel()
    progress = NullProgress() if stop_after is None else StopAfter(stop_after, cancel)
    values = {"workspace": folder, "side": "dst", **settings}
    return run(ExtractConfig.model_validate(values), progress=progress, cancel=cancel)


def aligned(folder: Path) -> Path:
    return folder / "data_dst" / "aligned"


def faces_in(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(aligned(folder).glob("*.jpg"))}


@pytest.fixture(scope="module")
def original(media: Path, need_weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished extraction with debug pictures. Nobody may change it."""
    need_weights("yunet", "face-landmarker", "sface")
    folder = tmp_path_factory.mktemp("original")
    set_footage(create_workspace(folder), "dst", media / CORRIDOR)
    assert extract(folder, image_size=96, debug=True).faces == 123
    return folder


@pytest.fixture
def done(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "done"))


def test_the_journal_keeps_each_frames_faces(done: Path) -> None:
    kept = read_done(aligned(done))
    assert kept is not None and kept.counts == dict.fromkeys(range(41), 3)
    assert (aligned(done) / JOURNAL_NAME).stat().st_size < 1500


def test_only_the_deleted_face_comes_back(done: Path) -> None:
    before = faces_in(done)
    gone = read_record(aligned(done) / "00010_1.jpg")
    (aligned(done) / "00010_1.jpg").unlink()
    assert extract(done, image_size=96).redone == 0
    assert "00010_1.jpg" not in faces_in(done)
    result = extract(done, redo="faces")
    assert (result.redone, result.added, result.moved) == (1, 1, 0)
    after = faces_in(done)
    assert after.keys() == before.keys()
    assert {n for n in after if after[n] != before[n]} <= {"00010_1.jpg"}
    back = read_record(aligned(done) / "00010_1.jpg")
    assert overlap(bounds(back.source_landmarks), bounds(gone.source_landmarks)) > 0.8
    assert back.own is not None and gone.own is not None
    assert back.own.track == gone.own.track and back.image_to_face_mat is not None
    assert extract(done, redo="faces").redone == 0


def test_faces_belong_to_frames_by_metadata_not_by_name(done: Path) -> None:
    """Sorting renames: a name that another face has now is not written over."""
    (aligned(done) / "00010_1.jpg").unlink()
    (aligned(done) / "00010_0.jpg").rename(aligned(done) / "00010_1.jpg")
    (aligned(done) / "00022_0.jpg").rename(aligned(done) / "00010_0.jpg")
    before = faces_in(done)
    result = extract(done, redo="faces")
    assert (result.redone, result.added) == (1, 1)
    after = faces_in(done)
    assert all(after[name] == data for name, data in before.items())
    (new,) = after.keys() - before.keys()
    assert new == "00010_3.jpg"
    stems = [record.source_stem for _, record in Faceset(aligned(done), use_index=False)]
    assert stems.count("00010") == 3


def test_a_frame_whose_debug_picture_is_gone_is_extracted_again(done: Path) -> None:
    debug = done / "data_dst" / "aligned_debug"
    for name in ("00004.jpg", "00020.jpg"):
        (debug / name).unlink()
    before = faces_in(done)
    result = extract(done, redo="debug", image_size=128)
    assert (result.redone, result.added, result.moved) == (2, 6, 6)
    after = faces_in(done)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {f"{stem}_{k}.jpg" for stem in ("00004", "00020") for k in range(3)}
    aside = done / "data_dst" / "aligned_redone"
    assert {p.name: p.read_bytes() for p in aside.glob("*.jpg")} == {n: before[n] for n in changed}
    assert (debug / "00004.jpg").exists() and (debug / "00020.jpg").exists()
    assert extract(done, redo="debug", image_size=128).redone == 0
    tracks = {name: read_record(aside / name).own.track for name in changed}  # type: ignore[union-attr]
    again = {name: read_record(aligned(done) / name).own.track for name in changed}  # type: ignore[union-attr]
    assert sorted(tracks.values()) == sorted(again.values()) == [0, 0, 1, 1, 2, 2]


def test_frames_without_a_face_with_another_size(media: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(media / "photos/astronaut.png", pictures / "a.png")
    shutil.copy(media / "noface/house.jpg", pictures / "b.jpg")
    shutil.copy(media / "photos/three_men_office.jpg", pictures / "c.jpg")
    folder = tmp_path / "w"
    set_footage(create_workspace(folder), "dst", pictures)
    first = extract(folder, min_face_px=400, image_size=96)
    assert first.faces == 0 and first.frames_without_face == 3
    result = extract(folder, redo="empty", min_face_px=30)
    assert (result.redone, result.added, result.frames_without_face) == (3, 4, 1)
    assert read_record(aligned(folder) / "a_0.jpg").own is not None
    (aligned(folder) / "a_0.jpg").unlink()
    again = extract(folder, redo="empty", min_face_px=30)
    assert (again.redone, again.added) == (1, 0)
    assert not (aligned(folder) / "a_0.jpg").exists()


def test_a_stopped_repeat_resumes(done: Path) -> None:
    for number in range(1, 9):
        (aligned(done) / f"{number:05d}_0.jpg").unlink()
    with pytest.raises(CancelledError):
        extract(done, redo="faces", stop_after=3)
    rest = extract(done, redo="faces")
    assert 0 < rest.redone < 8
    assert len(faces_in(done)) == 123
    assert read_done(aligned(done)).redone == {}  # type: ignore[union-attr]


def test_a_journal_of_an_earlier_version_serves_while_nothing_is_missing(done: Path) -> None:
    path = aligned(done) / JOURNAL_NAME
    head, sums = path.read_text().splitlines()
    old = {
        k: v
        for k, v in json.loads(sums).items()
        if k in {"finished", "next", "frames", "faces", "without_face"}
    }
    path.write_text(f"{head}\n{json.dumps(old)}\n")
    assert extract(done, image_size=96).frames == 41
    assert extract(done, redo="empty").redone == 0
    path.write_text(f"{head}\n{json.dumps(old)}\n")
    (aligned(done) / "00010_1.jpg").unlink()
    with pytest.raises(InputError, match="earlier version"):
        extract(done, redo="faces")


def test_what_cannot_be_redone_is_an_error(media: Path, done: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would not match"):
        extract(done, redo="faces", face_type="head")
    for picture in (done / "data_dst" / "aligned_debug").iterdir():
        picture.unlink()
    with pytest.raises(InputError, match="no debug pictures"):
        extract(done, redo="debug")
    with pytest.raises(ValueError, match="only one of them"):
        extract(done, redo="debug", restart=True)
    folder = tmp_path / "w"
    set_footage(create_workspace(folder), "dst", media / CORRIDOR)
    with pytest.raises(InputError, match="no finished extraction"):
        extract(folder, redo="faces")


def test_what_was_moved_aside_is_not_missing(done: Path) -> None:
    """Trash, duplicates and groups: only the face that was really deleted comes back."""
    moved = {
        "00003_0.jpg": "aligned_trash",
        "00010_1.jpg": "aligned_trash",
        "00015_2.jpg": "aligned_duplicates/3",
        "00030_0.jpg": "aligned_berta",
    }
    for number, (name, target) in enumerate(moved.items()):
        (done / "data_dst" / target).mkdir(parents=True, exist_ok=True)
        (aligned(done) / name).rename(done / "data_dst" / target / f"{number:05d}.jpg")
    shutil.copytree(aligned(done), done / "data_dst" / "aligned_resized")
    (aligned(done) / "00010_2.jpg").unlink()
    before = faces_in(done)
    result = extract(done, redo="faces")
    assert (result.redone, result.added) == (1, 1)
    assert faces_in(done).keys() - before.keys() == {"00010_1.jpg"}
    assert extract(done, redo="faces", detector_size=1280).redone == 0
    (done / "data_dst" / "aligned_debug" / "00003.jpg").unlink()
    assert extract(done, redo="debug").added == 3


def test_a_journal_that_is_being_written_is_left_alone(done: Path) -> None:
    """A line that another process has written half of is not cut off."""
    from faceloom.stages.extract.journal import locked

    path = aligned(done) / JOURNAL_NAME
    head = path.read_bytes().split(b"\n")[0]
    path.write_bytes(head + b'\n{"frame":0,"stem":"00001","fa')
    half = path.read_bytes()
    with locked(aligned(done)), pytest.raises(InputError, match="another process"):
        extract(done, redo="faces")
    assert path.read_bytes() == half
