"""Clips made with bare PyAV, so that what they hold is known without the package under test."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av import AudioFrame, VideoFrame

SIZE = (96, 128)


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A smooth, colourful picture that is different for each index."""
    rng = np.random.default_rng(index)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey picture whose brightness tells its number: 10, 14, 18 …"""
    return np.full((*size, 3), 10 + 4 * index, np.uint8)


def bars(size: tuple[int, int] = (128, 128)) -> np.ndarray:
    """Colour bars of 16 px in three strengths, and grey steps below."""
    colours = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)], np.float64)
    rows = [colours * level for level in (255, 191, 110)]
    rows.append(np.repeat(np.linspace(0, 255, 8)[:, None], 3, axis=1))
    small = np.rint(np.stack(rows)).astype(np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_NEAREST)


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    stamps: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    audio: tuple[str, int] | None = None,
    audio_from_s: float = 0.0,
    seconds: float = 1.0,
    front: bool = False,
) -> Path:
    """Encode frames (RGB) at `stamps`, and an audio track of (layout, samples a second).

    `front` puts an MP4's index before its data.
    """
    stamps = stamps or [512 * index for index in range(len(frames))]
    with av.open(str(path), "w", options={"movflags": "+faststart"} if front else {}) as output:
        video = output.add_stream(codec, rate=25, options=options or {})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = time_base
        sound = output.add_stream("aac", rate=audio[1]) if audio else None
        if sound is not None and audio is not None:
            sound.layout = audio[0]
            _write_sound(output, sound, audio, audio_from_s, seconds)
        for image, stamp in zip(frames, stamps, strict=True):
            frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = stamp, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def _write_sound(output, sound, audio, start_s, seconds) -> None:
    layout, rate = audio
    rng = np.random.default_rng(7)
    channels = len(av.AudioLayout(layout).channels)
    for block in range(int(seconds * rate / 1024)):
        samples = (rng.standard_normal((channels, 1024)) * 0.1).astype(np.float32)
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start_s * rate) + block * 1024
        output.mux(sound.encode(frame))
    output.mux(sound.encode(None))


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time stamp and content of every audio packet of the first track."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        ]


def video_times(path: Path) -> list[Fraction]:
    """Presentation times of the video's packets, sorted."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(p.pts * p.time_base for p in container.demux(stream) if p.size)
