"""Brightness, hue, black pixels and histograms: the measures that DFL sorts by."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def brightness_and_hue(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean V (0 to 255) and mean H (0 to 180, in units of two degrees) of `image` (h w 3 RGB).

    Both over the whole picture. As in DFL, H is averaged like a plain number although it is an
    angle.
    """
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hue, _, value, _ = cv2.mean(hsv)
    return float(value), float(hue)


def black_samples(image: NDArray[np.uint8]) -> int:
    """How many samples of `image` (h w 3) are 0, over all channels."""
    return int(image.size - np.count_nonzero(image))


def histograms(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histogram of `image` (h w or h w c), 256 bins per channel, each summing to 1: c x 256.

    Channels come in the order of `image`.
    """
    planes = image.reshape(*image.shape[:2], -1)
    return np.stack([_histogram(planes, channel) for channel in range(planes.shape[2])])


def _histogram(planes: NDArray[np.uint8], channel: int) -> NDArray[np.float32]:
    counts: Any = cv2.calcHist([planes], [channel], None, [256], [0, 256])
    return np.asarray(counts, dtype=np.float32).ravel() / np.float32(planes[..., 0].size)
