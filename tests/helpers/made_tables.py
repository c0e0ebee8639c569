"""Tables of made-up faces: every measure filled from one seed, no picture and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from faceloom.curate import FaceTable
from faceloom.faces import FaceRecord, OwnMetadata
from faceloom.geometry import MODEL_POINTS_3D


def made_record(number: int, rng: np.random.Generator, **own: Any) -> FaceRecord:
    """A face in a frame of its own, its points a little moved."""
    flat = MODEL_POINTS_3D[:, :2] * 2 + 400
    points = (flat + rng.normal(0, 3, (68, 2))).astype(np.float32)
    return FaceRecord(
        face_type="whole_face",
        landmarks=points,
        source_filename=f"{(number * 7) % 1000:05d}.png",
        source_rect=np.array([0, 0, 100, 100]),
        source_landmarks=points,
        own=OwnMetadata(**own),
    )


def histograms(rng: np.random.Generator, n: int, channels: int) -> np.ndarray:
    """n x (256 · channels), each channel summing to 1, like bumps that wander."""
    x = np.arange(256)
    middles = rng.uniform(40, 210, (n, channels, 1))
    bumps = np.exp(-((x - middles) ** 2) / rng.uniform(200, 2000, (n, channels, 1)))
    bumps += rng.random((n, channels, 256)) * 0.05
    bumps /= bumps.sum(2, keepdims=True)
    return bumps.reshape(n, -1).astype(np.float32)


def made_table(n: int, seed: int = 0, **replaced: Any) -> FaceTable:
    """n faces called 00000.jpg and on, with every measure that sorting knows."""
    rng = np.random.default_rng(seed)
    embedding = rng.normal(0, 1, (n, 128)).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    light = rng.normal(0, 0.3, (n, 3)).astype(np.float32)
    columns: dict[str, Any] = {
        name: rng.random(n)
        for name in ("score", "presence", "occlusion", "mouth_open", "eyes_closed")
    }
    columns |= {name: rng.normal(0, 20, n) for name in ("pitch_deg", "yaw_deg", "roll_deg")}
    columns |= {"dfl_pitch": rng.normal(0, 0.3, n), "dfl_yaw": rng.normal(0, 0.5, n)}
    columns |= {"legacy_pitch": rng.normal(0, 0.3, n), "legacy_yaw": rng.normal(0, 0.5, n)}
    columns |= {"rect_area": rng.uniform(100, 9e4, n), "source_size": rng.uniform(30, 700, n)}
    columns |= {"track": rng.integers(0, 5, n) * 1.0, "frame": rng.permutation(n) * 1.0}
    columns |= {"cpbd": rng.random(n), "cpbd_whole": rng.random(n)}
    columns |= {"motion_blur": rng.random(n), "sharpness": rng.uniform(0, 0.3, n)}
    columns |= {"brightness": rng.uniform(0, 255, n), "hue": rng.uniform(0, 180, n)}
    columns |= {
        "black": rng.integers(0, 1000, n),
        "hist": histograms(rng, n, 3),
        "hist_gray": histograms(rng, n, 1),
        "hist_gray_whole": histograms(rng, n, 1),
        "plain_thumb": rng.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8),
        "embedding": embedding,
        "blendshapes": rng.random((n, 52)).astype(np.float32) * 0.5,
        "gaze": rng.normal(0, 10, (n, 2)).astype(np.float32),
        "light": light,
    }
    columns |= replaced
    folder = Path("faces")
    return FaceTable(
        folder,
        tuple(folder / f"{k:05d}.jpg" for k in range(n)),
        tuple(made_record(k, rng) for k in range(n)),
        {name: np.asarray(column) for name, column in columns.items()},
    )
