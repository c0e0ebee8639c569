"""Motion of a portrait: one pose per frame, smooth, and reproducible by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pose:
    """Pose and expression of a head in one frame; all zero is the original picture.

    Angles in degrees. Positive yaw turns the nose to the right of the picture, positive pitch
    lowers it, positive roll leans the head clockwise on the screen. Shifts are in face widths.
    `jaw`, `blink`, `brow` range from 0 (rest) to 1; `wide`, `gaze_x`, `gaze_y` from -1 to 1.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    jaw: float = 0.0
    wide: float = 0.0
    blink: float = 0.0
    brow: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    light_deg: float = 0.0
    """Direction of the moving light: -90 from the left of the picture, 90 from the right."""
    light: float = 0.0
    """Strength of the moving light; 0: the original light."""
    gain: float = 1.0
    """Brightness of the whole picture."""


@dataclass(frozen=True)
class MotionRange:
    """Limits of a motion."""

    yaw_deg: float = 18.0
    pitch_deg: float = 8.0
    roll_deg: float = 6.0
    jaw: float = 0.8
    light: float = 0.35


def talking_head(
    frames: int, *, fps: float, seed: int, extent: MotionRange | None = None
) -> list[Pose]:
    """Poses of a person who looks around, speaks and blinks; deterministic in `seed`.

    Begins and ends near the rest pose. Every angle stays within `extent`.
    """
    extent = extent or MotionRange()
    generator = np.random.default_rng(seed)
    time = np.arange(frames) / fps
    duration = max(frames / fps, 1e-6)
    fade = np.clip(np.minimum(time, duration - time) / 0.5, 0.0, 1.0)
    fade = fade * fade * (3 - 2 * fade)

    def wander(slowest: float, fastest: float, count: int = 3) -> NDArray[np.float64]:
        return fade * _wander(time, generator, slowest, fastest, count)

    speech = _speech(time, generator) * fade
    return [
        Pose(*(float(value) for value in row))
        for row in np.stack(
            [
                extent.yaw_deg * wander(3.5, 7.0),
                extent.pitch_deg * wander(2.5, 5.0),
                extent.roll_deg * wander(3.0, 6.0),
                0.025 * wander(3.0, 6.0),
                0.012 * wander(2.0, 5.0),
                extent.jaw * speech,
                0.7 * wander(0.5, 1.4) * (0.3 + 0.7 * speech),
                _blinks(time, generator),
                np.clip(wander(1.5, 4.0), 0, 1),
                0.6 * wander(1.2, 3.0),
                0.3 * wander(1.5, 3.0),
                70 * wander(4.0, 8.0),
                extent.light * np.abs(wander(4.0, 8.0)),
                1 + 0.06 * wander(3.0, 6.0),
            ],
            axis=1,
        )
    ]


def _wander(
    time: NDArray[np.float64],
    generator: np.random.Generator,
    slowest_s: float,
    fastest_s: float,
    count: int,
) -> NDArray[np.float64]:
    """A sum of sines with periods between the two, its largest value scaled to ±1."""
    periods = np.linspace(slowest_s, fastest_s, count) * generator.uniform(0.85, 1.15, count)
    phases = generator.uniform(0, 2 * np.pi, count)
    strengths = generator.uniform(0.6, 1.0, count)
    wave = np.sin(2 * np.pi * time[:, None] / periods + phases) @ strengths
    return wave / max(float(np.abs(wave).max(initial=0.0)), 1e-6)


def _speech(time: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Jaw opening of a speaker: syllables of different size in phrases with pauses, 0 to 1."""
    opening = np.zeros_like(time)
    now = generator.uniform(0.2, 0.6)
    end = float(time[-1]) if len(time) else 0.0
    while now < end:
        for _ in range(int(generator.integers(4, 9))):
            length = generator.uniform(0.18, 0.34)
            size = generator.uniform(0.25, 1.0)
            phase = np.clip((time - now) / (1.25 * length), 0, 1)
            opening = np.maximum(opening, size * np.sin(np.pi * phase) ** 2)
            now += length
        now += generator.uniform(0.25, 0.7)
    return opening


def _blinks(time: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Blinks about every two seconds, closing faster than opening; 0 to 1."""
    closed = np.zeros_like(time)
    now = generator.uniform(0.6, 1.4)
    end = float(time[-1]) if len(time) else 0.0
    while now < end:
        since = time - now
        shut = np.clip(since / 0.09, 0, 1) * np.clip((0.32 - since) / 0.16, 0, 1)
        closed = np.maximum(closed, np.where(since < 0, 0.0, shut))
        now += generator.uniform(1.4, 2.8)
    return closed
