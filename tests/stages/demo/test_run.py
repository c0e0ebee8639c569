"""The demo: its clips and scores, and a very small run of it all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, NullProgress
from faceloom.media import open_footage
from faceloom.provenance import inspect_file
from faceloom.stages.demo.clips import clip_path, make_clip, read_truth
from faceloom.stages.demo.config import DemoConfig
from faceloom.stages.demo.run import TimedCancel, run
from faceloom.stages.demo.score import compare_landmarks


def test_landmark_error_is_the_mean_distance_over_the_face_s_size():
    square = np.zeros((1, 68, 2), np.float32)
    square[0, :, 0] = np.linspace(0, 40, 68)
    square[0, :, 1] = np.linspace(0, 90, 68)
    found = square[0] + np.array([3, 4], np.float32)
    error = compare_landmarks(
        np.repeat(square, 3, axis=0), {0: [found + 50, found], 2: [square[0]]}
    )
    # sqrt(40 * 90) = 60 px; one frame 5 px off, one exact, one missed.
    assert error.mean_percent == pytest.approx(100 * 2.5 / 60, rel=1e-5)
    assert (error.frames, error.missed) == (2, 1)


def test_a_time_limit_ends_loops_but_is_no_cancellation():
    outer = Cancel()
    limited = TimedCancel(outer, 0.02)
    assert not limited.is_set
    time.sleep(0.03)
    assert limited.is_set
    limited.check()
    outer.set()
    with pytest.raises(CancelledError):
        limited.check()


def test_clips_are_the_same_every_time_and_know_their_truth(tmp_path, need_weights):
    need_weights("portrait-astronaut", "yunet", "face-landmarker")
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, threads in ((one, 1), (other, 2)):
        assert make_clip(folder, "src", 10, threads, progress=NullProgress(), cancel=Cancel())
    first, second = (
        [frame.image for frame in open_footage(clip_path(folder, "src")).frames()]
        for folder in (one, other)
    )
    assert len(first) == 10 and first[0].shape == (640, 512, 3)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    truth = read_truth(one, "src")
    assert truth.shape == (10, 68, 2)
    assert (truth == read_truth(other, "src")).all()
    assert np.ptp(truth[0], axis=0).min() > 150, (
        "the face should have 200 px and more with its brow"
    )
    assert not make_clip(one, "src", 10, 1, progress=NullProgress(), cancel=Cancel())


def test_a_cancelled_clip_leaves_none(tmp_path, need_weights):
    need_weights("portrait-astronaut", "yunet", "face-landmarker")
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        make_clip(tmp_path, "src", 10, 1, progress=NullProgress(), cancel=cancel)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory, need_weights) -> tuple[Path, dict]:
    need_weights("portrait-astronaut", "portrait-hopper", "yunet", "face-landmarker", "sface")
    folder = tmp_path_factory.mktemp("demo") / "demo"
    config = DemoConfig(workspace=folder, frames=10, iterations=2, device="cpu", threads=1)
    return folder, run(config, progress=NullProgress(), cancel=Cancel()).as_dict()


def test_the_demo_leaves_what_it_promises(demo):
    folder, told = demo
    assert len(open_footage(folder / "result.mp4")) == 10
    sheet = open_footage(folder / "contact_sheet.png").frame(0).image
    assert sheet.shape[1] == 6 * 220
    side = open_footage(folder / "side_by_side.mp4")
    assert len(side) == 10 and side.info.size == (640, 3 * 512)
    assert len(open_footage(folder / "timelapse.mp4")) >= 2
    for name in ("result.mp4", "side_by_side.mp4", "contact_sheet.png", "timelapse.mp4"):
        assert inspect_file(folder / name, workspace_dir=folder).state == "valid"
    assert json.loads((folder / "demo.json").read_text()) == told
    assert not list(folder.rglob(".tmp-*"))


def test_its_landmarks_are_near_the_truth(demo):
    _, told = demo
    for side in ("src", "dst"):
        assert told["landmarks"][side]["missed"] == 0
        assert told["landmarks"][side]["mean_percent"] < 1.5


def test_its_two_people_are_told_apart(demo):
    _, told = demo
    assert told["likeness"]["src_to_dst"] < 0.36
    assert told["likeness"]["faces"] > 0


def test_a_second_demo_goes_on_where_the_first_ended(demo):
    folder, told = demo
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir() if p.suffix in (".mp4", ".png")}
    config = DemoConfig(workspace=folder, frames=10, iterations=2, device="cpu", threads=1)
    again = run(config, progress=NullProgress(), cancel=Cancel()).as_dict()
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert again["iterations"] == told["iterations"] == 2
    assert again["likeness"] == told["likeness"]
