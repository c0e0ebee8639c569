"""MediaPipe's face mesh: 478 points in 3-D, and from them the 68 iBUG points.

Runs on the CPU in LiteRT, or where that has no wheel (Linux on ARM) in OpenCV, whose results differ
by less than 1e-3 px of the 256 px input. docs/internals/alignment.md describes the mapping.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, Progress, WeightsError
from faceloom.detect.points import mesh_to_68, region_of_detection, region_of_mesh
from faceloom.detect.types import Detection, FaceLandmarks, Region, Seed, UInt8Image
from faceloom.geometry import invert_affine, warp_to_face
from faceloom.weights import fetch

Backend = Literal["auto", "litert", "opencv"]
_MEMBER = "face_landmarks_detector.tflite"
_SIDE_PX = 256
_POINTS = 478
# Below this logit in the first pass the second one is not worth its time.
_HOPELESS = -12.0
# Taken by the thread that has redirected stderr.
_STDERR = threading.Lock()

Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], float]]
"""From `256 256 3` RGB in [0, 1] to the mesh `478 3` in pixels of that square, and its logit."""


class MeshLandmarker:
    """Two passes for a new face: around the detector's box, then around the first pass's points.

    A tracked face gets one pass around its last place, and a second one only if it has moved away
    from there. `threads` is the number of CPU threads of one inference.
    """

    name = "mesh-478"

    def __init__(
        self,
        model: Path | None = None,
        *,
        threads: int = 1,
        backend: Backend = "auto",
        progress: Progress | None = None,
    ) -> None:
        content = _read_member(model or fetch("face-landmarker", progress=progress))
        self._network = _open_network(content, threads, backend)
        self._lock = threading.Lock()

    def landmarks(
        self, image: UInt8Image, detections: Sequence[Detection | Seed]
    ) -> list[FaceLandmarks]:
        """Landmarks for each detection or seed, in the same order. Thread-safe."""
        return [self._one(image, detection) for detection in detections]

    def _one(self, image: UInt8Image, detection: Detection | Seed) -> FaceLandmarks:
        if isinstance(detection, Seed):
            mesh, presence = self._pass(image, detection.region)
            if presence > 0 and _settled(detection.region, region_of_mesh(mesh)):
                return _answer(mesh, presence)
            return self._second(image, mesh, presence)
        mesh, presence = self._pass(image, region_of_detection(detection))
        doubtful = presence < 0
        if doubtful:
            other = self._pass(image, region_of_detection(detection, around_points=True))
            if other[1] > presence:
                mesh, presence = other
        return self._second(image, mesh, presence, doubtful=doubtful)

    def _second(
        self,
        image: UInt8Image,
        mesh: NDArray[np.float32],
        presence: float,
        *,
        doubtful: bool = False,
    ) -> FaceLandmarks:
        """The second pass, unless the first clearly saw no face."""
        if presence < _HOPELESS:
            return _answer(mesh, presence)
        return _answer(*self._pass(image, region_of_mesh(mesh)), doubtful=doubtful)

    def _pass(self, image: UInt8Image, region: Region) -> tuple[NDArray[np.float32], float]:
        """One inference in one square; returns the mesh in pixels of the picture."""
        square_to_image = _square_to_image(region)
        crop = warp_to_face(
            image, invert_affine(square_to_image), _SIDE_PX, interpolation="linear", antialias=True
        )
        with self._lock:
            mesh, presence = self._network(crop.astype(np.float32) / np.float32(255))
        # The network counts from the square's edge, we count from the centre of its first pixel.
        flat = mesh[:, :2] - 0.5
        placed = np.empty_like(mesh)
        placed[:, :2] = flat @ square_to_image[:, :2].T + square_to_image[:, 2]
        placed[:, 2] = mesh[:, 2] * (region.side_px / _SIDE_PX)
        return placed, presence


def _answer(mesh: NDArray[np.float32], presence: float, *, doubtful: bool = False) -> FaceLandmarks:
    return FaceLandmarks(mesh_to_68(mesh), presence, mesh, region_of_mesh(mesh), doubtful)


def _settled(before: Region, after: Region) -> bool:
    """Whether the square that the network saw is about the one around its points."""
    moved = np.hypot(after.center_x - before.center_x, after.center_y - before.center_y)
    turned = abs((after.angle_rad - before.angle_rad + np.pi) % (2 * np.pi) - np.pi)
    return bool(
        moved < 0.06 * after.side_px
        and 0.9 < after.side_px / before.side_px < 1.1
        and turned < np.deg2rad(10)
    )


def _square_to_image(region: Region) -> NDArray[np.float64]:
    """`2 3`: from pixels of the 256 px square to pixels of the picture."""
    scale = region.side_px / _SIDE_PX
    cos, sin = np.cos(region.angle_rad) * scale, np.sin(region.angle_rad) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = (_SIDE_PX - 1) / 2
    offset = np.array([region.center_x, region.center_y]) - linear @ [middle, middle]
    return np.hstack([linear, offset[:, None]])


def _read_member(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not a Face Landmarker file: {error}") from None


def _open_network(content: bytes, threads: int, backend: Backend) -> Network:
    if backend in {"auto", "litert"}:
        try:
            return _open_litert(content, threads)
        except ImportError as error:
            if backend == "litert":
                raise WeightsError(f"LiteRT cannot be loaded here: {error}") from None
    return _open_opencv(content)


def _open_litert(content: bytes, threads: int) -> Network:
    from ai_edge_litert.interpreter import Interpreter

    with _quiet_stderr():
        interpreter: Any = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    by_name = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

    def run(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        interpreter.set_tensor(entry, image[None])
        interpreter.invoke()
        mesh = interpreter.get_tensor(by_name["Identity"]).reshape(_POINTS, 3)
        return mesh, float(interpreter.get_tensor(by_name["Identity_1"]).item())

    return run


def _open_opencv(content: bytes) -> Network:
    # OpenCV 5's new engine keeps only the last of the three outputs, and the classic engine reads
    # only files.
    with tempfile.TemporaryDirectory(prefix="faceloom-mesh-") as folder:
        path = Path(folder, _MEMBER)
        path.write_bytes(content)
        network: Any = cv2.dnn.readNetFromTFLite(str(path), cv2.dnn.ENGINE_CLASSIC)

    def run(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        network.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        mesh, presence = network.forward(["Identity", "Identity_1"])
        return mesh.reshape(_POINTS, 3).copy(), float(presence.item())

    return run


@contextlib.contextmanager
def _quiet_stderr() -> Generator[None]:
    """Redirect file descriptor 2 while LiteRT loads, because LiteRT writes a line about its
    delegate there and has no option against it.

    Only one thread at a time may do this: a second one would save the redirected descriptor and
    restore that at the end, and no message would be visible from then on.
    """
    with _STDERR:
        saved = os.dup(2)
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)
