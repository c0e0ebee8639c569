"""Frames by number: each decoded once, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from faceloom.core import MediaError
from faceloom.media import Frame
from faceloom.workspace.frame_feed import FrameFeed


class _Clip:
    """Footage of frames that are their own number, and that counts what is decoded."""

    def __init__(self, count: int, lost: tuple[int, ...] = ()) -> None:
        self._count, self._lost = count, lost
        self.decoded: list[int] = []
        self.info = SimpleNamespace(path="clip")

    def __len__(self) -> int:
        return self._count

    def name_of(self, index: int) -> str:
        return f"{index + 1:05d}.png"

    def _frame(self, index: int) -> Frame:
        self.decoded.append(index)
        return Frame(index, Fraction(index), np.full((4, 4, 3), index % 256, np.uint8), "")

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index in range(start, self._count):
            if index not in self._lost:
                yield self._frame(index)

    def frame(self, index: int) -> Frame:
        if index in self._lost:
            raise MediaError(f"frame {index + 1} cannot be decoded")
        return self._frame(index)


def _feed(clip: _Clip, **values: int) -> FrameFeed:
    return FrameFeed(clip, **values)  # type: ignore[arg-type]


def test_threads_that_ask_in_about_that_order_have_each_frame_decoded_once():
    clip = _Clip(120)
    wanted = [index for index in range(120) for _ in range(3)]
    rng = np.random.default_rng(0)
    shuffled = sorted(range(len(wanted)), key=lambda i: i + rng.uniform(0, 20))
    with _feed(clip) as feed, ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda i: feed.picture(wanted[i]), shuffled))
    assert [int(p[0, 0, 0]) for p in pictures] == [wanted[i] for i in shuffled]
    assert sorted(clip.decoded) == list(range(120))


def test_long_gaps_are_leapt_and_short_ones_decoded():
    clip = _Clip(1000)
    with _feed(clip) as feed:
        for index in (3, 10, 900, 901):
            assert feed.picture(index)[0, 0, 0] == index % 256
    assert clip.decoded == [*range(3, 11), 900, 901]


def test_a_frame_that_has_gone_by_is_fetched_again():
    clip = _Clip(60)
    with _feed(clip, kept=4) as feed:
        feed.picture(40)
        assert feed.picture(2)[0, 0, 0] == 2
        assert feed.picture(41)[0, 0, 0] == 41
    assert clip.decoded == [40, 2, 41]


def test_a_frame_that_cannot_be_decoded_is_told_and_the_next_ones_come():
    clip = _Clip(20, lost=(5,))
    with _feed(clip) as feed:
        feed.picture(4)
        with pytest.raises(MediaError, match="frame 6 cannot be decoded"):
            feed.picture(5)
        assert feed.picture(6)[0, 0, 0] == 6
        assert feed.picture(7)[0, 0, 0] == 7
    assert clip.decoded == [4, 6, 7]
    assert feed.index_of("00020") == 19 and feed.index_of("20") is None
