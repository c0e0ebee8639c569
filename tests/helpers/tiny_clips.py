"""Tiny real videos for tests that need a file more than a picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_FORMATS = {".mkv": "matroska", ".webm": "webm", ".mp4": "mp4", ".mov": "mov", ".avi": "avi"}


def write_clip(path: Path, frames: int = 6) -> Path:
    """Noise of 64x48 at 25 fps; another number of frames makes another file."""
    suffix = path.suffix.lower()
    generator = np.random.default_rng(frames)
    with av.open(str(path), "w", format=_FORMATS[suffix]) as container:
        stream = container.add_stream("libvpx-vp9" if suffix == ".webm" else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for _ in range(frames):
            picture = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
