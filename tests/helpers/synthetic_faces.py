"""Drawn faces with exact landmarks, for tests that need a faceset and no real person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from faceloom.faces import FaceRecord, write_face
from faceloom.geometry import (
    MODEL_POINTS_3D,
    FaceType,
    frame_to_face,
    transform_points,
    warp_to_face,
)


def landmarks68(size: float, *, turn: float = 0.0, fill: float = 0.6) -> np.ndarray:
    """68 2 landmarks of an upright face in a picture of side `size`; `turn` in radians of yaw."""
    points = np.asarray(MODEL_POINTS_3D, np.float64)
    points = points - points.mean(0)
    x = points[:, 0] * np.cos(turn) + points[:, 2] * np.sin(turn)
    scale = fill * size / np.ptp(points[:, 1])
    flat = np.stack([x, points[:, 1]], 1) * scale
    return (flat + np.array([size / 2, size * 0.55])).astype(np.float32)


def face_picture(size: int, landmarks: np.ndarray, *, hue: int, seed: int) -> np.ndarray:
    """A drawn face, h w 3 RGB uint8: enough for a small model to tell two of them apart."""
    noise = np.random.default_rng(seed).integers(40, 90, (8, 8, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC))
    points = np.round(landmarks).astype(np.int32)
    skin = cv2.cvtColor(np.uint8([[[hue, 110, 210]]]), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    cv2.fillConvexPoly(image, cv2.convexHull(points), skin, cv2.LINE_AA)
    for part, colour in (
        (slice(36, 42), (250, 250, 250)),
        (slice(42, 48), (250, 250, 250)),
        (slice(48, 60), (170, 50, 60)),
    ):
        cv2.fillConvexPoly(image, cv2.convexHull(points[part]), colour, cv2.LINE_AA)
    cv2.polylines(image, [points[27:36]], False, (110, 70, 60), max(1, size // 64), cv2.LINE_AA)
    return image


def synthetic_record(landmarks: np.ndarray, name: str, **changes: object) -> FaceRecord:
    """A record whose frame is the face picture itself."""
    values: dict[str, object] = {
        "face_type": "full_face",
        "landmarks": landmarks,
        "source_filename": name,
        "source_rect": np.array([0, 0, 10, 10], np.int32),
        "source_landmarks": landmarks,
        **changes,
    }
    return FaceRecord(**values)  # type: ignore[arg-type]


def write_faceset(
    folder: Path, count: int, *, size: int = 128, hue: int = 12, face_type: FaceType = "full_face"
) -> Path:
    """Write `count` drawn faces, cut as extraction cuts them, at different yaw."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        in_frame = landmarks68(2 * size, turn=-0.6 + 1.2 * i / max(1, count - 1), fill=0.4)
        frame = face_picture(2 * size, in_frame, hue=hue, seed=i)
        matrix = frame_to_face(in_frame, size, face_type)
        face = warp_to_face(frame, matrix, size, border="replicate")
        record = synthetic_record(
            transform_points(in_frame, matrix),
            f"{i + 1:05d}.png",
            face_type=face_type,
            source_landmarks=in_frame,
            image_to_face_mat=matrix,
        )
        write_face(folder / f"{i + 1:05d}_0.png", face, record)
    return folder
