"""`run`: from two clips to a signed result; a second run does nothing; wrong words are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceloom.core import (
    Cancel,
    CancelledError,
    FaceloomError,
    InputError,
    NullProgress,
    RightsError,
)
from faceloom.media import VideoWriter, open_footage
from faceloom.provenance import inspect_file
from faceloom.stages import new
from faceloom.stages.config import NewConfig, RunConfig
from faceloom.stages.run import RunResult, run
from faceloom.workspace.layout import create_workspace, set_footage
from tiny_clips import write_clip

SMALL = (
    "train.resolution=64",
    "train.ae_dims=32",
    "train.e_dims=16",
    "train.d_dims=16",
    "train.batch_size=2",
    "train.threads=1",
    "extract.image_size=128",
)


def shorten(source: Path, target: Path, frames: int) -> Path:
    """The first frames of a clip, losslessly."""
    footage = open_footage(source)
    with VideoWriter(target, footage.info, codec="h264-lossless") as writer:
        for frame in footage.frames(0, frames):
            writer.write(frame.image, frame.time)
    return target


@pytest.fixture
def cast(media: Path, need_weights, tmp_path: Path) -> Path:
    need_weights("yunet", "face-landmarker")
    folder = tmp_path / "cast"
    pairs = {"src": "woman_webcam_reading.mp4", "dst": "man_webcam_turning.mp4"}
    clips = {
        side: shorten(media / "videos" / name, tmp_path / f"{side}.mp4", 3)
        for side, name in pairs.items()
    }
    config = NewConfig(workspace=folder, **clips, src_rights="licence", dst_rights="licence")
    new.run(config, progress=NullProgress(), cancel=Cancel())
    return folder


def go(folder: Path, progress: NullProgress | None = None, **values) -> RunResult:
    config = RunConfig(
        workspace=folder,
        **{"iterations": 2, "device": "cpu", **values},
    )
    return run(config, progress=progress or NullProgress(), cancel=Cancel())


def test_from_footage_to_signed_result_and_not_twice(cast: Path) -> None:
    progress = NullProgress()
    changes = (*SMALL, "encode.crf=30")
    first = go(cast, progress, changes=changes)
    assert list(first.steps) == ["extract src", "extract dst", "train", "merge", "encode"]
    assert first.steps["train"]["iteration"] == 2
    assert first.steps["merge"]["frames"] == 3
    assert any("faces" in note for note in progress.notes)
    report = inspect_file(first.result, workspace_dir=cast)
    assert report.trusted and report.made_by_ai
    assert open_footage(first.result).info.frame_count == 3

    stamp = first.result.stat().st_mtime_ns
    second = go(cast, changes=changes)
    assert second.result == first.result and second.result.stat().st_mtime_ns == stamp
    assert "encode" not in second.steps
    assert "train" not in second.steps
    assert second.steps["merge"]["reused"] == 3

    # Other settings make what they change anew; a lost result is made again.
    third = go(cast, changes=(*SMALL, "encode.crf=31"))
    assert "encode" in third.steps and third.result.stat().st_mtime_ns != stamp
    third.result.unlink()
    assert go(cast, changes=(*SMALL, "encode.crf=31")).result.is_file()


def test_stops_when_asked(cast: Path) -> None:
    cancel = Cancel()

    class StopsAtTraining(NullProgress):
        def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
            if stage.startswith("train"):
                cancel.set()

    config = RunConfig(workspace=cast, iterations=3, device="cpu", changes=SMALL)
    with pytest.raises(CancelledError):
        run(config, progress=StopsAtTraining(), cancel=cancel)
    assert not (cast / "result.mp4").exists()
    assert not (cast / "data_dst" / "merged").exists()


@pytest.mark.parametrize("text", ["resolution=96", "tarin.resolution=96", "train.resolution"])
def test_setting_without_a_stage(tmp_path: Path, text: str) -> None:
    create_workspace(tmp_path)
    with pytest.raises(InputError, match=r"stage\.key=value"):
        go(tmp_path, changes=(text,))


def test_rights_come_first(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "w")
    for side in ("src", "dst"):
        set_footage(workspace, side, write_clip(tmp_path / f"{side}.mp4"))
    with pytest.raises(RightsError, match="no rights record"):
        go(workspace.folder)
    assert not workspace.aligned_src.exists()


def test_no_face_is_told(media: Path, need_weights, tmp_path: Path) -> None:
    need_weights("yunet", "face-landmarker")
    picture = sorted((media / "noface").glob("*.jpg"))[0]
    config = NewConfig(
        workspace=tmp_path / "w", src=picture, dst=picture, src_rights="own", dst_rights="own"
    )
    new.run(config, progress=NullProgress(), cancel=Cancel())
    with pytest.raises(FaceloomError, match="no faces found in the src footage"):
        go(tmp_path / "w", changes=SMALL)
