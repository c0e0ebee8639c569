"""Settings of extraction: detectors, turns, threads, devices, and faces from a manual file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from faceloom.core import Cancel, InputError, NullProgress
from faceloom.detect import open_finder
from faceloom.faces import read_record
from faceloom.media import open_footage, write_image
from faceloom.stages.extract.run import ExtractConfig, run
from faceloom.workspace.layout import create_workspace, set_footage


def config(**settings: object) -> ExtractConfig:
    return ExtractConfig.model_validate({"side": "dst", **settings})


def test_detectors_and_turns_are_lists_or_texts() -> None:
    assert config(detector=["yunet", "mtcnn"]).detector == "yunet,mtcnn"
    assert config(detector="mtcnn, yunet").side_px == [1920, 640]
    assert config(detector="mtcnn,yunet", detector_size=800).side_px == 800
    assert config().side_px == 640 and config().turns == "auto"
    assert config(turns="0,90").turns == (0, 90) == config(turns=[0, 90]).turns
    for wrong in ({"detector": "yunet,retina"}, {"turns": "45"}, {"landmarker": "fan"}):
        with pytest.raises(ValidationError):
            config(**wrong)


@pytest.fixture
def workspace(media: Path, tmp_path: Path, need_weights) -> Path:
    """Three frames of a photo with a dot of another brightness each."""
    need_weights("yunet", "face-landmarker", "sface")
    image = next(open_footage(media / "photos" / "three_men_office.jpg").frames()).image
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        picture = image.copy()
        picture[0, 0] = number * 40
        write_image(folder / f"{number:03}.png", picture)
    set_footage(create_workspace(tmp_path / "w"), "dst", folder)
    return tmp_path / "w"


def extract(workspace: Path, **settings: object):
    chosen = config(workspace=workspace, **settings)
    result = run(chosen, progress=NullProgress(), cancel=Cancel())
    return result, {p.name: read_record(p) for p in sorted(result.folder.glob("*.jpg"))}


def test_faces_of_a_file_go_through_extraction(workspace: Path, tmp_path: Path) -> None:
    marks = np.stack([np.linspace(300, 420, 68), 300 + 60 * np.sin(np.arange(68.0))], axis=1)
    frames = [
        {"name": "000.png", "faces": [{"landmarks": marks.round(2).tolist()}]},
        {"index": 1, "faces": [{"rect": [818, 65, 941, 224]}]},
    ]
    path = tmp_path / "faces.json"
    path.write_text(json.dumps({"faceloom_manual": 1, "frames": frames}))
    with pytest.raises(InputError, match="manual_file"):
        extract(workspace, detector="manual")
    result, records = extract(workspace, detector="manual", manual_file=path)
    assert sorted(records) == ["000_0.jpg", "001_0.jpg"] and result.frames_without_face == 1
    given, boxed = records["000_0.jpg"], records["001_0.jpg"]
    np.testing.assert_allclose(given.source_landmarks, marks.round(2), atol=1e-3)
    assert given.own is not None and given.own.detector == "manual"
    low, high = np.min(boxed.source_landmarks, axis=0), np.max(boxed.source_landmarks, axis=0)
    assert (low > [810, 80]).all() and (high < [945, 230]).all()


def test_given_frames_must_be_there(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    frames = [{"name": "03", "faces": []}, {"index": 3, "faces": []}, {"name": "2", "faces": []}]
    path.write_text(json.dumps({"faceloom_manual": 1, "frames": frames}))
    with pytest.raises(
        InputError, match=r"faces.json: frame '03' \(and 2 more\) is not among the 3 frames"
    ):
        extract(workspace, detector="manual", manual_file=path)
    # What failed before its first frame does not bind the next one.
    assert extract(workspace, who=None)[0].faces > 0


def test_a_resumed_run_must_have_the_same_detectors_and_turns(workspace: Path) -> None:
    result, records = extract(workspace, detector="yunet,centerface", turns="0", max_faces=1)
    assert result.faces == 3
    owns = [record.own for record in records.values()]
    assert {own.detector for own in owns if own} <= {"yunet", "centerface"}
    again, _ = extract(workspace, detector="yunet,centerface", turns="0", max_faces=1)
    assert again.faces == 3
    with pytest.raises(InputError, match="turns"):
        extract(workspace, detector="yunet,centerface", max_faces=1)
    with pytest.raises(InputError, match="detector=yunet,centerface"):
        extract(workspace, turns="0", max_faces=1)


def test_placed_points_are_not_smoothed_and_empty_frames_stay_empty(
    workspace: Path, tmp_path: Path
) -> None:
    """A tracked face, and a file that says there is none in a frame between two sightings."""
    frames = [{"name": "001", "faces": [], "only": True}]
    path = tmp_path / "faces.json"
    path.write_text(json.dumps({"faceloom_manual": 1, "frames": frames}))
    settings = {"detector": "yunet,manual", "manual_file": path, "tracking": "on"}
    _, records = extract(workspace, **settings)
    assert {name[:3] for name in records} == {"000", "002"}
    marks = [
        np.stack([np.linspace(300, 420 + 9 * i, 68), 300 + 60 * np.sin(np.arange(68.0))], 1)
        for i in (0, 2, 1)
    ]
    frames = [
        {"index": i, "faces": [{"landmarks": m.round(2).tolist()}], "only": True}
        for i, m in enumerate(marks)
    ]
    path.write_text(json.dumps({"faceloom_manual": 1, "frames": frames}))
    _, records = extract(workspace, **settings, restart=True, smooth=1.0)
    for record, placed in zip(records.values(), marks, strict=True):
        np.testing.assert_allclose(record.source_landmarks, placed.round(2), atol=1e-3)


def test_threads_have_an_old_name() -> None:
    assert config(workers=3).threads == 3 == config(threads=3).threads
    assert config().threads == 0 and config().device == "auto"
    with pytest.raises(ValidationError):
        config(threads=300)


def test_the_device_reaches_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, str] = {}

    def fake(name: str):  # type: ignore[no-untyped-def]
        def make(*_: object, device: str, **__: object) -> object:
            made[name] = device
            return object()

        return make

    for name in ("YuNet", "CenterFace", "Mtcnn", "S3fd", "open_fan"):
        monkeypatch.setattr(f"faceloom.detect.registry.{name}", fake(name))
    open_finder("yunet,centerface,mtcnn,s3fd", "2dfan", device="cuda:1")
    assert made == dict.fromkeys(("YuNet", "CenterFace", "Mtcnn", "S3fd", "open_fan"), "cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_a_device_that_is_not_there_is_an_error(workspace: Path, device: str) -> None:
    with pytest.raises(InputError, match="device"):
        extract(workspace, device=device)
    assert extract(workspace, device="cpu")[0].frames == 3
