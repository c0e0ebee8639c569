"""2DFAN and 3DFAN, DeepFaceLab's landmarkers, from weight files that the user adds.

Bulat and Tzimiropoulos, "How far are we from solving the 2D and 3D face alignment problem?" (2017).
Crop, decoding and second pass are as in DeepFaceLab (docs/internals/alignment.md).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError, Progress
from faceloom.detect.networks.s3fd import S3fd
from faceloom.detect.networks.yunet import YuNet
from faceloom.detect.pixels import unturned
from faceloom.detect.points import box_of_region, quarter_turn, region_of_landmarks
from faceloom.detect.types import (
    Detection,
    Detector,
    FaceLandmarks,
    Rect,
    Seed,
    UInt8Image,
)
from faceloom.geometry import frame_to_face, invert_affine, transform_points, warp_to_face
from faceloom.weights import have_owned, owned_path
from faceloom.weights.foreign_weights import best_device, fit, read_weights

if TYPE_CHECKING:
    from faceloom.detect.networks.fan_network import FanNetwork

FanName = Literal["2dfan", "3dfan"]
_INPUT_PX = 256
_MAP_PX = 64
_REFERENCE = 195.0
_SIDE_PX = 200.0
_SHIFTS: Final = ((0, 0), (-1, -1), (1, -1), (1, 1), (-1, 1))
_TURN_CODES = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
Array = NDArray[np.float64]


class FanLandmarker:
    """68 points from heat maps, first around the box, then in the aligned crop. Thread-safe.

    `second` is the detector for that second pass, which happens if it finds exactly one face in the
    crop; without a detector there is no second pass. FAN does not say whether there is a face at
    all. In place of the mesh's presence there is 40 times the mean height of the heat maps' peaks,
    minus 4: it falls below 0 where no point stands out. `device` is `auto` (CUDA if there is any,
    otherwise the CPU) or the name of a PyTorch device.

    Raises `WeightsError` if there is no file, and `FormatError` if it is not a FAN.
    """

    def __init__(
        self,
        name: FanName = "2dfan",
        model: Path | None = None,
        *,
        second: Detector | None = None,
        device: str = "auto",
    ) -> None:
        self._name = name
        self._device = best_device(None if device == "auto" else device)
        self._network: Any = load_fan(model or owned_path(name)).to(self._device)
        self._second = second
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def landmarks(
        self, image: UInt8Image, detections: Sequence[Detection | Seed]
    ) -> list[FaceLandmarks]:
        """Landmarks for each detection or seed, in the same order. The mesh is None."""
        return [self._one(image, detection) for detection in detections]

    def _one(self, image: UInt8Image, detection: Detection | Seed) -> FaceLandmarks:
        if isinstance(detection, Seed):
            rect = box_of_region(detection.region)
            turn_deg = round(-detection.region.angle_rad / (np.pi / 2)) % 4 * 90
        else:
            rect = detection.rect
            turn_deg = detection.turn_deg or quarter_turn(detection.points)
        size = (image.shape[0], image.shape[1])
        if turn_deg:
            image = np.asarray(cv2.rotate(image, _TURN_CODES[turn_deg]), dtype=np.uint8)
            rect = _turned_rect(rect, turn_deg, size)
        points, peak = self._pass(image, rect)
        points = self._second_pass(image, points)
        points = unturned(points, turn_deg, size).astype(np.float32)
        return FaceLandmarks(points, 40 * peak - 4, None, region_of_landmarks(points))

    def _pass(self, image: UInt8Image, rect: Rect, *, samples: int = 1) -> tuple[Array, float]:
        """Points `68 2` around a box, averaged over shifted crops, and the mean height of peaks."""
        center, side_px = crop_of(rect)
        found: list[Array] = []
        peaks: list[float] = []
        for shift in _SHIFTS[:samples]:
            shifted = center + np.array(shift, dtype=np.float64)
            maps = self._run(cut_out(image, shifted, side_px))
            found.append(decode(maps, shifted, side_px))
            peaks.append(float(maps.reshape(len(maps), -1).max(axis=1).mean()))
        return np.mean(found, axis=0), float(np.mean(peaks))

    def _second_pass(self, image: UInt8Image, points: Array) -> Array:
        """The points from the aligned crop, if that shows exactly one face."""
        if self._second is None:
            return points
        try:
            to_crop = frame_to_face(points, _INPUT_PX, "full_face")
        except InputError:  # the points are all in one place: not a face
            return points
        crop = warp_to_face(image, to_crop, _INPUT_PX, interpolation="linear")
        (seen,) = self._second.detect([crop])
        if len(seen) != 1:
            return points
        closer, _ = self._pass(crop, seen[0].rect, samples=len(_SHIFTS))
        return transform_points(closer, invert_affine(to_crop))

    def _run(self, crop: UInt8Image) -> NDArray[np.float32]:
        """Heat maps `68 64 64` of a crop `256 256 3`."""
        import torch

        batch = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], dtype=np.float32)
        with self._lock, torch.inference_mode():
            maps = self._network(torch.from_numpy(batch / np.float32(255)).to(self._device))
        return maps[0].cpu().numpy()


def open_fan(
    name: FanName, *, device: str = "auto", progress: Progress | None = None
) -> FanLandmarker:
    """A landmarker whose second pass uses S3FD if the user has added it, otherwise YuNet."""
    model = owned_path(name)
    second = (
        S3fd(device=device)
        if have_owned("s3fd")
        else YuNet(long_side_px=_INPUT_PX, device=device, progress=progress)
    )
    return FanLandmarker(name, model, second=second, device=device)


def load_fan(path: Path, network: FanNetwork | None = None) -> FanNetwork:
    """The network with the weights of a file: DFL's `2DFAN.npy` or `3DFAN.npy`, or one of
    face-alignment's (`2DFAN4-….zip`, `3DFAN4-….zip`, `….pth.tar`).

    Loads them into `network` if given. Raises `WeightsError` and `FormatError`.
    """
    import torch

    from faceloom.detect.networks.fan_network import FanNetwork, face_alignment_name

    network = (network or FanNetwork()).eval().requires_grad_(False)
    state = network.state_dict()
    shapes = {
        name: tuple(value.shape)
        for name, value in state.items()
        if not name.endswith(".num_batches_tracked")
    }
    arrays = fit(
        read_weights(path), shapes, network="FAN with 68 points", rename=face_alignment_name
    )
    network.load_state_dict(
        {name: torch.tensor(array) for name, array in arrays.items()}, strict=False
    )
    return network


def crop_of(rect: Rect) -> tuple[Array, float]:
    """Centre (x, y) and side in pixels of the square that FAN sees for a box."""
    left, top, right, bottom = rect
    scale = ((right - left) + (bottom - top)) / _REFERENCE
    return np.array([(left + right) / 2, (top + bottom) / 2]), _SIDE_PX * scale


def cut_out(image: UInt8Image, center: Array, side_px: float) -> UInt8Image:
    """The square `256 256 3` around `center`, black outside the picture."""
    low = np.trunc(center + side_px * (1 / _INPUT_PX - 0.5)).astype(int)
    high = np.trunc(center + side_px * 0.5).astype(int)
    height, width = image.shape[:2]
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    canvas = np.zeros((max(1, bottom - top), max(1, right - left), 3), dtype=np.uint8)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(right, width), min(bottom, height)
    if x1 > x0 and y1 > y0:
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    size = (_INPUT_PX, _INPUT_PX)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def decode(maps: NDArray[np.float32], center: Array, side_px: float) -> Array:
    """Points `68 2` in pixels of the picture from heat maps `68 64 64` of a crop."""
    numbers = np.arange(len(maps))
    y, x = np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), _MAP_PX)
    inside = (x > 0) & (x < _MAP_PX - 1) & (y > 0) & (y < _MAP_PX - 1)
    last = _MAP_PX - 1
    right, left = np.minimum(x + 1, last), np.maximum(x - 1, 0)
    below, above = np.minimum(y + 1, last), np.maximum(y - 1, 0)
    to_x = np.sign(maps[numbers, y, right] - maps[numbers, y, left])
    to_y = np.sign(maps[numbers, below, x] - maps[numbers, above, x])
    px = x + np.where(inside, 0.25 * to_x, 0.0) + 0.5
    py = y + np.where(inside, 0.25 * to_y, 0.0) + 0.5
    points = np.stack([px, py], axis=1).astype(np.float64)
    return center + side_px * (points / _MAP_PX - 0.5)


def _turned_rect(rect: Rect, turn_deg: int, size: tuple[int, int]) -> Rect:
    """A box, from a picture of `size` (h, w) to the picture turned clockwise."""
    left, top, right, bottom = rect
    height, width = size
    if turn_deg == 90:
        return height - 1 - bottom, left, height - 1 - top, right
    if turn_deg == 180:
        return width - 1 - right, height - 1 - bottom, width - 1 - left, height - 1 - top
    return top, width - 1 - right, bottom, width - 1 - left
