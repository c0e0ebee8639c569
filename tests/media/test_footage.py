"""One type for videos, pictures, folders and lists: numbers, names, times, damage."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from faceloom.core import MediaError
from faceloom.media import Timeline, open_footage, read_timeline, write_image, write_timeline
from faceloom.media.probe import FrameIndex
from faceloom.media.types import Losses, spell_ranges
from media_clips import SIZE, numbered, picture, video_times, write_clip

VFR = [0, 512, 1024, 3072, 3584, 8192, 8704, 9216]
UNREADABLE = {"empty.mp4", "text_named_video.mp4", "truncated_no_moov.mp4"}


def brightness(image: np.ndarray) -> int:
    """The number that `numbered` wrote into a picture."""
    return round((float(image.mean()) - 10) / 4)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Thirty numbered frames in several groups of pictures, with B frames."""
    options = {"g": "8", "bf": "3", "crf": "10"}
    return write_clip(tmp_path / "clip.mp4", [numbered(i) for i in range(30)], options=options)


def test_frames_in_order(clip):
    footage = open_footage(clip)
    info = footage.info
    assert (info.kind, info.size, info.fps, info.frame_count) == ("video", SIZE, 25, 30)
    assert info.duration_s == pytest.approx(1.2)
    assert not info.vfr
    frames = list(footage.frames())
    assert [frame.index for frame in frames] == list(range(30))
    assert [brightness(frame.image) for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == [Fraction(i, 25) for i in range(30)]
    assert frames[0].name == "00001.png"
    assert frames[29].name == footage.name_of(29) == "00030.png"
    assert footage.losses == []


@pytest.mark.parametrize("bounds", [(0, 5), (7, 9), (8, None), (13, 40), (29, 30), (5, 5)])
def test_a_range_of_frames(clip, bounds):
    start, stop = bounds
    wanted = list(range(30))[start:stop]
    assert [brightness(f.image) for f in open_footage(clip).frames(start, stop)] == wanted


def test_any_frame_by_its_number(clip):
    footage = open_footage(clip)
    sequential = [frame.image for frame in footage.frames()]
    order = [17, 3, 29, 0, 4, 5, 28, 8, 7, 15, 16, 1]
    for index in order:
        frame = footage.frame(index)
        assert frame.index == index
        np.testing.assert_array_equal(frame.image, sequential[index])
    for beyond in (-1, 30):
        with pytest.raises(MediaError, match="no frame"):
            footage.frame(beyond)


def test_variable_frame_rate_keeps_its_stamps(tmp_path):
    path = write_clip(tmp_path / "vfr.mp4", [numbered(i) for i in range(8)], stamps=VFR)
    footage = open_footage(path)
    assert footage.info.vfr
    assert [f.time for f in footage.frames()] == [Fraction(s, 12800) for s in VFR]
    assert [f.time for f in footage.frames()] == video_times(path)
    assert footage.frame(4).time == Fraction(3584, 12800)


def test_a_late_start_stays_late(tmp_path):
    path = write_clip(
        tmp_path / "late.mkv",
        [numbered(i) for i in range(5)],
        stamps=[12800 + 512 * i for i in range(5)],
        audio=("stereo", 44100),
    )
    info = open_footage(path).info
    assert info.start_time == 1
    assert info.audio[0].start_time < Fraction(1, 10)
    assert (info.audio[0].codec, info.audio[0].channels) == ("aac", 2)


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_files_without_stamps_are_timed_by_their_rate(tmp_path, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(
        tmp_path / "old.avi",
        [numbered(4 * i) for i in range(12)],
        stamps=list(range(12)),
        time_base=Fraction(1, 25),
        codec=codec,
        pix_fmt=pix_fmt,
        options={"bf": "2", "q:v": "2"} if codec == "mpeg4" else {"q:v": "2"},
    )
    footage = open_footage(path)
    frames = list(footage.frames())
    assert len(frames) == footage.info.frame_count == 12
    gaps = {b.time - a.time for a, b in pairwise(frames)}
    assert gaps == {Fraction(1, 25)}
    assert [round(brightness(f.image) / 4) for f in frames] == list(range(12))
    assert round(brightness(footage.frame(7).image) / 4) == 7


def test_rotation_flag(tmp_path):
    plain = write_clip(tmp_path / "a.mp4", [picture(1)], options={"crf": "4"})
    turned = tmp_path / "b.mp4"
    with av.open(str(plain)) as source, av.open(str(turned), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0], opaque=True)
        copy.set_display_rotation(90)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    upright = open_footage(turned)
    image = open_footage(plain).frame(0).image
    assert upright.info.size == (SIZE[1], SIZE[0])
    assert upright.info.rotation_deg == 270
    # FFmpeg's rotation of 90 is anticlockwise.
    np.testing.assert_array_equal(upright.frame(0).image, np.rot90(image))


def test_a_folder_of_pictures(tmp_path):
    for name in ("10.png", "9.png", "a.jpg", ".hidden.png", "notes.txt"):
        write_image(tmp_path / (name if name != "notes.txt" else "b.png"), picture(1))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "aligned").mkdir()
    footage = open_footage(tmp_path)
    frames = list(footage.frames())
    assert [f.name for f in frames] == ["10.png", "9.png", "a.jpg", "b.png"]
    assert [f.time for f in frames] == [Fraction(i, 25) for i in range(4)]
    assert open_footage(tmp_path, fps=Fraction(30)).info.fps == 30
    assert (footage.info.kind, footage.info.size) == ("images", SIZE)
    assert not footage.has_timeline


def test_a_list_of_both(tmp_path, clip):
    write_image(tmp_path / "p.png", picture(1))
    footage = open_footage([clip, tmp_path / "p.png", clip])
    assert len(footage) == 61
    names = [f.name for f in footage.frames()]
    assert names[0] == "clip_00001.png"
    assert names[30] == "p.png"
    assert names == [footage.name_of(i) for i in range(61)]
    times = [f.time for f in footage.frames()]
    assert times == sorted(times)
    assert times[30] == Fraction(30, 25)
    assert times[31] == Fraction(31, 25)
    assert brightness(footage.frame(31 + 7).image) == 7
    assert footage.frame(38).index == 38


def test_a_damaged_picture_is_left_out_and_told(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"{index}.png", picture(index))
    (tmp_path / "1.png").write_bytes(b"broken")
    footage = open_footage(tmp_path)
    assert [f.index for f in footage.frames()] == [0, 2]
    assert len(footage.losses) == 1
    assert "1.png" in footage.losses[0]
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").unlink()
    with pytest.raises(MediaError, match=r"0\.png: the file is empty"):
        open_footage(tmp_path)


def test_nothing_to_open(tmp_path):
    with pytest.raises(MediaError, match="no pictures or videos"):
        open_footage(tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        open_footage(tmp_path / "nothing.mp4")
    with pytest.raises(MediaError, match="no footage: pass"):
        open_footage([])


def test_a_cut_file_tells_what_is_missing(tmp_path):
    images = [picture(index) for index in range(30)]
    path = write_clip(tmp_path / "a.mkv", images, options={"bf": "0", "crf": "1"})
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    footage = open_footage(tmp_path / "cut.mkv")
    got = list(footage.frames())
    assert 5 < len(got) < 25
    assert [frame.index for frame in got] == list(range(len(got)))
    for frame in got[:-1]:
        assert np.abs(frame.image.astype(int) - images[frame.index]).mean() < 4
    assert any("truncated" in line for line in footage.losses)


def test_an_index_at_the_front_tells_how_many_frames_are_gone(tmp_path):
    images = [picture(index) for index in range(30)]
    path = write_clip(tmp_path / "a.mp4", images, options={"bf": "0"}, front=True)
    data = path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.7)])
    footage = open_footage(tmp_path / "cut.mp4")
    got = [frame.index for frame in footage.frames()]
    assert 5 < len(got) < 29
    assert got == list(range(len(got)))
    assert any("of 30 frames are missing from the file" in line for line in footage.losses)


def test_damage_does_not_shift_numbers(tmp_path):
    """Packets with zeros in them: the frames that decode keep their numbers."""
    path = write_clip(
        tmp_path / "a.mkv",
        [numbered(i) for i in range(24)],
        stamps=list(range(24)),
        time_base=Fraction(1, 25),
        codec="mpeg2video",
        options={"g": "4", "bf": "0", "q:v": "2"},
    )
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        with av.open(str(tmp_path / "b.mkv"), "w") as target:
            copy = target.add_stream_from_template(stream, opaque=True)
            for number, (data, pts, dts, key) in enumerate(packets):
                broken = b"\0" * len(data) if number in (8, 9, 10, 11) else data
                packet = av.Packet(broken)
                packet.pts, packet.dts, packet.time_base = pts, dts, stream.time_base
                packet.is_keyframe, packet.stream = key, copy
                target.mux(packet)
    footage = open_footage(tmp_path / "b.mkv")
    frames = list(footage.frames())
    assert footage.info.frame_count == 24
    for frame in frames:
        if not 8 <= frame.index <= 11:
            assert brightness(frame.image) == frame.index
    assert {f.index for f in frames} >= set(range(8)) | set(range(12, 24))
    if len(frames) < 24:
        assert any("could not be decoded" in line for line in footage.losses)


def test_timeline_of_a_dump(tmp_path):
    for index, name in enumerate(("00001.png", "00002.jpg", "00004.png")):
        write_image(tmp_path / name, numbered(index))
    timeline = Timeline(
        fps=Fraction(30000, 1001),
        time_base=Fraction(1, 90000),
        stamps={"00001": 90000, "00002": 93003, "00003": 96006, "00004": 99009},
        sample_aspect=Fraction(64, 45),
        clock_zero=Fraction(9, 10),
        last_frame_s=Fraction(1001, 30000),
        vfr=True,
        made_from={"files": [["ä.mp4", 1, 2]]},
    )
    write_timeline(tmp_path, timeline)
    assert read_timeline(tmp_path) == timeline
    footage = open_footage(tmp_path)
    assert footage.has_timeline
    assert [f.time for f in footage.frames()] == [1, Fraction(93003, 90000), Fraction(99009, 90000)]
    info = footage.info
    assert (info.fps, info.sample_aspect, info.clock_zero) == (
        Fraction(30000, 1001),
        Fraction(64, 45),
        Fraction(9, 10),
    )
    assert info.start_time == 1
    write_image(tmp_path / "unknown.png", numbered(1))
    assert not open_footage(tmp_path).has_timeline


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2}', '{"version": 1, "fps": "1/0"}'])
def test_a_broken_timeline_counts_as_none(tmp_path, text):
    (tmp_path / "frames.json").write_text(text)
    assert read_timeline(tmp_path) is None


def test_repeated_stamps_are_numbered_in_turn():
    index = FrameIndex(Fraction(1), 5, [0, 1, 1, 1, 2], [(0, 0)], 1)
    assert [index.find(0, -1), index.find(1, 0), index.find(1, 1), index.find(1, 2)] == [0, 1, 2, 3]
    assert index.find(7, 0) is None


def test_losses_in_words():
    losses = Losses(50)
    losses.lost([3, 4, 5, 9])
    losses.lost([4])
    losses.damaged(0)
    assert losses.lines() == [
        "4 of 50 frames could not be decoded and are skipped: 4-6, 10",
        "1 of 50 frames decoded with errors: 1",
    ]
    assert spell_ranges(range(0, 40, 2)).endswith("and 12 more ranges")


def test_every_awkward_file_opens_or_says_why(media: Path):
    for path in sorted((media / "awkward").iterdir()):
        if path.name.startswith("large"):
            continue
        if path.name in UNREADABLE:
            with pytest.raises(MediaError) as told:
                open_footage(path)
            assert str(path) in str(told.value)
            assert "\n" not in str(told.value)
            continue
        footage = open_footage(path)
        first = next(iter(footage.frames(0, 1)))
        assert first.image.shape == (*footage.info.size, 3)
        assert first.image.dtype == np.uint8
        assert first.time == footage.info.start_time
        assert footage.time_of(0) == first.time


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("portrait_rotation_flag.mp4", {"size": (1280, 720), "rotation_deg": 270}),
        ("variable_frame_rate.mp4", {"vfr": True, "frame_count": 95, "fps": Fraction(95, 6)}),
        ("audio_5_1.mp4", {"frame_count": 100, "fps": 25}),
        ("hevc_10bit.mp4", {"bit_depth": 10, "hdr": False, "frame_count": 90}),
        ("hevc_10bit_hdr_pq.mp4", {"bit_depth": 10, "hdr": True, "frame_count": 45}),
        ("odd_853x479_vp9.webm", {"size": (479, 853), "frame_count": 90}),
        ("anamorphic_720x576.mp4", {"sample_aspect": Fraction(64, 45), "size": (576, 720)}),
        ("interlaced_mpeg2.ts", {"interlaced": True, "frame_count": 90}),
        ("video_starts_late.mkv", {"start_time": Fraction(1543, 1000), "frame_count": 62}),
        ("truncated_playable.mkv", {"frame_count": 60}),
        ("corrupt_bitstream.mp4", {"frame_count": 120}),
        ("mjpeg.avi", {"frame_count": 50, "siting": "center"}),
        ("one_frame.mp4", {"frame_count": 1}),
    ],
)
def test_facts_of_awkward_videos(media: Path, name: str, facts: dict):
    info = open_footage(media / "awkward" / name).info
    assert {key: getattr(info, key) for key in facts} == facts


def test_real_damage_keeps_numbers(media: Path):
    """Frames before the damage are the original's; those after it show the same moments."""
    whole = open_footage(media / "awkward" / "no_audio.mp4")
    broken = open_footage(media / "awkward" / "corrupt_bitstream.mp4")
    original = {frame.index: frame for frame in whole.frames()}
    kept = list(broken.frames())
    assert len(kept) >= 100
    same = [f.index for f in kept if np.array_equal(f.image, original[f.index].image)]
    assert set(range(30)) <= set(same)
    assert all(f.time == original[f.index].time for f in kept)
    near = [np.abs(f.image.astype(int) - original[f.index].image).mean() for f in kept]
    assert max(near) < 20
    assert any("could not be decoded" in line for line in broken.losses)
    assert any("with errors" in line for line in broken.losses)


@pytest.mark.parametrize("name", ["variable_frame_rate.mp4", "interlaced_mpeg2.ts", "mjpeg.avi"])
def test_real_random_access(media: Path, name: str):
    footage = open_footage(media / "awkward" / name)
    wanted = {0, 5, 31, 32, len(footage) - 1}
    sequential = {f.index: f.image for f in footage.frames() if f.index in wanted}
    for index in (31, 5, len(footage) - 1, 32, 0):
        np.testing.assert_array_equal(footage.frame(index).image, sequential[index])


def test_deep_and_hdr_frames(media: Path):
    deep = open_footage(media / "awkward" / "hevc_10bit.mp4")
    native, plain = deep.frame(3, native=True).image, deep.frame(3).image
    assert native.dtype == np.uint16
    assert plain.dtype == np.uint8
    assert np.abs(native / 257 - plain).max() <= 0.51
    hdr = open_footage(media / "awkward" / "hevc_10bit_hdr_pq.mp4")
    codes, mapped = hdr.frame(3, native=True).image, hdr.frame(3).image
    # PQ puts SDR white near 58 %: shown as it is, the picture would be far too dim.
    assert mapped.mean() / 255 > 1.2 * codes.mean() / 65535
    assert any("HDR" in note for note in hdr.info.notes)
