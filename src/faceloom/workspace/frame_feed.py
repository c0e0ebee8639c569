"""Frames by number for several threads that ask for them in roughly ascending order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import MediaError
from faceloom.media import Footage, Frame

# Up to this many frames ahead, decoding all of them beats seeking.
_FAR: Final = 64


class FrameFeed:
    """Gives access to a footage's frames; each is decoded once if the numbers ascend.

    Keeps the last `kept` frames for threads that lag behind. A context manager.
    """

    def __init__(self, footage: Footage, *, kept: int = 24) -> None:
        self._footage, self._kept = footage, kept
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._run: Iterator[Frame] | None = None
        self._next = 0
        self._by_stem: dict[str, int] = {}
        for index in range(len(footage)):
            self._by_stem.setdefault(PurePath(footage.name_of(index)).stem, index)

    def __enter__(self) -> FrameFeed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stop()
            self._recent.clear()

    def index_of(self, stem: str) -> int | None:
        """The number of the frame whose name without suffix is `stem`."""
        return self._by_stem.get(stem)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, h w 3 RGB uint8. Callers share the array and must not write to it.

        Raises `MediaError` if it cannot be decoded.
        """
        with self._lock:
            if index not in self._recent:
                self._advance(index)
            if index not in self._recent:
                self._keep(self._footage.frame(index))
            self._recent.move_to_end(index)
            return self._recent[index]

    def _advance(self, index: int) -> None:
        """Continue decoding up to frame `index`, if it is ahead."""
        if index < self._next and self._run is not None:
            return
        if self._run is None or index - self._next > _FAR:
            self._stop()
            self._run = iter(self._footage.frames(index))
        for frame in self._run:
            self._next = frame.index + 1
            self._keep(frame)  # Frames on the way too: a thread that lags may ask for them.
            if frame.index >= index:
                return
        self._stop()

    def _keep(self, frame: Frame) -> None:
        if frame.image.ndim != 3:
            raise MediaError(f"frame {frame.index + 1} is not a colour picture")
        self._recent[frame.index] = np.asarray(frame.image, dtype=np.uint8)
        while len(self._recent) > self._kept:
            self._recent.popitem(last=False)

    def _stop(self) -> None:
        close = getattr(self._run, "close", None)
        if close is not None:
            close()
        self._run = None
        self._next = 0
