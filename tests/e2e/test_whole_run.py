"""From two clips to a signed result through the command line, small and lossless."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.media import open_footage
from faceloom.provenance import inspect_file
from portrait_clips import WEIGHTS, portrait_frames, write_frames

FRAMES = 5
WITHOUT_FACE = 2
FPS = Fraction(30000, 1001)
TINY = (
    "train.resolution=64",
    "train.archi=df",
    "train.ae_dims=32",
    "train.e_dims=16",
    "train.d_dims=16",
    "train.batch_size=2",
    "train.threads=1",
    "extract.image_size=128",
    "merge.threads=1",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, need_weights) -> Path:
    """A workspace that went through `faceloom new` and `faceloom run`."""
    need_weights(*WEIGHTS)
    folder = tmp_path_factory.mktemp("e2e")
    clips = {}
    for side in ("src", "dst"):
        images = portrait_frames(side, FRAMES)
        if side == "dst":
            # A frame of the same clip whose face is out of sight.
            images[WITHOUT_FACE] = np.ascontiguousarray(
                cv2.resize(images[WITHOUT_FACE][230:], (256, 320))
            )
        clips[side] = folder / f"{side}.mkv"
        write_frames(clips[side], images, codec="ffv1", fps=FPS)
    made = folder / "cast"
    arguments = [str(made), "--src", str(clips["src"]), "--dst", str(clips["dst"])]
    grounds = ["--src-rights", "public-domain", "--dst-rights", "public-domain"]
    assert run_command(["new", *arguments, *grounds]) == 0
    settings = [part for text in (*TINY, "encode.codec=ffv1") for part in ("--set", text)]
    assert run_command(["run", str(made), "--iterations", "3", "--device", "cpu", *settings]) == 0
    return made


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.image for frame in open_footage(path).frames()]


def test_the_result_has_the_footage_s_shape_and_time(workspace):
    dst, result = open_footage(workspace.parent / "dst.mkv"), open_footage(workspace / "result.mkv")
    assert len(result) == len(dst) == FRAMES
    assert result.info.size == dst.info.size
    assert result.info.fps == dst.info.fps
    assert [result.time_of(i) for i in range(FRAMES)] == [dst.time_of(i) for i in range(FRAMES)]


def test_only_masked_pixels_change_to_the_bit(workspace):
    before = pictures(workspace.parent / "dst.mkv")
    after = pictures(workspace / "result.mkv")
    masks = pictures(workspace / "result_mask.mp4")
    for index, (old, new, mask) in enumerate(zip(before, after, masks, strict=True)):
        untouched = mask.max(axis=2) == 0
        assert (old[untouched] == new[untouched]).all()
        if index == WITHOUT_FACE:
            assert untouched.all()
        else:
            assert 0.02 < (~untouched).mean() < 0.5
            assert (old[~untouched] != new[~untouched]).mean() > 0.2


def test_the_result_is_signed_and_tells_where_it_comes_from(workspace):
    report = inspect_file(workspace / "result.mkv", workspace_dir=workspace)
    assert report.state == "valid"
    told = json.dumps(report.as_dict(), default=str)
    assert "c2pa.opened" in told and "compositeWithTrainedAlgorithmicMedia" in told


def test_running_again_changes_nothing(workspace, capsys):
    files = [workspace / "result.mkv", workspace / "result_mask.mp4"]
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    settings = [part for text in (*TINY, "encode.codec=ffv1") for part in ("--set", text)]
    again = ["run", str(workspace), "--iterations", "3", "--device", "cpu", "--json", *settings]
    assert run_command(again) == 0
    assert [(file.stat().st_mtime_ns, file.read_bytes()) for file in files] == before
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert "encode" not in steps
    assert steps["merge"]["reused"] == steps["merge"]["frames"] == FRAMES


def test_without_a_rights_record_nothing_is_merged(workspace, tmp_path, capsys):
    for side in ("src", "dst"):
        (tmp_path / f"data_{side}.mkv").symlink_to(workspace.parent / f"{side}.mkv")
    assert run_command(["run", str(tmp_path)]) == 1
    assert "rights" in capsys.readouterr().err
    assert not (tmp_path / "data_dst").exists()
