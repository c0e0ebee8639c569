"""Writing video: bit-exact where promised, the footage's times, colours and sound everywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceloom.core import FaceloomError, InputError, MediaError
from faceloom.media import (
    CODECS,
    ColorTags,
    FootageInfo,
    VideoWriter,
    default_codec,
    default_suffix,
    open_footage,
)
from faceloom.media.colorimetry import rgb_to_ycc
from media_clips import SIZE, audio_packets, bars, picture, video_times, write_clip

VFR = [0, 512, 1024, 3072, 3584, 8192, 8704, 9216]
LOSSLESS = [("ffv1", ".mkv"), ("h264-lossless", ".mp4"), ("h264-lossless", ".mkv")]


def like(size: tuple[int, int] = SIZE, **changes: object) -> FootageInfo:
    base = FootageInfo(
        (Path("footage.mp4"),),
        "video",
        size,
        fps=Fraction(25),
        frame_count=8,
        duration_s=0.32,
        time_base=Fraction(1, 12800),
        color=ColorTags("bt709", "limited", "bt709", "bt709"),
    )
    return replace(base, **changes)


def write(path: Path, images: list[np.ndarray], info: FootageInfo, **options: object) -> Path:
    with VideoWriter(path, info, **options) as writer:
        for index, image in enumerate(images):
            writer.write(image, info.start_time + Fraction(index, 25))
    return path


@pytest.mark.parametrize(("codec", "suffix"), LOSSLESS)
@pytest.mark.parametrize("size", [SIZE, (61, 83)])
def test_lossless_codecs_keep_every_bit(tmp_path, codec, suffix, size):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(4)]
    path = write(tmp_path / f"a{suffix}", images, like(size), codec=codec)
    # Through bare PyAV, not through the package's own reader.
    with av.open(str(path)) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    np.testing.assert_array_equal(np.stack(decoded), np.stack(images))
    for frame, image in zip(open_footage(path).frames(), images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_ffv1_keeps_sixteen_bits(tmp_path):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 65536, (*SIZE, 3)).astype(np.uint16) for _ in range(3)]
    path = write(tmp_path / "a.mkv", images, like(bit_depth=10), codec="ffv1")
    got = [frame.image for frame in open_footage(path).frames(native=True)]
    np.testing.assert_array_equal(np.stack(got), np.stack(images))


@pytest.mark.parametrize("codec", CODECS)
def test_time_stamps_are_those_of_the_footage(tmp_path, codec):
    """VFR stays VFR, exact to the tick; Matroska counts whole milliseconds."""
    source = write_clip(tmp_path / "vfr.mp4", [picture(i) for i in range(8)], stamps=VFR)
    footage = open_footage(source)
    target = tmp_path / f"out{default_suffix(codec, footage.info)}"
    with VideoWriter(target, footage.info, codec=codec, preset="ultrafast") as writer:
        for frame in footage.frames():
            writer.write(frame.image, frame.time)
    times = video_times(target)
    if target.suffix == ".mkv":
        assert times == [Fraction(round(t * 1000), 1000) for t in video_times(source)]
    else:
        assert times == video_times(source)
        assert open_footage(target).info.fps == footage.info.fps
    assert open_footage(target).info.duration_s == pytest.approx(footage.info.duration_s, abs=2e-3)


@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_clips(tmp_path, codec, count):
    images = [picture(index) for index in range(count)]
    path = tmp_path / f"a{default_suffix(codec, like())}"
    write(path, images, like(), codec=codec)
    footage = open_footage(path)
    assert [f.time for f in footage.frames()] == [Fraction(i, 25) for i in range(count)]
    assert footage.info.duration_s == pytest.approx(count / 25)


def flat_middles(image: np.ndarray) -> np.ndarray:
    """The colours in the middle of the 16-pixel bars."""
    return image[8::16, 8::16].reshape(-1, 3).astype(float)


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
def test_colours_do_not_shift(tmp_path, matrix, range_, codec):
    """Bars come back, the tags are the footage's, and the samples are what the tags say."""
    info = like((128, 128), color=ColorTags(matrix, range_, "bt709", "bt709"))
    path = tmp_path / f"bars{default_suffix(codec, info)}"
    quality = {} if codec == "prores" else {"crf": 6, "preset": "ultrafast"}
    write(path, [bars()] * 3, info, codec=codec, **quality)
    again = open_footage(path)
    expected = "limited" if codec == "prores" else range_
    assert again.info.color == ColorTags(matrix, expected, "bt709", "bt709")
    error = flat_middles(again.frame(1).image) - flat_middles(bars())
    assert np.abs(error.mean(0)).max() < 0.5
    assert np.abs(error).mean() < 1.2
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.color_range == (1 if expected == "limited" else 2)
        luma = np.frombuffer(frame.planes[0], np.uint8 if codec != "prores" else np.uint16)
        luma = luma.reshape(128, -1)[8::16, 8:128:16].astype(float)
    unit = 4 if codec == "prores" else 1
    true = flat_middles(bars()) @ rgb_to_ycc(matrix)[0] / 255
    true = true.reshape(8, 8) * (255 if expected == "full" else 219)
    true = (true + (0 if expected == "full" else 16)) * unit
    assert np.abs(luma - true).max() <= 2.5 * unit


def test_untagged_footage_is_tagged_as_it_was_read(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [bars()] * 2, options={"crf": "2"})
    footage = open_footage(source)
    assert footage.info.color.guessed
    target = write(tmp_path / "b.mp4", [f.image for f in footage.frames()], footage.info, crf=2)
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).colorspace == 6
    error = open_footage(target).frame(0).image.astype(float) - footage.frame(0).image
    assert np.abs(error.mean((0, 1))).max() < 0.3


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_audio_packets_are_copied_as_they_are(tmp_path, layout, suffix):
    source = write_clip(tmp_path / "a.mp4", [picture(i) for i in range(25)], audio=(layout, 44100))
    footage = open_footage(source)
    target = tmp_path / f"b{suffix}"
    with VideoWriter(target, footage.info, audio_from=source, preset="ultrafast") as writer:
        for frame in footage.frames():
            writer.write(frame.image, frame.time)
    before, after = audio_packets(source), audio_packets(target)
    assert [data for _, data in after] == [data for _, data in before]
    tolerance = Fraction(1, 1000) if suffix == ".mkv" else 0
    assert all(abs(a[0] - b[0]) <= tolerance for a, b in zip(before, after, strict=True))
    assert open_footage(target).info.audio[0].layout == layout
    assert video_times(target) == video_times(source)


@pytest.mark.parametrize("starts", [(1.5, 0.0), (0.0, 0.75), (2.0, 1.0)])
def test_offsets_between_sound_and_picture_stay(tmp_path, starts):
    picture_s, sound_s = starts
    source = write_clip(
        tmp_path / "a.mkv",
        [picture(i) for i in range(10)],
        stamps=[round(12800 * picture_s) + 512 * i for i in range(10)],
        audio=("stereo", 48000),
        audio_from_s=sound_s,
    )
    footage = open_footage(source)
    target = tmp_path / "b.mp4"
    with VideoWriter(target, footage.info, audio_from=source, preset="ultrafast") as writer:
        for frame in footage.frames():
            writer.write(frame.image, frame.time)
    gap = audio_packets(source)[1][0] - video_times(source)[0]
    kept = audio_packets(target)[1][0] - video_times(target)[0]
    assert abs(gap - kept) < Fraction(1, 1000)
    assert video_times(target) == video_times(source)


def test_a_transport_stream_begins_at_zero_with_its_offset(tmp_path):
    source = write_clip(
        tmp_path / "a.ts",
        [picture(i) for i in range(10)],
        stamps=[12800 * 100 + 512 * i for i in range(10)],
        audio=("stereo", 48000),
        audio_from_s=100.5,
    )
    footage = open_footage(source)
    assert footage.info.clock_zero > 90
    target = tmp_path / "b.mp4"
    with VideoWriter(target, footage.info, audio_from=source, preset="ultrafast") as writer:
        for frame in footage.frames():
            writer.write(frame.image, frame.time)
    times = video_times(target)
    assert times == [t - footage.info.clock_zero for t in video_times(source)]
    gap = audio_packets(source)[0][0] - video_times(source)[0]
    assert abs(audio_packets(target)[0][0] - times[0] - gap) < Fraction(1, 1000)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(32, 27)])
def test_pixel_aspect_is_kept(tmp_path, codec, suffix, aspect):
    from faceloom.media.codecs import CONTAINERS

    if suffix not in CONTAINERS[codec]:
        pytest.skip("not a pairing that is offered")
    info = like((64, 72), sample_aspect=aspect)
    path = write(tmp_path / f"a{suffix}", [picture(1, (64, 72))] * 3, info, codec=codec)
    again = open_footage(path)
    assert again.info.sample_aspect == aspect
    assert len(list(again.frames())) == 3


@pytest.mark.parametrize("codec", CODECS)
def test_odd_sizes_stay_as_they_are(tmp_path, codec):
    size = (61, 83)
    path = tmp_path / f"a{default_suffix(codec, like(size))}"
    with VideoWriter(path, like(size), codec=codec, preset="ultrafast") as writer:
        for index in range(3):
            writer.write(picture(index, size), Fraction(index, 25))
    again = open_footage(path)
    assert again.info.size == size
    assert np.abs(again.frame(1).image.astype(int) - picture(1, size)).mean() < 4
    if codec in {"h264", "h265"}:
        assert any("odd size" in note for note in writer.notes)


def test_hdr_tags_and_ten_bits_are_kept(tmp_path):
    tags = ColorTags("bt2020nc", "limited", "bt2020", "smpte2084")
    info = like(bit_depth=10, hdr=True, color=tags)
    assert default_codec(info) == "h265"
    deep = picture(1).astype(np.uint16) * 257
    path = write(tmp_path / "a.mp4", [deep] * 3, info, codec="h265", crf=4)
    again = open_footage(path)
    assert again.info.color == tags
    assert (again.info.bit_depth, again.info.hdr) == (10, True)
    error = again.frame(1, native=True).image / 257 - picture(1)
    assert np.abs(error.mean((0, 1))).max() < 0.3


def test_an_error_leaves_nothing_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(RuntimeError), VideoWriter(path, like()) as writer:
        writer.write(picture(1), Fraction(0))
        raise RuntimeError("stop")
    assert path.read_bytes() == b"the old one"
    with pytest.raises(MediaError, match="no frames to write"), VideoWriter(path, like()):
        pass
    with pytest.raises(MediaError, match="does not fit"), VideoWriter(path, like()) as writer:
        writer.write(picture(1, (10, 10)), Fraction(0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_kill_leaves_no_half_result(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from fractions import Fraction\nfrom pathlib import Path\n"
        "from faceloom.media import FootageInfo, VideoWriter\n"
        "info = FootageInfo((Path('x'),), 'video', (64, 64), fps=Fraction(25), frame_count=1,\n"
        "                   duration_s=1.0, time_base=Fraction(1, 25))\n"
        "with VideoWriter(Path(sys.argv[1]), info, codec='ffv1') as writer:\n"
        "    for index in range(10**6):\n"
        "        writer.write(np.full((64, 64, 3), index % 256, np.uint8), Fraction(index, 25))\n"
        "        if index == 50: print('going', flush=True)\n"
    )
    target = tmp_path / "a.mkv"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    assert all(p.name.startswith(".tmp-") for p in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"codec": "prores"}, "prores does not go into a .mp4"),
        ({"codec": "ffv1"}, "ffv1 does not go into a .mp4"),
        ({"codec": "vp9"}, "unknown codec 'vp9'"),
        ({"crf": 20, "bitrate": 10**6}, "not both"),
        ({"crf": 60}, "must be 0 to 51"),
        ({"codec": "h264-lossless", "crf": 3}, "fixed quality"),
    ],
)
def test_options_that_do_not_fit_are_told(tmp_path, options, reason):
    with pytest.raises(InputError) as told:
        VideoWriter(tmp_path / "a.mp4", like(), **options)
    assert reason in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_sound_that_does_not_fit_is_told(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=44100)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8192), np.int16), "s16", "stereo")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with (
        pytest.raises(FaceloomError, match=r"\.mp4 does not support pcm_s16le audio.*\.mkv"),
        VideoWriter(tmp_path / "b.mp4", like(), audio_from=tmp_path / "a.wav"),
    ):
        pass
    assert not (tmp_path / "b.mp4").exists()
    assert default_suffix("h264", like(), ["vorbis"]) == ".mkv"
    assert default_suffix("h264", like(), ["aac", "mp3"]) == ".mp4"
    path = tmp_path / "b.mkv"
    with VideoWriter(path, like(), audio_from=tmp_path / "a.wav") as writer:
        writer.write(picture(1), Fraction(0))
    assert [d for _, d in audio_packets(path)] == [d for _, d in audio_packets(tmp_path / "a.wav")]


def test_bitrate_is_kept_roughly(tmp_path):
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(50)]
    path = write(tmp_path / "a.mp4", images, like(), bitrate=400_000, preset="ultrafast")
    assert 200_000 < path.stat().st_size * 8 / 2 < 800_000


def test_gray_masks_can_be_written(tmp_path):
    mask = picture(1)[..., 0]
    path = write(tmp_path / "a.mp4", [mask], like(), codec="h264-lossless")
    np.testing.assert_array_equal(open_footage(path).frame(0).image[..., 0], mask)


@pytest.mark.parametrize(
    "name", ["audio_5_1.mp4", "video_starts_late.mkv", "variable_frame_rate.mp4"]
)
def test_real_sound_and_times_survive(media: Path, tmp_path: Path, name: str):
    source = media / "awkward" / name
    footage = open_footage(source)
    small = (footage.info.size[0] // 8 * 2, footage.info.size[1] // 8 * 2)
    target = tmp_path / "b.mp4"
    with VideoWriter(
        target, footage.info, audio_from=source, size=small, preset="ultrafast"
    ) as writer:
        for index in range(len(footage)):
            writer.write(picture(index, small), footage.time_of(index))
    before, after = audio_packets(source), audio_packets(target)
    assert [data for _, data in after] == [data for _, data in before]
    assert max(abs(a[0] - b[0]) for a, b in zip(before, after, strict=True)) < Fraction(1, 1000)
    assert video_times(target) == video_times(source)
    assert open_footage(target).info.audio[0].layout == footage.info.audio[0].layout


@pytest.mark.parametrize("name", ["fullrange_bt601.mp4", "no_audio.mp4", "mjpeg.avi"])
def test_real_colours_do_not_shift(media: Path, tmp_path: Path, name: str):
    footage = open_footage(media / "awkward" / name)
    frames = list(footage.frames(0, 5))
    target = tmp_path / "b.mp4"
    with VideoWriter(target, footage.info, crf=6) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time)
    again = open_footage(target)
    for before, after in zip(frames, again.frames(), strict=True):
        error = after.image.astype(float) - before.image
        assert np.abs(error.mean((0, 1))).max() < 0.25
        assert np.abs(error).mean() < 1.0
