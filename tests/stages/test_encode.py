"""The encode stage: merged pictures to a labelled video, with dst's times, sound and shape."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError, MediaError, NullProgress, RightsError
from faceloom.media import ColorTags, FootageInfo, VideoWriter, open_footage, write_image
from faceloom.provenance import (
    Statement,
    describe_footage,
    inspect_file,
    make_record,
    read_ledger,
    sidecar_path,
    write_rights,
)
from faceloom.stages.config import EncodeConfig
from faceloom.stages.encode import EncodeResult, run
from faceloom.workspace.layout import Workspace, create_workspace

SIZE = (48, 64)
STAMPS = [100, 140, 180, 340, 380, 740]
ASPECT = Fraction(4, 3)


def picture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        stream.layout = "5.1"
        samples = np.random.default_rng(0).standard_normal((6, 44100)).astype(np.float32) * 0.1
        for at in range(0, 44100, 1024):
            block = np.ascontiguousarray(samples[:, at : at + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "5.1")
            frame.sample_rate, frame.pts = 44100, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def state_rights(workspace: Workspace) -> None:
    files = describe_footage(workspace.folder, workspace.footage("dst"))
    statement = Statement(ground="synthetic", files=files)
    write_rights(workspace.folder, make_record(statement, statement))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an anamorphic VFR video with 5.1 sound, merged frames, masks and rights."""
    workspace = create_workspace(tmp_path_factory.mktemp("template") / "pair")
    write_sound(workspace.folder / "sound.mp4")
    video = workspace.folder / "data_dst.mp4"
    like = FootageInfo(
        (video,),
        "video",
        SIZE,
        fps=Fraction(25),
        frame_count=6,
        duration_s=1.0,
        time_base=Fraction(1, 1000),
        last_frame_s=Fraction(1, 25),
        sample_aspect=ASPECT,
    )
    with VideoWriter(video, like, audio_from=workspace.folder / "sound.mp4") as writer:
        for index, stamp in enumerate(STAMPS):
            writer.write(np.full((*SIZE, 3), 20 * index, np.uint8), Fraction(stamp, 1000))
    for index in range(6):
        write_image(workspace.merged / f"{index + 1:05d}.png", picture(index))
        write_image(workspace.merged_mask / f"{index + 1:05d}.png", picture(index)[..., 1])
    state_rights(workspace)
    return workspace.folder


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Workspace:
    return Workspace.open(shutil.copytree(template, tmp_path / "pair"))


def encode(
    workspace: Workspace,
    progress: NullProgress | None = None,
    cancel: Cancel | None = None,
    **options,
) -> EncodeResult:
    config = EncodeConfig(workspace=workspace.folder, **options)
    return run(config, progress=progress or NullProgress(), cancel=cancel or Cancel())


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.size]


def test_pixels_times_sound_and_shape(workspace):
    result = encode(workspace, codec="h264-lossless")
    assert result.output == workspace.folder / "result.mp4"
    footage = open_footage(result.output)
    frames = list(footage.frames())
    assert [frame.time for frame in frames] == [Fraction(stamp, 1000) for stamp in STAMPS]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(index))
    assert footage.info.sample_aspect == ASPECT
    assert footage.info.duration_s == pytest.approx(0.68)
    assert sound_of(result.output) == sound_of(workspace.folder / "data_dst.mp4")
    assert footage.info.audio[0].layout == "5.1"
    masks = open_footage(result.mask_output)
    for index, frame in enumerate(masks.frames()):
        np.testing.assert_array_equal(frame.image[..., 0], picture(index)[..., 1])
    assert [frame.time for frame in masks.frames()] == [frame.time for frame in frames]


def test_the_result_is_signed_and_recorded(workspace):
    result = encode(workspace)
    report = inspect_file(result.output, workspace_dir=workspace.folder)
    assert report.state == "valid"
    assert report.trusted
    assert report.made_by_ai
    entry = read_ledger(workspace.folder)[-1]
    assert (entry.event, entry.data["output"], entry.data["frames"]) == ("encode", "result.mp4", 6)
    assert json.dumps(result.as_dict())
    assert "signed" in result.lines()[0]


def test_matroska_is_signed_beside(workspace):
    result = encode(workspace, codec="ffv1", masks=False)
    assert result.output.suffix == ".mkv"
    assert result.mask_output is None
    assert sidecar_path(result.output).is_file()
    assert inspect_file(result.output, workspace_dir=workspace.folder).state == "valid"
    assert open_footage(result.output).info.sample_aspect == ASPECT


def test_nothing_without_rights(workspace):
    (workspace.folder / "rights.json").unlink()
    with pytest.raises(RightsError):
        encode(workspace)
    assert not (workspace.folder / "result.mp4").exists()


def test_nothing_merged_is_told(workspace):
    shutil.rmtree(workspace.merged)
    with pytest.raises(InputError, match="run `faceloom merge` first"):
        encode(workspace)
    write_image(workspace.merged / "other.png", picture(0))
    with pytest.raises(InputError, match="no picture has the name"):
        encode(workspace)


def test_missing_frames_are_told_and_leave_their_time(workspace):
    (workspace.merged / "00003.png").unlink()
    progress = NullProgress()
    result = encode(workspace, progress, codec="h264-lossless")
    assert any("1 of 6 frames are missing from merged" in note for note in progress.notes)
    times = [frame.time for frame in open_footage(result.output).frames()]
    assert times == [Fraction(stamp, 1000) for stamp in STAMPS if stamp != 180]


def test_one_size_is_needed(workspace):
    write_image(workspace.merged / "00004.png", picture(1)[:40])
    with pytest.raises(MediaError, match=r"00004\.png: 64x40 pixels.*64x48"):
        encode(workspace)
    names = [path.name for path in workspace.folder.iterdir()]
    assert not [name for name in names if name.startswith((".tmp", "result"))]


def test_a_stop_leaves_nothing(workspace):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        encode(workspace, cancel=cancel)
    names = [p.name for p in workspace.folder.iterdir()]
    assert not [name for name in names if name.startswith((".tmp", "result"))]


def test_the_footage_is_never_overwritten(workspace):
    with pytest.raises(InputError, match="this is the footage itself"):
        encode(workspace, output=workspace.folder / "data_dst.mp4")


def test_an_output_that_ends_in_a_slash_is_a_folder(workspace):
    made = encode(workspace, output=f"{workspace.folder / 'cuts'}/", masks=False)
    assert made.output == workspace.folder / "cuts" / "result.mp4"
    named = encode(workspace, output=workspace.folder / "cuts" / "second", masks=False)
    assert named.output == workspace.folder / "cuts" / "second.mp4"
    assert {path.name for path in (workspace.folder / "cuts").iterdir()} == {
        "result.mp4",
        "second.mp4",
    }


def test_containers_and_rates_are_checked(workspace):
    before = sorted(workspace.folder.rglob("*"))
    new = workspace.folder / "new"
    for options, message in (
        ({"codec": "prores", "output": new / "a.mp4"}, "prores does not go into a .mp4"),
        ({"codec": "ffv1", "output": new / "a.MP4"}, "ffv1 does not go into"),
        ({"crf": 20, "bitrate": 100_000}, "not both"),
        ({"codec": "ffv1", "crf": 3}, "ffv1 has a fixed quality"),
        ({"preset": "foo"}, "ultrafast"),
    ):
        with pytest.raises(ValueError, match=message):
            encode(workspace, **options)
        assert sorted(workspace.folder.rglob("*")) == before


def test_frames_dumped_by_dfl_keep_times_and_sound(workspace):
    """A DFL workspace: frames in data_dst, the video beside them."""
    for index in range(6):
        write_image(workspace.data_dst / f"{index + 1:05d}.jpg", picture(index))
    state_rights(workspace)
    result = encode(workspace, codec="h264-lossless")
    times = [frame.time for frame in open_footage(result.output).frames()]
    assert times == [Fraction(stamp, 1000) for stamp in STAMPS]
    assert sound_of(result.output) == sound_of(workspace.folder / "data_dst.mp4")
    assert open_footage(result.output).info.sample_aspect == ASPECT


def test_the_command(workspace):
    command = [sys.executable, "-m", "faceloom.cli.main", "encode", "-w", str(workspace.folder)]
    done = subprocess.run(
        [*command, "--codec", "h265", "--crf", "30", "--preset", "ultrafast", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["frames"], told["codec"]) == (6, "h265")
    assert open_footage(told["output"]).info.codec == "hevc"
    both = subprocess.run([*command, "--crf", "3", "--bitrate", "5000"], capture_output=True)
    assert both.returncode == 2


def test_eight_bit_pictures_of_hdr_footage_become_sdr(tmp_path):
    workspace = create_workspace(tmp_path / "hdr")
    video = workspace.folder / "data_dst.mp4"
    like = FootageInfo(
        (video,),
        "video",
        SIZE,
        fps=Fraction(25),
        frame_count=2,
        duration_s=0.08,
        time_base=Fraction(1, 12800),
        bit_depth=10,
        hdr=True,
        color=ColorTags("bt2020nc", "limited", "bt2020", "smpte2084"),
    )
    with VideoWriter(video, like, codec="h265") as writer:
        for index in range(2):
            writer.write(picture(index).astype(np.uint16) * 257, Fraction(index, 25))
    state_rights(workspace)
    for index in range(2):
        write_image(workspace.merged / f"{index + 1:05d}.png", picture(0))
    progress = NullProgress()
    info = open_footage(encode(workspace, progress).output).info
    assert (info.hdr, info.codec, info.color.transfer) == (False, "h264", "bt709")
    assert any("SDR" in note for note in progress.notes)
    for index in range(2):
        deep = picture(0).astype(np.uint16) * 257
        write_image(workspace.merged / f"{index + 1:05d}.png", deep)
    info = open_footage(encode(workspace).output).info
    assert (info.hdr, info.codec, info.bit_depth) == (True, "hevc", 10)
