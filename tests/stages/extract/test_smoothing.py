"""The smoothing window: gaps, and that results do not depend on where a run began."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceloom.detect import FaceFinder, FoundFace
from faceloom.media import FootageInfo, Frame
from faceloom.stages.extract.extraction import BusyTimes
from faceloom.stages.extract.frame import ExtractedFrame
from faceloom.stages.extract.smoothing import Span, Window, span_of
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


def smooth(
    items: list[ExtractedFrame], span: Span = SPAN, strength: float = 0.5
) -> list[ExtractedFrame]:
    return list(Window(finder(), span, strength, 1.0).finish_frames(iter(items), BusyTimes()))


def clip(missing: set[int], count: int = 30, *, hidden: bool = False) -> list[ExtractedFrame]:
    """A face that walks right, two pixels a frame, and is not found in some frames."""
    found: list[ExtractedFrame] = []
    for index in range(count):
        x = 40 + 2 * index
        gone = index in missing
        picture = frame(index) if gone and hidden else frame(index, x)
        found.append(
            ExtractedFrame(picture, found=[] if gone else [numbered(x, 3)], state={"after": index})
        )
    return found


def test_a_short_gap_is_filled_at_the_true_place() -> None:
    smoothed = smooth(clip({12, 13, 14}), strength=0)
    assert [item.filled for item in smoothed] == [int(i in {12, 13, 14}) for i in range(30)]
    for index in (12, 13, 14):
        (filled,) = smoothed[index].faces
        assert (filled.track, filled.detector, filled.score) == (3, "gap", 0.0)
        expected = face(40 + 2 * index, 60).landmarks
        np.testing.assert_allclose(filled.landmarks, expected, atol=0.01)
    assert [item.state["after"] for item in smoothed] == list(range(30))


@pytest.mark.parametrize(
    ("missing", "hidden"), [({12, 13}, True), (set(range(10, 22)), False), ({0, 1, 28, 29}, False)]
)
def test_hidden_faces_long_gaps_and_open_ends_stay_empty(missing, hidden) -> None:
    smoothed = smooth(clip(missing, hidden=hidden))
    assert {i for i, item in enumerate(smoothed) if not item.faces} == missing


def test_another_face_in_the_place_is_not_doubled() -> None:
    found = clip({12})
    found[12].found = [numbered(64, 9)]
    assert [f.track for f in smooth(found)[12].faces] == [9]


def random_clip(seed: int) -> list[ExtractedFrame]:
    generator = np.random.default_rng(seed)
    found: list[ExtractedFrame] = []
    for index in range(70):
        places = {track: 30 + 50 * track + index * 0.4 for track in range(3)}
        faces = [
            numbered(x, track, generator.normal(0, 0.3, (68, 2)).astype(np.float32))
            for track, x in places.items()
            if generator.random() < 0.75
        ]
        found.append(ExtractedFrame(frame(index, *places.values()), found=faces))
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_results_depend_only_on_the_window(seed: int) -> None:
    """So a run can resume exactly: it starts `total` frames before the next one."""
    whole = smooth(random_clip(seed))
    for start in (14, 15, 30, 47):
        part = smooth(random_clip(seed)[start - SPAN.total :])[SPAN.total :]
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

    window = Window(finder(), SPAN, 0.5, 1.0)
    for item in window.finish_frames(feed(), BusyTimes()):
        assert seen[-1] - item.frame.index <= SPAN.total
        assert item.frame.image.size
        assert [later.frame.index for later in window.ahead] == list(
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
