"""The pictures of the reference's golden numbers, and colourful random ones."""

from __future__ import annotations

import numpy as np


def pipeline_pair() -> tuple[np.ndarray, np.ndarray]:
    """The test pictures of docs/internals/merging.md. The reference counts channels as B, G, R."""
    y, x, c = np.meshgrid(np.arange(16), np.arange(16), np.arange(3), indexing="ij")
    source = 0.5 + 0.35 * np.sin(0.9 * x + 0.5 * y + 1.3 * c) * np.cos(0.2 * x * (c + 1))
    target = 0.45 + 0.3 * np.sin(0.4 * x + 1.1 * y + 0.7 * c + 0.2) * np.cos(0.3 * y * (c + 1))
    return to_rgb(source), to_rgb(target)


def training_pair() -> tuple[np.ndarray, np.ndarray]:
    """The test pictures of docs/internals/golden.md, sample 0."""
    y, x, c = np.meshgrid(np.arange(16), np.arange(16), np.arange(3), indexing="ij")

    def wave(phase: float) -> np.ndarray:
        return 0.5 + 0.5 * np.sin(0.1 * y + 0.23 * x * (c + 1) + phase)

    return to_rgb(0.25 + 0.5 * wave(0.0)), to_rgb(0.2 + 0.4 * wave(0.9))


def to_rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[..., ::-1].astype(np.float32))


def colourful(seed: int, size: int, mean: tuple[float, float, float], spread: float) -> np.ndarray:
    """`size size 3` RGB: smooth areas of correlated colours with a little grain, far from 0 and 1
    as long as `spread` is small."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 3, size), np.linspace(0, 3, size), indexing="ij")
    phases = rng.uniform(0, 6, (3, 2))
    waves = [
        np.sin(a + x + 0.4 * i * y) + np.cos(b + y * (1 + i)) for i, (a, b) in enumerate(phases)
    ]
    mixed = np.stack(waves, 2) @ rng.uniform(-0.3, 0.6, (3, 3))
    grain = rng.normal(0, 0.1, mixed.shape)
    return (np.array(mean) + spread * (mixed + grain)).clip(0, 1).astype(np.float32)
