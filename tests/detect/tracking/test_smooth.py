"""Smoothing in time: noise goes, motion of every kind stays where and when it was."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.detect.tracking.smooth import smooth_points
from faceloom.geometry import TEMPLATE_POINTS

FPS = 30.0
REACH = 6


def neutral(side_px: float = 300.0) -> np.ndarray:
    """A face of 68 points: the template's, with a jaw around them."""
    angles = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.55 * np.cos(angles), 0.35 + 0.65 * np.sin(angles)], axis=1)
    return np.concatenate([jaw, TEMPLATE_POINTS]) * side_px * 0.45 + 400


def smoothed(
    points: np.ndarray, times: np.ndarray | None = None, strength: float = 0.5
) -> np.ndarray:
    """The whole clip, as the extraction does it."""
    times = np.arange(len(points)) / FPS if times is None else times
    clip = [frame.astype(np.float32) for frame in points]
    done: list[np.ndarray] = []
    for at in range(len(clip)):
        low, high = max(0, at - REACH), at + REACH + 1
        here = smooth_points(times[low:high], clip[low:high], at - low, strength=strength)
        done.append(here)
    return np.array(done, dtype=np.float64)


def moving(times: np.ndarray) -> np.ndarray:
    """A face that speeds up across the picture while it turns."""
    x = 100 * times + 900 * times**2
    face = neutral() - 500
    turned = face[None] @ np.array([[1, 0.3], [-0.3, 1]]) * np.ones((len(times), 1, 1))
    return turned + 500 + np.stack([x, -0.5 * x], axis=1)[:, None]


def acceleration(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, n=2, axis=0), axis=2).mean())


def test_noise_on_a_still_face_goes() -> None:
    noise = np.random.default_rng(1).normal(0, 0.12, (60, 68, 2))
    clip = neutral() + noise
    after = smoothed(clip)
    inner = slice(REACH, -REACH)
    assert acceleration(after[inner]) < 0.35 * acceleration(clip[inner])
    assert np.abs(after[inner] - neutral()).std() < 0.62 * noise.std()


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_steady_acceleration_is_kept_exactly(strength: float) -> None:
    clip = moving(np.arange(40) / FPS)
    assert np.abs(smoothed(clip, strength=strength) - clip).max() < 0.01


def test_uneven_times_do_no_harm() -> None:
    times = np.cumsum(np.random.default_rng(2).choice([0.02, 0.04, 0.08], 22))
    clip = moving(times)
    assert np.abs(smoothed(clip, times) - clip).max() < 0.01


def test_a_fast_turn_has_no_lag() -> None:
    """A head that swings there and back: the motion's peak stays in its frame."""
    times = np.arange(90) / FPS
    swing = 120 * np.sin(2 * np.pi * 1.2 * times)
    noise = np.random.default_rng(3).normal(0, 0.12, (90, 68, 2))
    clip = neutral() + np.stack([swing, 0 * swing], axis=1)[:, None]
    after = smoothed(clip + noise)
    place = after.mean(axis=1)[:, 0] - neutral().mean(axis=0)[0]
    assert np.abs(place - swing)[REACH:-REACH].max() < 0.25
    speed, true = np.diff(place), np.diff(swing)
    lags = range(-3, 4)
    match = [float((speed[5:-5] * np.roll(true, lag)[5:-5]).sum()) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


def test_a_blink_and_an_open_mouth_stay() -> None:
    generator = np.random.default_rng(4)
    clip = np.repeat(neutral()[None], 60, axis=0) + generator.normal(0, 0.1, (60, 68, 2))
    clip[30:33, [37, 38, 43, 44], 1] += 6
    clip[40:44, 65:68, 1] += 9
    after = smoothed(clip)
    lid = after[:, [37, 38, 43, 44], 1].mean(axis=1) - neutral()[[37, 38, 43, 44], 1].mean()
    lip = after[:, 65:68, 1].mean(axis=1) - neutral()[65:68, 1].mean()
    assert lid[30:33].min() > 5.7 and abs(lid[29]) < 0.4 and abs(lid[33]) < 0.4
    assert lip[40:44].min() > 8.7


def test_time_has_no_direction() -> None:
    generator = np.random.default_rng(5)
    clip = moving(np.arange(40) / FPS) + generator.normal(0, 0.2, (40, 68, 2))
    np.testing.assert_allclose(smoothed(clip[::-1])[::-1], smoothed(clip), atol=2e-3)


def test_a_turned_moved_frame_gives_the_turned_moved_answer() -> None:
    generator = np.random.default_rng(6)
    clip = moving(np.arange(30) / FPS) + generator.normal(0, 0.2, (30, 68, 2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    np.testing.assert_allclose(
        smoothed(clip @ turn.T + [70, -30]), smoothed(clip) @ turn.T + [70, -30], atol=2e-2
    )


def test_off_and_at_the_ends_nothing_changes() -> None:
    clip = neutral() + np.random.default_rng(7).normal(0, 1, (12, 68, 2))
    np.testing.assert_array_equal(smoothed(clip, strength=0), clip.astype(np.float32))
    np.testing.assert_array_equal(
        smoothed(clip)[[0, 1, -2, -1]], clip.astype(np.float32)[[0, 1, -2, -1]]
    )


def test_times_that_stand_still_are_left_alone() -> None:
    clip = neutral() + np.random.default_rng(8).normal(0, 1, (12, 68, 2))
    np.testing.assert_array_equal(smoothed(clip, np.zeros(12)), clip.astype(np.float32))
