"""Faces and frames of known geometry."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np

from faceloom.geometry import MODEL_POINTS_3D


def landmarks_at(
    center: tuple[float, float], scale: float, roll_deg: float = 0.0, aspect: float = 1.0
) -> np.ndarray:
    """The model head's 68 points, seen from the front; `aspect` squeezes for wide pixels."""
    roll = np.deg2rad(roll_deg)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    points = scale * MODEL_POINTS_3D[:, :2] @ turn.T
    return ((points - points.mean(0)) / (aspect, 1) + center).astype(np.float32)


def record_of(landmarks: np.ndarray, pixel_aspect: float | None = None) -> SimpleNamespace:
    """What compositing reads of a face's record; without an aspect, one of another tool."""
    own = None if pixel_aspect is None else SimpleNamespace(pixel_aspect=pixel_aspect)
    return SimpleNamespace(source_landmarks=landmarks, own=own)


def smooth_frame(size: tuple[int, int], dtype: str = "uint8", seed: int = 1) -> np.ndarray:
    """A colourful frame without detail finer than about 12 pixels."""
    h, w = size
    coarse = np.random.default_rng(seed).random((h // 24 + 2, w // 24 + 2, 3), np.float32)
    top = 255 if dtype == "uint8" else 65535
    image = np.clip(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.rint(image * top).astype(dtype)


def soft_masks(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of `n n` as networks make them: soft blobs, not quite on each other."""
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    first = 1 / (1 + np.exp((np.hypot((x - 0.5) / 0.32, (y - 0.55) / 0.4) - 1) * 14))
    second = 1 / (1 + np.exp((np.hypot((x - 0.47) / 0.35, (y - 0.52) / 0.37) - 1) * 14))
    return first.astype(np.float32), second.astype(np.float32)
