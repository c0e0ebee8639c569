"""Pictures for tests of measures: crops of real portraits, and a lit head of known shape."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.detect import mesh_to_68, open_finder
from faceloom.geometry import FaceType, frame_to_face, transform_points, warp_to_face

MESH = Path(__file__).with_name("mesh_astronaut.npy")


def crop(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32], kind: FaceType, size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    """The face as extraction cuts it, its landmarks, and its pixels for one of the frame."""
    matrix = frame_to_face(landmarks, size_px, kind)
    face = warp_to_face(image, matrix, size_px, antialias=True)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return face, transform_points(landmarks, matrix), scale


def portraits(media: Path, names: tuple[str, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Photo → (picture, 68 landmarks of its largest face)."""
    finder, found = open_finder(), {}
    for name in names:
        picture = cv2.imread(str(media / "photos" / name))
        image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        face = max(finder.find(image), key=lambda face: face.rect[2] - face.rect[0])
        found[name] = image, face.landmarks
    return found


def as_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """After a round trip through a JPEG file."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def lit_head(
    towards: tuple[float, float, float], *, ambient: float = 0.3, size_px: int = 256
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A scanned face of one colour, lit from one side: picture and 68 landmarks.

    Each triangle has the brightness of its own normal (Lambert), which has nothing to do with the
    surface that `LightReader` assumes. `towards`: x right, y down, z to the viewer.
    """
    mesh = np.load(MESH).astype(np.float64)
    mesh[:, :2] = (mesh[:, :2] - mesh[:, :2].min(axis=0)) * 1.0
    scale = 0.8 * size_px / np.ptp(mesh[:, 1])
    mesh *= scale
    mesh[:, :2] += (np.array([size_px, size_px]) - np.ptp(mesh[:, :2], axis=0)) / 2
    light = np.array(towards) * (1, 1, -1)
    light = light / np.linalg.norm(light)
    canvas = np.zeros((size_px, size_px), np.float32)
    divided = cv2.Subdiv2D((-size_px, -size_px, 3 * size_px, 3 * size_px))
    for x, y in mesh[:468, :2]:
        divided.insert((float(x), float(y)))
    where = {(round(float(x), 2), round(float(y), 2)): i for i, (x, y) in enumerate(mesh[:, :2])}
    triangles = []
    for corners in divided.getTriangleList().reshape(-1, 3, 2):
        keys = [(round(float(x), 2), round(float(y), 2)) for x, y in corners]
        if all(key in where for key in keys):
            triangles.append([where[key] for key in keys])
    for corners in sorted(triangles, key=lambda t: -mesh[t, 2].mean()):
        a, b, c = mesh[corners]
        normal = np.cross(b - a, c - a)
        normal *= -np.sign(normal[2]) / max(np.linalg.norm(normal), 1e-9)
        value = ambient + (1 - ambient) * max(0.0, float(normal @ light))
        cv2.fillConvexPoly(canvas, np.rint(mesh[corners, :2]).astype(np.int32), value)
    encoded = np.rint(255 * (0.7 * canvas) ** (1 / 2.2)).astype(np.uint8)
    return np.repeat(encoded[..., None], 3, axis=2), mesh_to_68(mesh.astype(np.float32))
