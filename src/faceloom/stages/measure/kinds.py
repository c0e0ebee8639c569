"""What can be measured of a face: packets that are measured and cached together, and the columns
that come out of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError, FormatError, InputError, Progress
from faceloom.curate.measures import (
    LightReader,
    aligned_face,
    black_samples,
    brightness_and_hue,
    cpbd,
    dfl_pose,
    enlargement,
    histograms,
    legacy_pose,
    luma,
    motion_blur,
    occlusion_of,
    perceptual_hash,
    picture_aspect,
    pose_deg,
    source_size_px,
    spectral_sharpness,
)
from faceloom.detect.networks.blendshapes import ExpressionReader
from faceloom.faces import FaceRecord, decode_picture, encoded_size
from faceloom.faces.files.face_file import read_bytes
from faceloom.geometry import BLENDSHAPES, hull_mask
from faceloom.identify import Identifier
from faceloom.weights import fetch

# What measuring needs: the record alone, the picture's size, its pixels, or a network.
Group = Literal["record", "header", "pixels", "mesh", "identity"]
Values = NDArray[Any]

_THUMB_PX: Final = 64
_HEAD_BYTES: Final = 64 << 10
_EMBEDDING: Final = 128
# Shares of a histogram are cached times this, so that 16-bit floats hold both a single pixel of a
# large picture and a picture of one colour.
_HIST_SCALE: Final = 1024.0


# --- one face


class Measurer:
    """Measures faces from any number of threads; each thread opens the networks it needs once.

    `groups` are those that will be measured. Raises `WeightsError` when a network that one of them
    needs is not available.
    """

    def __init__(self, groups: Collection[Group], *, progress: Progress) -> None:
        # Fetched here once, not by every thread.
        self._mesh = fetch("face-landmarker", progress=progress) if "mesh" in groups else None
        self._sface = fetch("sface", progress=progress) if "identity" in groups else None
        self._light = LightReader()
        self._own = threading.local()

    def measure(
        self, path: Path, record: FaceRecord, kinds: Collection[Kind]
    ) -> tuple[dict[str, NDArray[Any]], str | None]:
        """The packets of one face by kind, and the reason if some could not be measured."""
        found: dict[str, NDArray[Any]] = {}
        trouble: str | None = None
        face = Face(path, record, self)
        for kind in kinds:
            try:
                value = np.asarray(kind.measure(face))
                found[kind.name] = value.astype(kind.dtype).reshape(kind.shape)
            except FaceloomError as error:
                trouble = trouble or str(error).removeprefix(f"{path}: ")
            except cv2.error as error:
                trouble = trouble or f"cannot be measured: {error.err or error}"
        return found, trouble

    @property
    def light(self) -> LightReader:
        return self._light

    @property
    def expressions(self) -> ExpressionReader:
        reader: ExpressionReader | None = getattr(self._own, "expressions", None)
        if reader is None:
            reader = self._own.expressions = ExpressionReader(self._mesh)
        return reader

    @property
    def identifier(self) -> Identifier:
        identifier: Identifier | None = getattr(self._own, "identifier", None)
        if identifier is None:
            identifier = self._own.identifier = Identifier(self._sface)
        return identifier


class Face:
    """A face's file, decoded at most once, and only when a measure needs the pixels."""

    def __init__(self, path: Path, record: FaceRecord, measurer: Measurer) -> None:
        self.path, self.record, self.measurer = path, record, measurer
        self.aspect = picture_aspect(record)
        self._damage: FaceloomError | None = None

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        if self._damage is not None:
            raise self._damage
        try:
            return decode_picture(read_bytes(self.path))
        except FaceloomError as error:
            self._damage = error
            raise

    @cached_property
    def width_px(self) -> int:
        """From the header alone, unless the picture is decoded already."""
        if "image" in self.__dict__:
            return self.image.shape[1]
        try:
            with self.path.open("rb") as handle:
                return encoded_size(handle.read(_HEAD_BYTES))[1]
        except (OSError, FormatError):
            return encoded_size(read_bytes(self.path))[1]

    @cached_property
    def gray(self) -> NDArray[np.uint8]:
        return luma(self.image)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """The landmarks' hull, 0 or 1: DFL measures sharpness inside it."""
        hull = hull_mask(
            self.record.landmarks, self.gray.shape[:2], self.record.eyebrows_expand_mod
        )
        return hull.astype(np.uint8)

    @cached_property
    def masked_gray(self) -> NDArray[np.uint8]:
        return self.gray * self.mask


def _pose(face: Face) -> tuple[float, ...]:
    return *pose_deg(face.record), source_size_px(face.record)


def _dfl_pose(face: Face) -> tuple[float, ...]:
    width = face.width_px
    return *dfl_pose(face.record, width), *legacy_pose(face.record, width)


def _sharpness(face: Face) -> float:
    return spectral_sharpness(
        face.gray,
        face.record.landmarks,
        pixels_per_source_px=enlargement(face.record),
        pixel_aspect=face.aspect,
    )


def _tone(face: Face) -> tuple[float, ...]:
    return *brightness_and_hue(face.image), black_samples(face.image)


def _hist(face: Face) -> NDArray[np.float32]:
    # In DFL's order: blue, green, red.
    return histograms(face.image)[::-1].ravel() * np.float32(_HIST_SCALE)


def _hist_of(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    return histograms(gray).ravel() * np.float32(_HIST_SCALE)


def _thumb(face: Face) -> NDArray[np.uint8]:
    return aligned_face(
        face.image, face.record.landmarks, _THUMB_PX, "whole_face", pixel_aspect=face.aspect
    )


def _plain_thumb(face: Face) -> NDArray[np.uint8]:
    size = (_THUMB_PX, _THUMB_PX)
    return np.asarray(cv2.resize(face.image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _motion_blur(face: Face) -> float:
    return motion_blur(face.image * face.mask[..., None])


def _phash(face: Face) -> NDArray[np.uint8]:
    return perceptual_hash(face.image, face.record.landmarks, pixel_aspect=face.aspect)


def _light(face: Face) -> NDArray[np.float32]:
    return face.measurer.light.read(face.image, face.record.landmarks, pixel_aspect=face.aspect)


def _expression(face: Face) -> NDArray[np.float32]:
    found = face.measurer.expressions.read(face.image, face.record.landmarks)
    head = (found.presence, *found.gaze_deg, found.mouth_open, found.eyes_closed)
    return np.concatenate([np.array(head, np.float32), found.coefficients])


def stored_embedding(record: FaceRecord) -> NDArray[np.float32] | None:
    """The identity vector stored in the face's file; None when there is none of SFace's length."""
    own = record.own
    if own is None or own.embedding is None or own.embedding.shape != (_EMBEDDING,):
        return None
    return own.embedding


def _embedding(face: Face) -> NDArray[np.float32]:
    stored = stored_embedding(face.record)
    if stored is not None:
        return stored
    return face.measurer.identifier.embed(
        face.image, face.record.landmarks, pixel_aspect=face.aspect
    )


# --- packets and columns


@dataclass(frozen=True)
class Kind:
    """A packet of values that are measured and cached together."""

    name: str
    version: int
    """Raised when the measure changes, which invalidates cached values."""
    dtype: str
    shape: tuple[int, ...]
    group: Group
    cost_ms: float
    """Rough CPU time for one face."""
    measure: Callable[[Face], Any]

    def empty(self, count: int) -> Values:
        """Values of faces that could not be measured: NaN, or 0 for whole numbers."""
        fill = np.nan if np.dtype(self.dtype).kind == "f" else 0
        return np.full((count, *self.shape), fill, dtype=self.dtype)


_KINDS = (
    Kind("pose", 1, "<f4", (4,), "record", 0.1, _pose),
    Kind("dfl-pose", 1, "<f4", (4,), "header", 0.3, _dfl_pose),
    Kind("cpbd", 1, "<f4", (), "pixels", 4, lambda face: cpbd(face.masked_gray)),
    Kind("cpbd-whole", 1, "<f4", (), "pixels", 3, lambda face: cpbd(face.gray)),
    Kind("motion-blur", 1, "<f8", (), "pixels", 1, _motion_blur),
    Kind("sharpness", 3, "<f4", (), "pixels", 1, _sharpness),
    Kind("tone", 1, "<f8", (3,), "pixels", 0.4, _tone),
    Kind("hist", 1, "<f2", (768,), "pixels", 0.4, _hist),
    Kind("hist-gray", 1, "<f2", (256,), "pixels", 0.4, lambda face: _hist_of(face.masked_gray)),
    Kind("hist-gray-whole", 1, "<f2", (256,), "pixels", 0.4, lambda face: _hist_of(face.gray)),
    Kind("thumb", 1, "|u1", (_THUMB_PX, _THUMB_PX, 3), "pixels", 0.4, _thumb),
    Kind("plain-thumb", 1, "|u1", (_THUMB_PX, _THUMB_PX, 3), "pixels", 0.4, _plain_thumb),
    Kind("phash", 1, "|u1", (8,), "pixels", 0.4, _phash),
    Kind("light", 2, "<f4", (3,), "pixels", 1, _light),
    Kind("expression", 1, "<f4", (5 + len(BLENDSHAPES),), "mesh", 8, _expression),
    Kind("embedding", 1, "<f4", (_EMBEDDING,), "identity", 26, _embedding),
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _KINDS})


@dataclass(frozen=True)
class Column:
    """How a column comes out of the cached packets."""

    kinds: tuple[str, ...]
    """The packets it needs."""
    of: Callable[[Mapping[str, Values]], Values]
    """From packets (n × …) to the column."""


def _whole(kind: str, dtype: str | None = None) -> Column:
    return Column((kind,), lambda packets: packets[kind].astype(dtype or packets[kind].dtype))


def _part(kind: str, place: int | slice) -> Column:
    return Column((kind,), lambda packets: packets[kind][:, place].astype(np.float64))


def _shares(kind: str) -> Column:
    """A histogram whose channels sum to 1 again; 16 bits miss that by about 1e-4."""

    def column(packets: Mapping[str, Values]) -> Values:
        faces, width = packets[kind].shape
        bins = packets[kind].astype(np.float32).reshape(faces, width // 256, 256)
        sums = bins.sum(axis=2, keepdims=True)
        return (bins / np.where(sums > 0, sums, 1)).reshape(faces, width)

    return Column((kind,), column)


def _occlusion(packets: Mapping[str, Values]) -> Values:
    return occlusion_of(packets["expression"][:, 0], packets["pose"][:, 1])


_MEASURED: Final[Mapping[str, Column]] = MappingProxyType(
    {
        "pitch_deg": _part("pose", 0),
        "yaw_deg": _part("pose", 1),
        "roll_deg": _part("pose", 2),
        "source_size": _part("pose", 3),
        "dfl_pitch": _part("dfl-pose", 0),
        "dfl_yaw": _part("dfl-pose", 1),
        "legacy_pitch": _part("dfl-pose", 2),
        "legacy_yaw": _part("dfl-pose", 3),
        "cpbd": _whole("cpbd"),
        "cpbd_whole": _whole("cpbd-whole"),
        "motion_blur": _whole("motion-blur"),
        "sharpness": _whole("sharpness"),
        "brightness": _part("tone", 0),
        "hue": _part("tone", 1),
        "black": _part("tone", 2),
        "hist": _shares("hist"),
        "hist_gray": _shares("hist-gray"),
        "hist_gray_whole": _shares("hist-gray-whole"),
        "thumb": _whole("thumb"),
        "plain_thumb": _whole("plain-thumb"),
        "phash": _whole("phash"),
        "light": _whole("light"),
        "mesh_presence": _part("expression", 0),
        "gaze": _part("expression", slice(1, 3)),
        "mouth_open": _part("expression", 3),
        "eyes_closed": _part("expression", 4),
        "blendshapes": Column(("expression",), lambda packets: packets["expression"][:, 5:]),
        "occlusion": Column(("expression", "pose"), _occlusion),
        "embedding": _whole("embedding", "<f4"),
    }
)


def _rect_area(record: FaceRecord) -> float:
    left, top, right, bottom = (float(v) for v in record.source_rect)
    return abs(right - left) * abs(bottom - top)


def _own(field: str) -> Callable[[FaceRecord], float]:
    def value(record: FaceRecord) -> float:
        found = None if record.own is None else getattr(record.own, field)
        return float("nan") if found is None else float(found)

    return value


_RECORDED: Final[Mapping[str, Callable[[FaceRecord], float]]] = MappingProxyType(
    {
        "rect_area": _rect_area,
        "score": _own("score"),
        "presence": _own("presence"),
        "track": _own("track"),
        "frame": _own("frame_index"),
    }
)
COLUMNS: Final = (*_RECORDED, *_MEASURED)


def kinds_for(columns: Collection[str]) -> tuple[Kind, ...]:
    """The packets that `columns` need; `InputError` for an unknown column."""
    for name in columns:
        if name not in _RECORDED and name not in _MEASURED:
            raise InputError(f"unknown measure {name!r}; known: {', '.join(COLUMNS)}")
    needed = {kind for name in columns if name in _MEASURED for kind in _MEASURED[name].kinds}
    return tuple(kind for kind in _KINDS if kind.name in needed)


def column_values(
    name: str, records: tuple[FaceRecord, ...], packets: Mapping[str, Values]
) -> Values:
    """A column, n or n × d, from the faces' records and packets."""
    if name in _RECORDED:
        return np.array([_RECORDED[name](record) for record in records], dtype=np.float64)
    return _MEASURED[name].of(packets)
