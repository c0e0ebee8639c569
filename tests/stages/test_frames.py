"""The frames stage: which pictures it writes, their times, and how it goes on after a stop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.media import FootageInfo, VideoWriter, open_footage, read_image, write_image
from faceloom.stages.config import FramesConfig
from faceloom.stages.frames import FramesResult, choose_frames, run
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace, create_workspace, set_footage

SIZE = (48, 64)
TIMES = [Fraction(t, 1000) for t in (0, 40, 80, 240, 280, 640, 680, 720, 760, 800)]


def picture(index: int, top: int = 255) -> np.ndarray:
    rng = np.random.default_rng(index)
    dtype = np.uint8 if top == 255 else np.uint16
    return rng.integers(0, top + 1, (*SIZE, 3)).astype(dtype)


def write_video(path: Path, times: list[Fraction], *, top: int = 255, hdr: bool = False) -> Path:
    like = FootageInfo(
        (path,),
        "video",
        SIZE,
        fps=Fraction(25),
        frame_count=len(times),
        duration_s=1.0,
        time_base=Fraction(1, 1000),
        sample_aspect=Fraction(4, 3),
        bit_depth=8 if top == 255 else 16,
        hdr=hdr,
    )
    with VideoWriter(path, like, codec="ffv1") as writer:
        for index, time in enumerate(times):
            writer.write(picture(index, top), time)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = create_workspace(tmp_path / "pair")
    write_video(made.folder / "data_dst.mkv", TIMES)
    return made


def dump(workspace: Workspace, cancel: Cancel | None = None, **options) -> FramesResult:
    config = FramesConfig(workspace=workspace.folder, **{"side": "dst"} | options)
    return run(config, progress=NullProgress(), cancel=cancel or Cancel())


def test_every_frame_as_png(workspace):
    result = dump(workspace)
    assert (result.output, result.frames, result.written) == (workspace.data_dst, 10, 10)
    names = sorted(path.name for path in workspace.data_dst.glob("*.png"))
    assert names == [f"{index + 1:05d}.png" for index in range(10)]
    for index, name in enumerate(names):
        np.testing.assert_array_equal(read_image(workspace.data_dst / name)[0], picture(index))


def test_the_dump_keeps_times_and_pixel_shape(workspace):
    video = open_footage(workspace.folder / "data_dst.mkv")
    dump(workspace)
    frames = open_footage(workspace.data_dst)
    assert [frame.time for frame in frames.frames()] == TIMES
    assert frames.info.sample_aspect == Fraction(4, 3)
    assert frames.info.fps == video.info.fps
    assert frames.info.duration_s == pytest.approx(video.info.duration_s)


def test_jpeg_and_its_quality(workspace, tmp_path):
    small = dump(workspace, format="jpg", jpeg_quality=30, output=tmp_path / "a").output
    large = dump(workspace, format="jpg", jpeg_quality=95, output=tmp_path / "b").output
    sizes = [sum(f.stat().st_size for f in folder.glob("*.jpg")) for folder in (small, large)]
    assert 0 < sizes[0] < sizes[1]
    assert len(list(small.glob("*.jpg"))) == 10


def test_fewer_pictures_a_second(workspace, tmp_path):
    """At 5 a second: the first frame in each fifth of a second."""
    result = dump(workspace, fps=5, output=tmp_path / "five")
    expected = [0, 3, 5, 9]  # 0, 240, 640 and 800 ms
    assert result.frames == len(expected)
    footage = open_footage(result.output)
    assert [frame.time for frame in footage.frames()] == [TIMES[i] for i in expected]
    assert footage.info.fps == 5
    for frame, index in zip(footage.frames(), expected, strict=True):
        np.testing.assert_array_equal(frame.image, picture(index))
    names = sorted(path.name for path in result.output.glob("*.png"))
    assert names == [f"{k + 1:05d}.png" for k in range(len(expected))]


def test_even_thinning(tmp_path):
    times = [Fraction(i, 25) for i in range(50)]
    footage = open_footage(write_video(tmp_path / "a.mkv", times))
    chosen = choose_frames(footage, Fraction(10))
    assert len(chosen) == 20
    assert max(np.diff(chosen)) <= 3
    assert choose_frames(footage, Fraction(0)) == list(range(50))
    assert choose_frames(footage, Fraction(60)) == list(range(50))


def test_going_on_writes_only_what_is_missing(workspace):
    dump(workspace)
    kept = workspace.data_dst / "00002.png"
    before = kept.stat().st_mtime_ns
    (workspace.data_dst / "00005.png").unlink()
    (workspace.data_dst / ".tmp-1-ab-00009.png").write_bytes(b"half")
    result = dump(workspace)
    assert (result.frames, result.written) == (10, 1)
    assert kept.stat().st_mtime_ns == before
    assert not list(workspace.data_dst.glob(".tmp-*"))
    np.testing.assert_array_equal(read_image(workspace.data_dst / "00005.png")[0], picture(4))


def test_a_stop_keeps_what_is_done(workspace):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        dump(workspace, cancel)
    assert dump(workspace).frames == 10


def test_pictures_of_another_dump_are_not_mixed_in(workspace):
    dump(workspace)
    with pytest.raises(InputError, match="pictures of other footage"):
        dump(workspace, format="jpg")
    result = dump(workspace, format="jpg", redo=True)
    assert result.written == 10
    assert not list(workspace.data_dst.glob("*.png"))


def test_foreign_pictures_are_not_touched(workspace):
    write_image(workspace.data_dst / "00001.png", picture(7))
    with pytest.raises(InputError, match="redo"):
        dump(workspace)
    np.testing.assert_array_equal(read_image(workspace.data_dst / "00001.png")[0], picture(7))


def test_sixteen_bits(tmp_path):
    workspace = create_workspace(tmp_path / "deep")
    write_video(workspace.folder / "data_dst.mkv", TIMES[:3], top=65535)
    dump(workspace, deep=True)
    for index in range(3):
        image = read_image(workspace.data_dst / f"{index + 1:05d}.png", native=True)[0]
        np.testing.assert_array_equal(image, picture(index, 65535))
    with pytest.raises(InputError, match="8 bits only"):
        dump(workspace, deep=True, format="jpg")


def test_pictures_need_no_dump(tmp_path):
    workspace = create_workspace(tmp_path / "pair")
    write_image(tmp_path / "photos" / "a.png", picture(1))
    set_footage(workspace, "dst", tmp_path / "photos")
    with pytest.raises(InputError, match="pictures already"):
        dump(workspace)


def test_dumps_of_dfl_get_their_times_from_the_video(workspace):
    """A full dump by number; a thinned one spread evenly."""
    for index in range(10):
        write_image(workspace.data_dst / f"{index + 1:05d}.png", picture(index))
    footage = open_side(workspace, "dst")
    assert footage.info.kind == "images"
    assert [frame.time for frame in footage.frames()] == TIMES
    assert footage.info.sample_aspect == Fraction(4, 3)
    for index in range(5, 10):
        (workspace.data_dst / f"{index + 1:05d}.png").unlink()
    footage = open_side(workspace, "dst")
    times = [float(frame.time) for frame in footage.frames()]
    length = open_footage(workspace.folder / "data_dst.mkv").info.duration_s
    np.testing.assert_allclose(times, [k * length / 5 for k in range(5)], atol=2e-3)
