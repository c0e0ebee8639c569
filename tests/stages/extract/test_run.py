"""Extraction from footage to faces: what is written, and that no kill loses or doubles anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import (
    Cancel,
    CancelledError,
    FormatError,
    InputError,
    MediaError,
    NullProgress,
    WeightsError,
)
from faceloom.faces import Faceset, read_face, read_record
from faceloom.geometry import frame_to_face, transform_points
from faceloom.media import open_footage, write_image
from faceloom.stages.extract.journal import JOURNAL_NAME, read_journal
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.workspace.layout import create_workspace, set_footage

CORRIDOR = "videos/three_people_corridor.mp4"


@pytest.fixture(autouse=True)
def _networks(need_weights) -> None:
    need_weights("yunet", "face-landmarker", "sface")


class StopAfter(NullProgress):
    """Cancels once so many frames are done."""

    def __init__(self, frames: int, cancel: Cancel) -> None:
        super().__init__()
        self._left, self._cancel = frames, cancel

    def advance(self, items: int = 1) -> None:
        self._left -= items
        if self._left <= 0:
            self._cancel.set()


def make_workspace(folder: Path, footage: Path) -> Path:
    set_footage(create_workspace(folder), "dst", footage)
    return folder


def extract(folder: Path, *, stop_after: int | None = None, **settings: object) -> ExtractResult:
    cancel = Cancel()
    progress = NullProgress() if stop_after is None else StopAfter(stop_after, cancel)
    config = ExtractConfig.model_validate({"workspace": folder, "side": "dst", **settings})
    return run(config, progress=progress, cancel=cancel)


def aligned(folder: Path) -> Path:
    return folder / "data_dst" / "aligned"


def faces_in(folder: Path) -> dict[str, bytes]:
    """Every visible file of the faceset, byte for byte."""
    return {p.name: p.read_bytes() for p in aligned(folder).iterdir() if p.name[0] != "."}


@pytest.fixture(scope="module")
def whole(media: Path, need_weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose extraction was never interrupted. Nobody may change it."""
    need_weights("yunet", "face-landmarker", "sface")
    folder = make_workspace(tmp_path_factory.mktemp("whole"), media / CORRIDOR)
    result = extract(folder)
    assert (result.frames, result.faces, result.frames_without_face) == (41, 123, 0)
    assert result.losses == [] and result.resumed_at == 0
    assert set(result.busy) == {"decode", "detect", "track", "smooth", "write"}
    json.dumps(result.as_dict())
    return folder


@pytest.fixture
def interrupted(media: Path, whole: Path, tmp_path: Path) -> Path:
    """A copy of the workspace, stopped somewhere in the middle."""
    folder = make_workspace(tmp_path / "interrupted", media / CORRIDOR)
    with pytest.raises(CancelledError):
        extract(folder, stop_after=15)
    journal = read_journal(aligned(folder))
    assert journal is not None
    assert 15 <= journal.done.frames < 41
    return folder


def test_faces_carry_where_they_come_from(media: Path, whole: Path) -> None:
    faces = Faceset(aligned(whole), use_index=False)
    assert len(faces) == 123 and not faces.skipped
    footage = open_footage(media / CORRIDOR)
    times = [footage.time_of(index) for index in range(41)]
    for path, record in faces:
        own = record.own
        assert own is not None
        number = int(record.source_stem)
        assert path.name.startswith(f"{number:05d}_")
        assert own.frame_index == number - 1
        assert own.time == times[number - 1]
        assert own.track in (0, 1, 2)
        assert own.detector == "yunet" and own.score is not None and own.score > 0.5
        assert own.pose is not None and own.presence is not None
        matrix = frame_to_face(record.source_landmarks, 512, "whole_face")
        assert record.image_to_face_mat is not None
        np.testing.assert_allclose(record.image_to_face_mat, matrix, atol=1e-9)
        mapped = transform_points(record.source_landmarks, matrix)
        np.testing.assert_allclose(record.landmarks, mapped, atol=1e-3)
    tracks = sorted((r.source_stem, r.own.track) for _, r in faces if r.own)
    assert tracks == [(f"{number:05d}", track) for number in range(1, 42) for track in range(3)]


def test_the_picture_is_the_frames_own(media: Path, whole: Path) -> None:
    image, record = read_face(aligned(whole) / "00005_0.jpg")
    assert image.shape == (512, 512, 3)
    frame = open_footage(media / CORRIDOR).frame(4).image
    assert record.image_to_face_mat is not None
    expected = cv2.warpAffine(frame, record.image_to_face_mat, (512, 512), flags=cv2.INTER_CUBIC)
    assert np.abs(image.astype(int) - expected.astype(int)).mean() < 2


def test_a_second_run_has_nothing_to_do(whole: Path) -> None:
    before = faces_in(whole)
    result = extract(whole)
    assert (result.frames, result.faces, result.resumed_at) == (41, 123, 41)
    assert any("nothing left to do" in line for line in result.lines())
    assert faces_in(whole) == before


def test_a_stopped_run_resumes_as_if_never_stopped(whole: Path, interrupted: Path) -> None:
    result = extract(interrupted)
    assert (result.frames, result.faces) == (41, 123)
    assert result.resumed_at >= 15
    assert faces_in(interrupted) == faces_in(whole)


@pytest.mark.parametrize("cut", ["torn line", "line lost", "faces without a line", "leftovers"])
def test_whatever_a_kill_leaves_is_put_right(whole: Path, interrupted: Path, cut: str) -> None:
    journal = aligned(interrupted) / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    if cut == "torn line":
        journal.write_bytes(b"".join(lines)[: -len(lines[-1]) // 2])
    elif cut == "line lost":
        journal.write_bytes(b"".join(lines[:-3]))
    elif cut == "faces without a line":
        shutil.copy(aligned(whole) / "00030_1.jpg", aligned(interrupted))
    else:
        (aligned(interrupted) / ".tmp-123-abcdef-00030_0.jpg").write_bytes(b"half a face")
    assert extract(interrupted).faces == 123
    assert faces_in(interrupted) == faces_in(whole)
    assert not list(aligned(interrupted).glob(".tmp-*"))


def test_what_the_user_deleted_stays_deleted(whole: Path, interrupted: Path) -> None:
    gone = ["00001_0.jpg", "00007_2.jpg"]
    for name in gone:
        (aligned(interrupted) / name).unlink()
    extract(interrupted)
    extract(interrupted)
    assert faces_in(whole).keys() - faces_in(interrupted).keys() == set(gone)


def test_a_killed_process_loses_nothing(media: Path, whole: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "killed", media / CORRIDOR)
    command = [sys.executable, "-m", "faceloom", "extract", "dst", "-w", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if aligned(folder).is_dir() and len(list(aligned(folder).glob("*.jpg"))) >= 40:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    extract(folder)
    assert faces_in(folder) == faces_in(whole)


def test_damaged_footage_resumes_alike(media: Path, tmp_path: Path) -> None:
    """What a broken stream decodes to depends on where decoding began."""
    clip = media / "awkward" / "corrupt_bitstream.mp4"
    whole = make_workspace(tmp_path / "whole", clip)
    assert extract(whole, image_size=96).losses
    stopped = make_workspace(tmp_path / "stopped", clip)
    with pytest.raises(CancelledError):
        extract(stopped, image_size=96, stop_after=70)
    assert extract(stopped, image_size=96).losses
    assert faces_in(stopped) == faces_in(whole)


def test_other_settings_need_a_restart(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "three_frames.mp4")
    extract(folder)
    with pytest.raises(InputError, match=r"image_size=512.*--restart"):
        extract(folder, image_size=256)
    assert extract(folder, image_size=256, restart=True).faces == 3
    assert read_face(aligned(folder) / "00001_0.jpg")[0].shape == (256, 256, 3)
    moved = folder / "data_dst" / "aligned_old"
    assert len(list(moved.glob("*.jpg"))) == 3
    extract(folder, restart=True)
    assert (folder / "data_dst" / "aligned_old2").is_dir()


def test_nothing_is_moved_aside_when_the_restart_cannot_begin(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_workspace(tmp_path / "w", media / "photos/astronaut.png")
    extract(folder)
    before = faces_in(folder)
    for setting in ({"detector": "nothing"}, {"landmarker": "nothing"}):
        for restart in (True, False):
            with pytest.raises(ValueError, match=r"unknown detector|landmarker"):
                extract(folder, restart=restart, **setting)

    def offline(*_: object, **__: object) -> None:
        raise WeightsError("connect to a network")

    monkeypatch.setattr("faceloom.stages.extract.extraction.open_finder", offline)
    with pytest.raises(WeightsError):
        extract(folder, restart=True)
    (folder / "faceloom.toml").write_text('[footage]\ndst = "gone.mp4"\n')
    with pytest.raises(InputError, match="gone"):
        extract(folder, restart=True)
    assert faces_in(folder) == before
    assert not aligned(folder).with_name("aligned_old").exists()


def test_faces_of_others_are_not_touched(media: Path, whole: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "three_frames.mp4")
    aligned(folder).mkdir(parents=True)
    shutil.copy(aligned(whole) / "00001_0.jpg", aligned(folder) / "mine.jpg")
    with pytest.raises(InputError, match="--restart"):
        extract(folder)
    assert list(faces_in(folder)) == ["mine.jpg"]


@pytest.mark.parametrize("name", ["faceset.pak", "samples.pak"])
def test_a_packed_faceset_is_not_extracted_into(media: Path, tmp_path: Path, name: str) -> None:
    folder = make_workspace(tmp_path, media / "awkward" / "three_frames.mp4")
    aligned(folder).mkdir(parents=True)
    (aligned(folder) / name).write_bytes(b"packed faces")
    with pytest.raises(InputError, match="not extracted here"):
        extract(folder)
    assert (aligned(folder) / name).read_bytes() == b"packed faces"


def test_other_footage_needs_a_restart(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "three_frames.mp4")
    extract(folder)
    set_footage(create_workspace(folder), "dst", media / "awkward" / "one_frame.mp4")
    with pytest.raises(InputError, match="other footage"):
        extract(folder)


def test_a_damaged_journal_is_an_error(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "one_frame.mp4")
    extract(folder)
    (aligned(folder) / JOURNAL_NAME).write_bytes(b"\x00\xff")
    with pytest.raises(FormatError, match="--restart"):
        extract(folder)


@pytest.mark.parametrize(
    ("settings", "name", "size"),
    [
        ({"face_type": "head"}, "00001_0.jpg", (768, 768)),
        ({"face_type": "wf", "format": "png", "image_size": 200}, "00001_0.png", (200, 200)),
        ({"face_type": "mark_only"}, "00001_0.jpg", (720, 1280)),
        ({"face_type": "full_face_no_align", "jpeg_quality": 60}, "00001_0.jpg", (512, 512)),
    ],
)
def test_kinds_of_faces(media: Path, tmp_path: Path, settings, name: str, size) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "one_frame.mp4")
    assert extract(folder, **settings).faces == 1
    image, record = read_face(aligned(folder) / name)
    assert image.shape[:2] == size
    assert record.face_type == {"wf": "whole_face"}.get(settings["face_type"], record.face_type)
    if settings["face_type"] == "mark_only":
        assert record.image_to_face_mat is None
        np.testing.assert_array_equal(record.landmarks, record.source_landmarks)


def test_each_face_at_its_own_size(media: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(media / "photos" / "three_men_office.jpg", pictures / "a.jpg")
    shutil.copy(media / "awkward" / "tiny_40x40.png", pictures / "b.png")
    shutil.copy(media / "photos" / "man_black_27.jpg", pictures / "c.jpg")
    folder = make_workspace(tmp_path / "w", pictures)
    extract(folder, image_size="estimated", debug=True)
    sizes: dict[str, int] = {}
    for path in sorted(aligned(folder).glob("*.jpg")):
        image, record = read_face(path)
        side = image.shape[0]
        sizes[path.name] = side
        assert image.shape == (side, side, 3) and side % 2 == 0 and record.own is not None
        assert record.image_to_face_mat is not None
        scale = np.sqrt(np.linalg.det(record.image_to_face_mat[:, :2]))
        assert side in (64, 2048) or scale == pytest.approx(1, abs=1 / side)
        np.testing.assert_allclose(
            record.image_to_face_mat,
            frame_to_face(record.source_landmarks, side, "whole_face"),
            atol=1e-9,
        )
    assert len(set(sizes.values())) > 3 and sizes["b_0.jpg"] == 64
    with pytest.raises(InputError, match="image_size=estimated"):
        extract(folder, image_size=512)


def test_smoothing_resumes_exactly(whole: Path, media: Path, tmp_path: Path) -> None:
    """Stopped three times within a window, once so early that the window reaches the start."""
    folder = make_workspace(tmp_path / "w", media / CORRIDOR)
    for stop in (2, 3, 4, 12):
        with pytest.raises(CancelledError):
            extract(folder, stop_after=stop)
    lines = (aligned(folder) / JOURNAL_NAME).read_text().splitlines()[1:]
    assert len(lines) >= 14 and float(np.median([len(line) for line in lines])) < 1200
    assert extract(folder).faces == 123
    assert faces_in(folder) == faces_in(whole)
    raw = make_workspace(tmp_path / "raw", media / CORRIDOR)
    extract(raw, smooth=0)
    moved = [
        float(
            np.abs(
                read_record(aligned(raw) / name).source_landmarks
                - read_record(aligned(whole) / name).source_landmarks
            ).max()
        )
        for name in faces_in(raw)
    ]
    assert 0.02 < float(np.median(moved)) < 1.0


def test_a_gap_is_filled_and_marked(media: Path, tmp_path: Path, monkeypatch) -> None:
    """The finder is made blind for the second face in two frames."""
    from faceloom.detect import FaceFinder

    seen = FaceFinder.find
    frames = iter(range(1000))

    def blind(self, image, previous=(), **settings):
        faces = seen(self, image, previous, **settings)
        if settings.get("detections") == []:
            return faces
        return faces[:1] + faces[2:] if next(frames) in (10, 11) else faces

    monkeypatch.setattr(FaceFinder, "find", blind)
    folder = make_workspace(tmp_path / "w", media / CORRIDOR)
    result = extract(folder, image_size=96)
    assert (result.faces, result.filled, result.tracks, result.joined) == (123, 2, 3, 0)
    assert "3 people tracked; 2 faces filled in" in result.lines()[1]
    gaps = [r for _, r in Faceset(aligned(folder)) if r.own and r.own.detector == "gap"]
    assert [r.own.frame_index for r in gaps if r.own] == [10, 11]
    assert all(r.own and r.own.score == 0 and r.own.track in (0, 1, 2) for r in gaps)


def test_debug_pictures_and_fewer_faces(media: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(media / "photos" / "three_men_office.jpg", pictures / "b.jpg")
    shutil.copy(media / "noface" / "house.jpg", pictures / "c.jpg")
    folder = make_workspace(tmp_path / "w", pictures)
    result = extract(folder, debug=True, max_faces=2)
    assert (result.frames, result.faces, result.frames_without_face) == (2, 2, 1)
    debug = folder / "data_dst" / "aligned_debug"
    assert {path.name for path in debug.iterdir()} == {"b.jpg", "c.jpg"}
    rects = [read_record(path).source_rect for path in sorted(aligned(folder).glob("*.jpg"))]
    areas = [(r[2] - r[0]) * (r[3] - r[1]) for r in rects]
    assert areas == sorted(areas, reverse=True)
    record = read_record(aligned(folder) / "b_0.jpg")
    assert record.own is not None and record.own.track is None


def test_pictures_with_the_same_stem_are_reported(media: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(media / "photos" / "astronaut.png", pictures / "a.png")
    write_image(pictures / "a.jpg", np.zeros((64, 64, 3), np.uint8))
    (pictures / "broken.jpg").write_bytes(b"no picture")
    folder = make_workspace(tmp_path / "w", pictures)
    result = extract(folder)
    assert (result.frames, result.faces) == (1, 0)
    assert any("a.png" in loss for loss in result.losses)
    assert any("broken.jpg" in loss for loss in result.losses)


def test_an_upright_answer_for_anamorphic_footage(media: Path, tmp_path: Path) -> None:
    """The crop of 720x576 with wide pixels shows a face of natural width."""
    clip = tmp_path / "clip.mp4"
    shutil.copy(media / "awkward" / "anamorphic_720x576.mp4", clip)
    folder = make_workspace(tmp_path / "w", clip)
    with pytest.raises(CancelledError):
        extract(folder, stop_after=2)
    record = read_record(aligned(folder) / "00001_0.jpg")
    assert record.own is not None
    assert record.own.pixel_aspect == pytest.approx(64 / 45)
    eyes = np.linalg.norm(record.landmarks[36:42].mean(0) - record.landmarks[42:48].mean(0))
    nose_to_chin = np.linalg.norm(record.landmarks[8] - record.landmarks[27])
    wide = record.source_landmarks * [64 / 45, 1]
    assert eyes / nose_to_chin == pytest.approx(
        np.linalg.norm(wide[36:42].mean(0) - wide[42:48].mean(0))
        / np.linalg.norm(wide[8] - wide[27]),
        rel=1e-3,
    )


@pytest.mark.parametrize("name", ["empty.mp4", "text_named_video.mp4", "truncated_no_moov.mp4"])
def test_footage_that_cannot_be_read_is_one_clear_error(media, tmp_path, name: str) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / name)
    with pytest.raises(MediaError) as caught:
        extract(folder)
    assert "\n" not in str(caught.value)
    assert not aligned(folder).exists()


def test_frame_times_of_footage_with_a_variable_rate(media: Path, tmp_path: Path) -> None:
    clip = media / "awkward" / "variable_frame_rate.mp4"
    folder = make_workspace(tmp_path / "w", clip)
    with pytest.raises(CancelledError):
        extract(folder, stop_after=8, image_size=128)
    footage = open_footage(clip)
    gaps: set[Fraction] = set()
    for _, record in Faceset(aligned(folder), use_index=False):
        assert record.own is not None and record.own.frame_index is not None
        assert record.own.time == footage.time_of(record.own.frame_index)
        gaps.add(footage.time_of(record.own.frame_index + 1) - record.own.time)
    assert len(gaps) > 1


def test_two_processes_do_not_share_a_faceset(media: Path, tmp_path: Path) -> None:
    from faceloom.stages.extract.journal import locked

    folder = make_workspace(tmp_path / "w", media / "awkward" / "one_frame.mp4")
    aligned(folder).mkdir(parents=True)
    with locked(aligned(folder)), pytest.raises(InputError, match="another process"):
        extract(folder)


def test_other_settings_go_where_nothing_was_extracted_yet(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path, media / "awkward" / "one_frame.mp4")
    with pytest.raises(InputError, match="no such person"):
        extract(folder, who="ana")
    assert extract(folder).faces == 1


def test_the_result_says_what_was_made_and_what_is_next(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "awkward" / "one_frame.mp4")
    progress = NullProgress()
    config = ExtractConfig(workspace=folder, side="dst")
    result = run(config, progress=progress, cancel=Cancel())
    assert "from 1 frame of" in progress.notes[0] and str(aligned(folder)) in progress.notes[0]
    first, *_, speed, following = result.lines()
    assert first == f"{aligned(folder)}: 1 face in 1 frame"
    assert speed.startswith("1 frame in ") and "per second" in speed
    assert following.startswith("next: `faceloom sort dst`")


def test_without_a_face_the_result_names_other_detectors(media: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "w", media / "noface" / "house.jpg")
    result = extract(folder)
    assert result.lines()[0].endswith("0 faces in 1 frame, 1 frame without a face")
    assert "--redo empty --detector yunet,centerface" in result.lines()[-1]
