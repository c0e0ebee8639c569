"""Resizing facesets: against frames whose every pixel is known, and through kills."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.faces import OwnMetadata, encode_mask, read_face, read_record, write_face
from faceloom.faces.moves.moves import undo_moves
from faceloom.geometry import frame_to_face, transform_points, warp_to_face
from faceloom.stages.faceset.config import FacesetResizeConfig
from faceloom.stages.faceset.resize import run
from killed_writes import Killed, killer
from synthetic_faces import face_picture, landmarks68, synthetic_record

COUNT, FRAME_PX, SIZE = 5, 300, 160


def _make(root: Path, face_type: str = "whole_face") -> Path:
    """A workspace whose src is frames and faces cut from them; some frames have two faces."""
    frames, folder = root / "data_src", root / "data_src" / "aligned"
    folder.mkdir(parents=True)
    for i in range(COUNT):
        one = landmarks68(FRAME_PX, turn=-0.5 + 0.25 * i, fill=0.3)
        frame = face_picture(FRAME_PX, one, hue=12, seed=i)
        cv2.imwrite(str(frames / f"{i + 1:05d}.png"), frame[..., ::-1])
        for k, points in enumerate([one, one * 0.9 + 12][: 1 + i % 2]):
            matrix = frame_to_face(points, SIZE, face_type)  # type: ignore[arg-type]
            record = synthetic_record(
                transform_points(points, matrix),
                f"{i + 1:05d}.png",
                face_type=face_type,
                source_landmarks=points,
                image_to_face_mat=matrix,
                xseg_mask=encode_mask(np.ones((64, 64))) if i == 0 else None,
                own=OwnMetadata(frame_index=i, track=k),
            )
            write_face(folder / f"{i + 1:05d}_{k}.jpg", warp_to_face(frame, matrix, SIZE), record)
    return folder


def _run(root: Path, cancel: Cancel | None = None, **values: object):
    config = FacesetResizeConfig(workspace=root, **{"faceset": "src", "threads": 2, **values})  # type: ignore[arg-type]
    return run(config, progress=NullProgress(), cancel=cancel or Cancel())


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


@pytest.mark.parametrize(("kind", "size"), [("head", 208), ("full_face", 96)])
def test_faces_from_the_footage_are_those_that_the_frames_give(tmp_path, kind, size):
    folder = _make(tmp_path)
    before = {name: read_record(folder / name) for name in _names(folder)}
    result = _run(tmp_path, size=size, face_type=kind, source="footage", jpeg_quality=100)
    assert (result.resized, result.failed) == (len(before), 0)
    for name, old in before.items():
        picture, record = read_face(folder / name)
        frame = cv2.imread(str(tmp_path / "data_src" / old.source_filename))[..., ::-1]
        matrix = frame_to_face(old.source_landmarks, size, kind)
        truth = warp_to_face(frame, matrix, size, interpolation="lanczos4", antialias=True).astype(
            float
        )
        assert np.abs(picture.astype(float) - truth).mean() < 2
        assert record.face_type == kind
        np.testing.assert_allclose(record.image_to_face_mat, matrix, atol=1e-9)
        np.testing.assert_allclose(
            record.landmarks, transform_points(old.source_landmarks, matrix), atol=1e-3
        )
        assert record.own is not None and record.own.track == old.own.track
    assert read_record(folder / "00001_0.jpg").xseg_mask is not None
    again = _run(tmp_path, size=size, face_type=kind, source="footage")
    assert (again.resized, again.unchanged) == (0, len(before))


def test_the_pictures_from_before_are_kept_and_come_back(tmp_path):
    folder = _make(tmp_path)
    before = {name: (folder / name).read_bytes() for name in _names(folder)}
    result = _run(tmp_path, size=96, face_type="f")
    assert {name: (result.originals / name).read_bytes() for name in before} == before
    assert {read_face(folder / name)[0].shape for name in before} == {(96, 96, 3)}
    assert not (folder.parent / "aligned_resized").exists()
    undo_moves(folder)
    assert {name: (folder / name).read_bytes() for name in _names(folder)} == before
    assert not result.originals.exists()


def test_a_kill_at_any_change_leaves_old_or_new_and_the_same_command_ends_it(tmp_path):
    """After a kill every face is whole, either old or new; going on gives what an uninterrupted
    run gives."""
    whole = _make(tmp_path / "whole")
    _run(tmp_path / "whole", size=96, face_type="f")
    wanted = {name: (whole / name).read_bytes() for name in _names(whole)}
    folder = _make(tmp_path / "killed")
    old = {name: (folder / name).read_bytes() for name in _names(folder)}
    kills = 0
    for changes in range(0, 400, 3):
        try:
            with killer().after(changes):
                _run(tmp_path / "killed", size=96, face_type="f", threads=1)
            break
        except Killed:
            kills += 1
        for name in old:
            places = [folder / name, folder.parent / "aligned_original" / name]
            found = [path.read_bytes() for path in places if path.exists()]
            staged = folder.parent / "aligned_resized" / name
            assert found or staged.exists()
            assert all(data in (old[name], wanted[name]) for data in found)
    assert kills > 5
    assert {name: (folder / name).read_bytes() for name in _names(folder)} == wanted
    kept = folder.parent / "aligned_original"
    assert {name: (kept / name).read_bytes() for name in _names(kept)} == old


def test_a_stopped_run_goes_on_with_what_it_made(tmp_path):
    folder = _make(tmp_path)
    cancel = Cancel()

    class _Stop(NullProgress):
        made = 0

        def advance(self, items: int = 1) -> None:
            self.made += 1
            if self.made == 2 * len(_names(folder)) + 2:  # all read and looked at, two made
                cancel.set()

    config = FacesetResizeConfig(workspace=tmp_path, faceset="src", size=96, threads=1)
    with pytest.raises(CancelledError):
        run(config, progress=_Stop(), cancel=cancel)
    staged = _names(folder.parent / "aligned_resized")
    assert staged and {read_face(folder / n)[0].shape for n in _names(folder)} == {
        (SIZE,) * 2 + (3,)
    }
    stamps = [(folder.parent / "aligned_resized" / n).stat().st_mtime_ns for n in staged]
    _run(tmp_path, size=96)
    assert [(folder / n).stat().st_mtime_ns for n in staged] == stamps


def test_a_larger_type_needs_the_footage_or_a_word(tmp_path):
    folder = _make(tmp_path, "full_face")
    with pytest.raises(
        InputError, match=r"7 of 7 pictures do not show all of head.*--from footage"
    ):
        _run(tmp_path, face_type="head")
    assert not (folder.parent / "aligned_original").exists()
    result = _run(tmp_path, face_type="head", allow_borders=True, output=tmp_path / "heads")
    assert result.resized == 7 and result.originals is None
    picture, record = read_face(tmp_path / "heads" / "00003_0.jpg")
    assert record.face_type == "head" and picture[0].max() < 8 and picture[80, 80].max() > 30
    assert read_record(folder / "00003_0.jpg").face_type == "full_face"


def test_each_face_gets_the_size_that_it_has_in_its_frame(tmp_path):
    folder = _make(tmp_path)
    _run(tmp_path, size="estimated", source="footage")
    for name in _names(folder):
        picture, record = read_face(folder / name)
        # At that size a pixel of the face is a pixel of the frame.
        scale = np.sqrt(abs(np.linalg.det(record.image_to_face_mat[:, :2])))
        assert scale == pytest.approx(1, abs=1.01 / picture.shape[0])


def test_faces_that_are_so_already_stay_untouched(tmp_path):
    folder = _make(tmp_path)
    result = _run(tmp_path, size=SIZE)
    assert (result.resized, result.unchanged, result.originals) == (0, 7, None)
    assert read_face(folder / "00001_0.jpg")[0].shape[0] == SIZE


def test_faces_of_other_footage_are_refused_before_anything_is_written(tmp_path):
    folder = _make(tmp_path)
    (tmp_path / "data_src" / "00005.png").unlink()
    with pytest.raises(InputError, match=r"1 of 7 faces are not from this footage.*00005_0"):
        _run(tmp_path, size=96, source="footage")
    assert not (folder.parent / "aligned_resized").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "nothing to do"),
        ({"face_type": "mark_only"}, "mark_only"),
        ({"size": 100, "source": "footage", "faceset": "data_src/aligned"}, "with --footage"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(tmp_path, monkeypatch, values, words):
    _make(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        _run(tmp_path, **values)


@pytest.mark.parametrize("size", ["20", "4096", "big", "-5", "٣٠٠"])
def test_sizes_that_cannot_be_are_wrong_usage(tmp_path, capsys, size):
    from faceloom.cli.main import run_command

    _make(tmp_path)
    assert run_command(["faceset", "resize", "src", "-w", str(tmp_path), f"--size={size}"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--size: " in line


def test_a_real_clip_cut_anew_is_what_extraction_cuts(tmp_path, media):
    """Frames of a real video fetched by number: the faces lie where their landmarks say."""
    from faceloom.media import open_footage
    from faceloom.workspace.layout import create_workspace

    clip = media / "videos" / "four_people_call_grid.mp4"
    workspace = create_workspace(tmp_path)
    (tmp_path / "data_src.mp4").symlink_to(clip)
    folder = workspace.aligned_src
    folder.mkdir(parents=True)
    truth: dict[str, np.ndarray] = {}
    for frame in open_footage(clip).frames(0, 12):
        if frame.index not in (2, 3, 9):
            continue
        for k, shift in enumerate([(0, 0), (640, 360)]):
            points = landmarks68(320, fill=0.5) + np.float32(shift)
            matrix = frame_to_face(points, 128, "whole_face")
            record = synthetic_record(
                transform_points(points, matrix),
                frame.name,
                face_type="whole_face",
                source_landmarks=points,
                image_to_face_mat=matrix,
            )
            name = f"{frame.index + 1:05d}_{k}.png"
            write_face(folder / name, warp_to_face(frame.image, matrix, 128), record)
            truth[name] = warp_to_face(
                frame.image,
                frame_to_face(points, 160, "full_face"),
                160,
                interpolation="lanczos4",
                antialias=True,
            )
    _run(tmp_path, size=160, face_type="f", source="footage")
    for name, picture in truth.items():
        np.testing.assert_array_equal(read_face(folder / name)[0], picture)


def test_faces_of_a_pack_are_cut_anew_into_a_folder(tmp_path: Path):
    """Twice, as a stopped run goes on, and with two people whose faces have the same names."""
    from faceloom.stages.faceset.config import FacesetPackConfig
    from faceloom.stages.faceset.pack import run_pack

    folder = _make(tmp_path)
    for person in ("ann", "bob"):
        (folder / person).mkdir()
    (folder / "00002_0.jpg").rename(folder / "ann" / "0.jpg")
    (folder / "00003_0.jpg").rename(folder / "bob" / "0.jpg")
    config = FacesetPackConfig(faceset=str(folder), persons=True, remove=True)
    run_pack(config, progress=NullProgress(), cancel=Cancel())
    target = tmp_path / "small"
    for _ in range(2):
        result = _run(tmp_path, size=96, output=target)
        assert (result.resized, result.failed) == (7, 0)
        assert len(_names(target)) == 7
    frames = {name: read_record(target / name).source_filename for name in _names(target)}
    assert frames["ann_0.jpg"] == "00002.png" and frames["bob_0.jpg"] == "00003.png"


def test_pictures_that_others_put_into_the_target_stay(tmp_path: Path):
    """As when its faces were sorted since: the name belongs to another face now."""
    folder, target = _make(tmp_path), tmp_path / "small"
    names = _names(folder)
    assert _run(tmp_path, size=96, output=target).resized == len(names)
    first, second = names[:2]
    (target / first).rename(target / "aside.jpg")
    (target / second).rename(target / first)
    (target / "aside.jpg").rename(target / second)
    before = {name: (target / name).read_bytes() for name in _names(target)}
    result = _run(tmp_path, size=96, output=target)
    assert result.failed == 2 and {n: (target / n).read_bytes() for n in _names(target)} == before


def test_a_target_that_is_a_file_is_told(tmp_path: Path):
    _make(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be created"):
        _run(tmp_path, size=96, output=tmp_path / "file")
