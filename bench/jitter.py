"""Measure landmark jitter before and after smoothing, and its cost: lag, blinks, lips.

    python bench/jitter.py CLIP… [--strength 0.5] [--draw FOLDER]

For the first track of each clip, in pixels of a 256 px full_face crop:

* jitter: mean of |x[t-1] - 2 x[t] + x[t+1]| over all points. It includes the true acceleration of
  the head, so the motion of the picture itself is measured too: optical flow of the skin between
  brows and nose, independent of landmarks. "off the picture" is the difference between the steps
  of the landmarks and the flow: lower is better, and it rises if true motion is smoothed away.
* lag: the peak of the cross-correlation of smoothed and raw motion, with subframe precision; and
  the distance between smoothed and raw points in the fastest tenth of the frames.
* blinks and lips: how far the eyes close and the mouth opens at the five strongest moments,
  smoothed relative to raw.

`--draw` writes crops of consecutive frames with raw (red) and smoothed (green) points.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceloom.detect import SceneCuts, Tracker, open_finder
from faceloom.geometry import crop_area, frame_to_face, transform_points, warp_to_face
from faceloom.media import Footage, open_footage, write_image
from faceloom.stages.extract.extraction import BusyTimes
from faceloom.stages.extract.frame import ExtractedFrame
from faceloom.stages.extract.smoothing import Window, span_of

STEADY = [*range(27, 36), 36, 39, 42, 45]
Array = Any


@dataclass
class Course:
    """Landmarks of a track, `n 68 2`, and the scale to a 256 px crop."""

    first: int
    raw: Array
    smooth: Array
    scale: float
    span: int


def follow(footage: Footage, strength: float) -> Course:
    """The longest continuous part of the clip's first track."""
    finder, aspect = open_finder(), footage.info.pixel_aspect
    span = span_of(footage.info, tracking=True, smooth=strength)
    raw: dict[int, Array] = {}

    def found():
        tracker, cuts = Tracker(), SceneCuts()
        for frame in footage.frames():
            if cuts.update(frame.image):
                tracker.cut()
            faces = finder.find(frame.image, tracker.seeds(), pixel_aspect=aspect)
            item = ExtractedFrame(frame, found=tracker.update(frame.time, faces))
            for face in item.found:
                if face.track == 0:
                    raw[frame.index] = face.landmarks
            yield item

    window = Window(finder, span, strength, aspect)
    smooth = {
        item.frame.index: face.landmarks
        for item in window.finish_frames(found(), BusyTimes())
        for face in item.faces
        if face.track == 0
    }
    indices = sorted(raw)
    breaks = [at for at in range(1, len(indices)) if indices[at] != indices[at - 1] + 1]
    runs = np.split(np.array(indices), breaks)
    longest = max(runs, key=len)
    points = np.array([raw[index] for index in longest], dtype=np.float64)
    sides = [np.sqrt(crop_area(frame_to_face(p, 256, "full_face"), 256)) for p in points]
    steady = np.array([smooth[index] for index in longest], dtype=np.float64)
    return Course(int(longest[0]), points, steady, 256 / float(np.median(sides)), span.total)


def acceleration(points: Array) -> Array:
    return np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=2)


def picture_motion(footage: Footage, course: Course, count: int) -> Array:
    """Motion of the rigid points' centre by optical flow, `count-1 2`."""
    centre = course.raw[:, STEADY].mean(axis=1)
    steps: list[Array] = []
    before = None
    for frame in footage.frames(course.first, course.first + count):
        at = frame.index - course.first
        grey = cv2.cvtColor(np.asarray(frame.image), cv2.COLOR_RGB2GRAY)
        if before is not None:
            guess = (centre[at] - centre[at - 1]).astype(np.float32)
            steps.append(flow(before, grey, course.raw[at - 1, STEADY], guess, centre[at - 1]))
        before = grey
    return np.array(steps)


def flow(before: Array, after: Array, points: Array, guess: Array, centre: Array) -> Array:
    """Motion of `centre` with the texture around `points`; NaN if there is too little texture."""
    mask = np.zeros_like(before)
    low, high = np.maximum(points.min(axis=0), 0).astype(int), points.max(axis=0).astype(int)
    mask[low[1] : high[1], low[0] : high[0]] = 255
    spots = cv2.goodFeaturesToTrack(before, 80, 0.01, 5, mask=mask)
    if spots is None or len(spots) < 8:
        return np.full(2, np.nan)
    window = {"winSize": (21, 21), "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    there, _, _ = cv2.calcOpticalFlowPyrLK(before, after, spots, spots + guess, **window)
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, there, spots.copy(), **window)
    good = np.linalg.norm((back - spots).reshape(-1, 2), axis=1) < 0.5
    if good.sum() < 8:
        return np.full(2, np.nan)
    matrix, _ = cv2.estimateAffinePartial2D(spots[good], there[good], ransacReprojThreshold=1.0)
    return np.full(2, np.nan) if matrix is None else matrix[:, :2] @ centre + matrix[:, 2] - centre


def lag(course: Course) -> tuple[float, float]:
    """Frames by which smoothed motion comes after raw motion: the peak of the cross-correlation of
    the two velocities, between frames by a finer Fourier series, and the shift along the course
    that explains most of their difference."""
    raw, smooth = (p[:, STEADY].mean(axis=1) for p in (course.raw, course.smooth))
    speed, steady = np.diff(raw, axis=0), np.diff(smooth, axis=0)
    fade = np.hanning(len(speed))[:, None]
    size, finer = 2 * len(speed), 64
    cross = (
        np.fft.rfft(steady * fade, size, axis=0) * np.fft.rfft(speed * fade, size, axis=0).conj()
    )
    match = np.fft.irfft(cross.sum(axis=1), size * finer)
    peak = int(np.argmax(match))
    peak -= size * finer if peak > size * finer // 2 else 0
    ahead = np.gradient(raw, axis=0)
    shift = -float(((smooth - raw) * ahead).sum() / (ahead * ahead).sum())
    return peak / finer, shift


def eyes(points: Array) -> Array:
    """Height divided by width of the eyes."""
    tall = [(37, 41), (38, 40), (43, 47), (44, 46)]
    height = sum(np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in tall) / 2
    width = sum(
        np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in [(36, 39), (42, 45)]
    )
    return height / width


def mouth(points: Array) -> Array:
    """Height divided by width of the inner lips."""
    return np.linalg.norm(points[:, 62] - points[:, 66], axis=1) / np.linalg.norm(
        points[:, 60] - points[:, 64], axis=1
    )


def amplitude(course: Course, measure: Any, sign: int) -> float:
    """Strength of the five strongest moments, smoothed relative to raw."""
    raw, smooth = measure(course.raw), measure(course.smooth)
    rest = np.median(raw)
    top = np.argsort(sign * raw)[-5:]
    return float((np.abs(smooth[top] - rest) / np.abs(raw[top] - rest)).mean())


def report(clip: Path, strength: float, count: int) -> Course:
    footage = open_footage(clip)
    course = follow(footage, strength)
    before, after = (acceleration(p) * course.scale for p in (course.raw, course.smooth))
    speed = np.linalg.norm(np.diff(course.raw.mean(axis=1), axis=0), axis=1)
    fast = 1 + np.flatnonzero(speed >= np.quantile(speed, 0.9))
    away = np.linalg.norm(course.smooth - course.raw, axis=2).mean(axis=1) * course.scale
    count = min(count, len(course.raw))
    motion = picture_motion(footage, course, count)
    off = [
        float(np.nanmean(np.abs(np.diff(p[:count, STEADY].mean(axis=1), axis=0) - motion)))
        for p in (course.raw, course.smooth)
    ]
    true = np.diff(motion, axis=0) * course.scale
    print(f"{clip.name}: {len(course.raw)} frames, window {course.span} frames")
    own = float(np.nanmean(np.linalg.norm(true, axis=1)))
    peak, shift = lag(course)
    blinks, lips = amplitude(course, eyes, -1), amplitude(course, mouth, 1)
    print(f"  jitter {before.mean():.3f} -> {after.mean():.3f} px, the picture's own {own:.3f}")
    print(f"  jitter, median {np.median(before):.3f} -> {np.median(after):.3f} px")
    print(
        f"  off the picture {off[0] * course.scale:.3f} -> {off[1] * course.scale:.3f} px a frame"
    )
    print(f"  lag {peak:+.3f} frames by correlation, {shift:+.4f} by shift")
    print(
        f"  fastest tenth: {away[fast].mean():.3f} px from raw, at "
        f"{speed[fast - 1].mean() * course.scale:.2f} px a frame"
    )
    print(f"  blinks {blinks:.3f}, lips {lips:.3f} of raw")
    return course


def draw(clip: Path, course: Course, folder: Path, frames: int = 6) -> None:
    """Crops of consecutive frames around the fastest one."""
    folder.mkdir(parents=True, exist_ok=True)
    speed = np.linalg.norm(np.diff(course.raw.mean(axis=1), axis=0), axis=1)
    at = int(np.clip(np.argmax(speed) - frames // 2, 0, len(speed) - frames))
    for frame in open_footage(clip).frames(course.first + at, course.first + at + frames):
        place = frame.index - course.first
        matrix = frame_to_face(course.raw[place], 512, "full_face")
        crop = np.asarray(warp_to_face(frame.image, matrix, 512, antialias=True)).copy()
        for points, colour in ((course.raw, (255, 60, 60)), (course.smooth, (60, 255, 60))):
            for x, y in transform_points(points[place], matrix):
                cv2.circle(crop, (round(x * 16), round(y * 16)), 28, colour, -1, cv2.LINE_AA, 4)
        write_image(folder / f"{clip.stem}_{frame.index:05d}.png", crop)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clip", type=Path, nargs="+")
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--flow", type=int, default=150, help="frames to measure the flow in")
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for clip in options.clip:
        course = report(clip, options.strength, options.flow)
        if options.draw is not None:
            draw(clip, course, options.draw)


if __name__ == "__main__":
    main()
