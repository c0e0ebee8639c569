"""The merge stage: what it writes, what it leaves alone, how it goes on after a stop."""

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

from faceloom.checkpoints import LossHistory, model_folder, save_state
from faceloom.core import Cancel, CancelledError, InputError, NullProgress, RightsError
from faceloom.faces import FaceRecord, OwnMetadata, write_face
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points
from faceloom.media import FootageInfo, VideoWriter, open_footage, read_image, write_image
from faceloom.models import SaehdSettings, build_model
from faceloom.provenance import (
    Statement,
    describe_footage,
    inspect_file,
    make_record,
    read_ledger,
    write_rights,
)
from faceloom.stages.extract.journal import start_journal
from faceloom.stages.merge.config import MergeConfig
from faceloom.stages.merge.journal import FILE_NAME
from faceloom.stages.merge.run import MergeResult, run
from faceloom.workspace.layout import Workspace, create_workspace

COUNT = 10
SIZE = (120, 160)
WITHOUT_FACE = {3, 4}
SETTINGS = SaehdSettings(
    resolution=64, face_type="full_face", archi="df-ud", ae_dims=32, e_dims=16, d_dims=16
)


def picture(index: int, dtype: str = "uint8") -> np.ndarray:
    """A frame with enough colour and detail to show any change."""
    rng = np.random.default_rng(index)
    coarse = rng.random((12, 16, 3), np.float32)
    image = np.clip(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.rint(image * (255 if dtype == "uint8" else 65535)).astype(dtype)


def landmarks(index: int) -> np.ndarray:
    points = MODEL_POINTS_3D[:, :2] * 0.25
    return (points - points.mean(0) + (70 + 2 * index, 60)).astype(np.float32)


def record(index: int, name: str, *, own: bool = True) -> FaceRecord:
    points = landmarks(index)
    matrix = frame_to_face(points, 64, "full_face")
    return FaceRecord(
        face_type="full_face",
        landmarks=transform_points(points, matrix),
        source_filename=name,
        source_rect=np.array([10, 10, 100, 100]),
        source_landmarks=points,
        image_to_face_mat=matrix,
        own=OwnMetadata(frame_index=index) if own else None,
    )


def write_video(path: Path) -> None:
    like = FootageInfo(
        paths=(path,),
        kind="video",
        size=SIZE,
        fps=Fraction(25),
        frame_count=COUNT,
        duration_s=COUNT / 25,
        time_base=Fraction(1, 1000),
    )
    with VideoWriter(path, like, codec="ffv1") as writer:
        for index in range(COUNT):
            writer.write(picture(index), Fraction(index, 25))


def write_faces(folder: Path, names: list[str], *, own: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    crop = np.zeros((64, 64, 3), np.uint8)
    for index, name in enumerate(names):
        if index not in WITHOUT_FACE:
            write_face(folder / f"{Path(name).stem}_0.jpg", crop, record(index, name, own=own))


def state_rights(workspace: Workspace) -> None:
    statements = [
        Statement(ground="synthetic", files=describe_footage(workspace.folder, footage))
        for footage in (workspace.footage("dst"), workspace.footage("dst"))
    ]
    write_rights(workspace.folder, make_record(*statements))


def save_model(workspace: Workspace, seed: int = 0, name: str = "main") -> None:
    model = build_model("SAEHD", SETTINGS, seed=seed)
    save_state(model_folder(workspace.model, name, "SAEHD"), model, LossHistory(), seed=seed)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a video, its faces, its rights and an untrained model."""
    workspace = create_workspace(tmp_path_factory.mktemp("template") / "pair")
    write_video(workspace.folder / "data_dst.mkv")
    write_faces(workspace.aligned_dst, [f"{i + 1:05d}.png" for i in range(COUNT)])
    state_rights(workspace)
    save_model(workspace)
    return workspace.folder


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Workspace:
    """A copy of the template."""
    return Workspace.open(shutil.copytree(template, tmp_path / "pair"))


def merge(workspace: Workspace, progress: NullProgress | None = None, **options) -> MergeResult:
    config = MergeConfig(
        workspace=workspace.folder, **{"mask_mode": "dst", "threads": 1, "device": "cpu"} | options
    )
    return run(config, progress=progress or NullProgress(), cancel=Cancel())


def outputs(workspace: Workspace) -> dict[str, bytes]:
    return {
        str(file.relative_to(workspace.data_dst)): file.read_bytes()
        for folder in (workspace.merged, workspace.merged_mask)
        for file in sorted(folder.glob("*.png"))
    }


def test_frames_and_masks(workspace: Workspace) -> None:
    result = merge(workspace)
    assert (result.frames, result.faces, result.untouched, result.reused) == (10, 8, 2, 0)
    names = [f"{i + 1:05d}.png" for i in range(COUNT)]
    assert [file.name for file in sorted(workspace.merged.glob("*.png"))] == names
    for index, name in enumerate(names):
        image, alpha = read_image(workspace.merged / name, native=True)
        mask = cv2.imread(str(workspace.merged_mask / name), cv2.IMREAD_UNCHANGED)
        frame = picture(index)
        assert mask.shape == SIZE and mask.dtype == np.uint8 and alpha is None
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image[mask == 0], frame[mask == 0])
        if index in WITHOUT_FACE:
            assert not mask.any()
        else:
            assert (mask == 255).sum() > 500
            assert np.abs(image[mask == 255].astype(int) - frame[mask == 255]).mean() > 3
            assert abs(np.nonzero(mask)[1].mean() - landmarks(index)[:, 0].mean()) < 6
    assert read_ledger(workspace.folder)[-1].data["faces"] == 8
    assert json.dumps(result.as_dict())


def test_finished_frames_are_kept(workspace: Workspace) -> None:
    merge(workspace)
    before = outputs(workspace)
    stamps = {file: file.stat().st_mtime_ns for file in workspace.merged.glob("*.png")}
    again = merge(workspace)
    assert (again.frames, again.faces, again.reused) == (10, 8, 10)
    assert stamps == {file: file.stat().st_mtime_ns for file in workspace.merged.glob("*.png")}
    assert len(read_ledger(workspace.folder)) == 1
    (workspace.merged / "00006.png").unlink()
    cut = workspace.merged_mask / "00008.png"
    cut.write_bytes(cut.read_bytes()[:40])
    assert merge(workspace).reused == 8
    assert outputs(workspace) == before
    assert merge(workspace, redo=True).reused == 0
    assert outputs(workspace) == before


def test_what_changed_is_made_again(workspace: Workspace) -> None:
    merge(workspace)
    before = outputs(workspace)
    assert merge(workspace, blur=40).reused == len(WITHOUT_FACE)
    assert outputs(workspace) != before
    assert merge(workspace, blur=40).reused == COUNT
    save_model(workspace, seed=1)
    assert merge(workspace, blur=40).reused == len(WITHOUT_FACE)
    (workspace.aligned_dst / "00001_0.jpg").unlink()
    result = merge(workspace, blur=40)
    assert (result.reused, result.untouched) == (9, 3)
    np.testing.assert_array_equal(read_image(workspace.merged / "00001.png")[0], picture(0))


class StopAfter(NullProgress):
    """Cancels once `count` frames were reported."""

    def __init__(self, cancel: Cancel, count: int) -> None:
        super().__init__()
        self._cancel, self._left = cancel, count

    def advance(self, items: int = 1) -> None:
        self._left -= items
        if self._left <= 0:
            self._cancel.set()


def test_cancelled_merge_goes_on(workspace: Workspace) -> None:
    merge(workspace)
    whole = outputs(workspace)
    for file in workspace.data_dst.glob("merged*/*"):
        file.unlink()
    (workspace.merged / FILE_NAME).unlink(missing_ok=True)
    cancel = Cancel()
    config = MergeConfig(
        workspace=workspace.folder, mask_mode="dst", threads=1, device="cpu", batch_size=1
    )
    with pytest.raises(CancelledError):
        run(config, progress=StopAfter(cancel, 3), cancel=cancel)
    made = len(list(workspace.merged.glob("*.png")))
    assert 3 <= made < COUNT
    assert merge(workspace).reused == made
    assert outputs(workspace).keys() == whole.keys()


def test_killed_merge_goes_on(workspace: Workspace) -> None:
    merge(workspace)
    whole = outputs(workspace)
    code = (
        "import sys, time\n"
        "from faceloom.core import Cancel, NullProgress\n"
        "from faceloom.stages.merge.run import MergeConfig, run\n"
        "class Slow(NullProgress):\n"
        "    def advance(self, items=1):\n"
        "        print('done', flush=True); time.sleep(0.05)\n"
        "run(MergeConfig(workspace=sys.argv[1], mask_mode='dst', threads=1, device='cpu',\n"
        "    batch_size=1, redo=sys.argv[2] == 'redo'), progress=Slow(), cancel=Cancel())\n"
    )
    command = [sys.executable, "-c", code, str(workspace.folder)]
    with subprocess.Popen([*command, "redo"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    result = merge(workspace)
    assert result.frames == COUNT and 4 <= result.reused < COUNT
    assert outputs(workspace) == whole
    assert not list(workspace.data_dst.glob("merged*/.tmp-*"))


def test_torn_journal_line_is_not_believed(workspace: Workspace) -> None:
    merge(workspace)
    journal = workspace.merged / FILE_NAME
    journal.write_bytes(journal.read_bytes()[:-30] + b"\xff")
    assert merge(workspace).reused == COUNT - 1
    hostile = {"name": "../../x.png", "key": "", "faces": 0, "sizes": [0, 0]}
    journal.write_text(json.dumps(hostile) + "\n[1]\nnull\n" + '{"name": 3}\n')
    assert merge(workspace).reused == 0


def test_nothing_is_made_without_rights(workspace: Workspace) -> None:
    (workspace.folder / "rights.json").unlink()
    with pytest.raises(RightsError):
        merge(workspace)
    assert not workspace.merged.exists()


def test_missing_model_and_faceset_are_told(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no trained"):
        merge(workspace, name="other")
    save_model(workspace, name="second")
    with pytest.raises(InputError, match="choose one by --name"):
        merge(workspace)
    assert merge(workspace, name="second").frames == COUNT
    for file in workspace.aligned_dst.iterdir():
        file.unlink()
    workspace.aligned_dst.rmdir()
    with pytest.raises(InputError, match="extract dst"):
        merge(workspace, name="second")


def test_an_empty_faceset_is_told_unless_the_footage_has_no_face(workspace: Workspace) -> None:
    for file in workspace.aligned_dst.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="run `faceloom extract dst` first"):
        merge(workspace)
    with start_journal(workspace.aligned_dst, {}) as journal:
        journal.add({"frame": 0, "stem": "00001", "faces": 2, "state": {}})
        with pytest.raises(InputError, match="extract dst` first"):
            merge(workspace)
        journal.finish()
    with pytest.raises(InputError, match="2 were extracted"):
        merge(workspace)
    assert not workspace.merged.exists()
    with start_journal(workspace.aligned_dst, {}) as journal:
        journal.add({"frame": 0, "stem": "00001", "faces": 0, "state": {}})
        journal.finish()
    progress = NullProgress()
    result = merge(workspace, progress)
    assert (result.frames, result.untouched) == (COUNT, COUNT)
    assert any("no faces in the footage" in note for note in progress.notes)


def test_choices_for_the_video_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="fixed quality"):
        MergeConfig(to_video=True, codec="ffv1", crf=3)
    assert MergeConfig(codec="ffv1", crf=3).crf == 3


def test_faces_of_other_frames_are_told(workspace: Workspace) -> None:
    for file in workspace.aligned_dst.glob("*.jpg"):
        file.unlink()
    write_faces(workspace.aligned_dst, [f"shot_{i}.png" for i in range(COUNT)])
    progress = NullProgress()
    result = merge(workspace, progress)
    assert result.untouched == COUNT
    assert any("no frame will get a face" in note for note in progress.notes)


@pytest.mark.parametrize("codec", ["ffv1", None])
def test_straight_to_video(workspace: Workspace, codec: str | None) -> None:
    merge(workspace)
    result = merge(workspace, to_video=True, codec=codec)
    assert result.output == workspace.folder / ("result.mkv" if codec else "result.mp4")
    footage = open_footage(result.output)
    dst = open_footage(workspace.footage("dst"))
    assert (len(footage), footage.info.size, footage.info.fps) == (COUNT, SIZE, Fraction(25))
    for frame, merged in zip(footage.frames(), sorted(workspace.merged.glob("*.png")), strict=True):
        image = read_image(merged)[0]
        if codec:
            np.testing.assert_array_equal(frame.image, image)
        else:
            assert np.abs(frame.image.astype(int) - image).mean() < 8  # 4:2:0
        assert frame.time == dst.time_of(frame.index)
    masks = open_footage(result.mask_output)
    for frame, mask in zip(
        masks.frames(), sorted(workspace.merged_mask.glob("*.png")), strict=True
    ):
        np.testing.assert_array_equal(frame.image[..., 0], read_image(mask)[0][..., 0])
    report = inspect_file(result.output, workspace_dir=workspace.folder)
    assert report.state == "valid" and report.trusted and report.made_by_ai
    assert not list(workspace.folder.glob(".tmp-*"))


def test_cancelled_video_leaves_nothing(workspace: Workspace) -> None:
    cancel = Cancel()
    config = MergeConfig(
        workspace=workspace.folder, to_video=True, threads=1, device="cpu", batch_size=1
    )
    with pytest.raises(CancelledError):
        run(config, progress=StopAfter(cancel, 3), cancel=cancel)
    assert not [f for f in workspace.folder.iterdir() if "result" in f.name]


def test_video_never_replaces_the_footage(workspace: Workspace) -> None:
    video = workspace.footage("dst")
    assert isinstance(video, Path)
    before = video.read_bytes()
    with pytest.raises(InputError, match="footage itself"):
        merge(workspace, to_video=True, codec="ffv1", output=video)
    assert video.read_bytes() == before


def test_pictures_of_16_bits_with_alpha_and_foreign_faces(tmp_path: Path) -> None:
    """A DFL workspace: frames in data_dst, faces without our metadata."""
    workspace = create_workspace(tmp_path / "dfl")
    names = [f"{i:05d}.png" for i in range(3)]
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:40] = 90
    for index, name in enumerate(names):
        write_image(workspace.data_dst / name, picture(index, "uint16"), alpha=alpha)
    write_faces(workspace.aligned_dst, names, own=False)
    state_rights(workspace)
    save_model(workspace)
    result = merge(workspace, mask_mode="full", blur=30)
    assert (result.frames, result.faces) == (3, 3)
    for index, name in enumerate(names):
        image, kept = read_image(workspace.merged / name, native=True)
        mask = cv2.imread(str(workspace.merged_mask / name), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image[mask == 0], picture(index, "uint16")[mask == 0])
        np.testing.assert_array_equal(kept, alpha)
        assert mask.any()


def test_shorter_footage_leaves_no_old_frames(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "pair")
    for index in range(4):
        write_image(workspace.data_dst / f"{index}.png", picture(index))
    write_faces(workspace.aligned_dst, ["0.png", "1.png"])
    state_rights(workspace)
    save_model(workspace)
    assert merge(workspace).frames == 4
    own = workspace.merged / "note.png"
    write_image(own, picture(0))
    (workspace.data_dst / "2.png").unlink()
    state_rights(workspace)
    result = merge(workspace)
    assert (result.frames, result.reused) == (3, 3)
    assert sorted(file.name for file in workspace.merged.glob("*.png")) == [
        "0.png",
        "1.png",
        "3.png",
        "note.png",
    ]


def test_frames_of_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "pair")
    write_image(workspace.data_dst / "a.bmp", picture(0))
    write_image(workspace.data_dst / "a.png", picture(1))
    write_faces(workspace.aligned_dst, ["b.png"])
    state_rights(workspace)
    save_model(workspace)
    progress = NullProgress()
    assert merge(workspace, progress).frames == 1
    assert any("skipping a.png" in note for note in progress.notes)
    np.testing.assert_array_equal(read_image(workspace.merged / "a.png")[0], picture(0))
    assert merge(workspace).reused == 1
