"""The delay between finding and writing: gaps, and that nothing hangs on where a run began."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceloom.detect import FaceFinder, FoundFace
from faceloom.media import FootageInfo, Frame
from faceloom.stages.extract.pipeline import BusyTimes, Found
from faceloom.stages.extract.window import Settled, Span, settled_frames, span_of
from fakes import SquareDetector, TrustingLandmarker, canvas, face, paint

SPAN = Span(10, 4)


def finder() -> FaceFinder:
    return FaceFinder(SquareDetector(), TrustingLandmarker())


def numbered(x: float, track: int, jitter: np.ndarray | None = None) -> FoundFace:
    found = replace(face(x, 60), track=track)
    return found if jitter is None else replace(found, landmarks=found.landmarks + jitter)


def frame(index: int, *places: float, step: Fraction = Fraction(1, 25)) -> Frame:
    image = canvas()
    for x in places:
        paint(image, round(x) - 10, 50, 20)
    return Frame(index, index * step, image, f"{index + 1:05d}.png")


def settle(found: list[Found], span: Span = SPAN, smooth: float = 0.5) -> list[Settled]:
    return list(
        settled_frames(
            iter(found), finder(), span, smooth=smooth, pixel_aspect=1.0, times=BusyTimes()
        )
    )


def clip(missing: set[int], count: int = 30, *, hidden: bool = False) -> list[Found]:
    """A face that walks right, two pixels a frame, and is not found in some frames."""
    found: list[Found] = []
    for index in range(count):
        x = 40 + 2 * index
        gone = index in missing
        picture = frame(index) if gone and hidden else frame(index, x)
        found.append(Found(picture, [] if gone else [numbered(x, 3)], {"behind": index}))
    return found


def test_a_short_gap_is_filled_at_the_true_place() -> None:
    settled = settle(clip({12, 13, 14}), smooth=0)
    assert [item.filled for item in settled] == [int(i in {12, 13, 14}) for i in range(30)]
    for index in (12, 13, 14):
        (filled,) = settled[index].faces
        assert (filled.track, filled.detector, filled.score) == (3, "gap", 0.0)
        expected = face(40 + 2 * index, 60).landmarks
        np.testing.assert_allclose(filled.landmarks, expected, atol=0.01)
    assert [item.state["behind"] for item in settled] == list(range(30))


@pytest.mark.parametrize(
    ("missing", "hidden"), [({12, 13}, True), (set(range(10, 22)), False), ({0, 1, 28, 29}, False)]
)
def test_hidden_faces_long_gaps_and_open_ends_stay_empty(missing, hidden) -> None:
    settled = settle(clip(missing, hidden=hidden))
    assert {i for i, item in enumerate(settled) if not item.faces} == missing


def test_another_face_in_the_place_is_not_doubled() -> None:
    found = clip({12})
    found[12] = replace(found[12], faces=[numbered(64, 9)])
    assert [f.track for f in settle(found)[12].faces] == [9]


def random_clip(seed: int) -> list[Found]:
    generator = np.random.default_rng(seed)
    found: list[Found] = []
    for index in range(70):
        places = {track: 30 + 50 * track + index * 0.4 for track in range(3)}
        faces = [
            numbered(x, track, generator.normal(0, 0.3, (68, 2)).astype(np.float32))
            for track, x in places.items()
            if generator.random() < 0.75
        ]
        found.append(Found(frame(index, *places.values()), faces, {}))
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_comes_out_hangs_only_on_the_window(seed: int) -> None:
    """This is what lets a run go on exactly: it starts `total` frames before the next one."""
    whole = settle(random_clip(seed))
    for start in (14, 15, 30, 47):
        part = settle(random_clip(seed)[start - SPAN.total :])[SPAN.total :]
        for one, other in zip(whole[start:], part, strict=True):
            assert one.frame.index == other.frame.index and one.filled == other.filled
            assert [f.track for f in one.faces] == [f.track for f in other.faces]
            for a, b in zip(one.faces, other.faces, strict=True):
                np.testing.assert_array_equal(a.landmarks, b.landmarks)
    assert sum(item.filled for item in whole) > 10


def test_a_frame_waits_no_longer_than_it_must() -> None:
    seen: list[int] = []

    def feed():
        for item in clip(set()):
            seen.append(item.frame.index)
            yield item

    for item in settled_frames(
        feed(), finder(), SPAN, smooth=0.5, pixel_aspect=1.0, times=BusyTimes()
    ):
        assert seen[-1] - item.frame.index <= SPAN.total
        assert item.frame.image.size
        assert [later.frame.index for later in item.ahead] == list(
            range(item.frame.index + 1, seen[-1] + 1)
        )


def info(size: tuple[int, int], fps: int) -> FootageInfo:
    return FootageInfo((Path("a.mp4"),), "video", size, Fraction(fps), 100, 1.0)


@pytest.mark.parametrize(
    ("size", "fps"), [((720, 1280), 30), ((2160, 3840), 60), ((4320, 7680), 60), ((144, 256), 1000)]
)
def test_the_window_is_bounded_in_frames_and_bytes(size, fps) -> None:
    span = span_of(info(size, fps), tracking=True, smooth=0.5)
    assert min(span.reach, span.gap) > 0 and span.total <= 32
    assert span.total * size[0] * size[1] * 3 <= max(384 << 20, 5 * size[0] * size[1] * 3)
    if (size, fps) == ((720, 1280), 30):
        assert span == Span(12, 6)


def test_pictures_do_not_wait() -> None:
    assert span_of(info((720, 1280), 25), tracking=False, smooth=0.5).total == 0
