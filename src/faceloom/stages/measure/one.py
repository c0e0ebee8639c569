"""One face's measures: from its file, its record and its pixels to cached packets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError, FormatError, Progress
from faceloom.curate.measures.aligned import aligned_face, luma
from faceloom.curate.measures.detail import spectral_sharpness
from faceloom.curate.measures.light import LightReader
from faceloom.curate.measures.phash import perceptual_hash
from faceloom.curate.measures.pose import (
    dfl_pose,
    enlargement,
    legacy_pose,
    picture_aspect,
    pose_deg,
    source_size_px,
)
from faceloom.curate.measures.sharpness import cpbd, motion_blur
from faceloom.curate.measures.tone import black_samples, brightness_and_hue, histograms
from faceloom.detect.networks.blendshapes import ExpressionReader
from faceloom.faces import FaceRecord, decode_picture, encoded_size
from faceloom.faces.files.face_file import read_bytes
from faceloom.geometry import hull_mask
from faceloom.identify import Identifier
from faceloom.stages.measure.columns import HIST_SCALE, KINDS, THUMB_PX, Group, Kind
from faceloom.weights import fetch

_HEAD_BYTES: Final = 64 << 10


class Measurer:
    """Measures faces in any number of threads; networks are opened once a thread, when needed.

    `groups` are what will be asked for; raises `WeightsError` when a network that one of them needs
    cannot be had.
    """

    def __init__(self, groups: Collection[Group], *, progress: Progress) -> None:
        # Fetched here and now, not by all threads at once.
        self._mesh = fetch("face-landmarker", progress=progress) if "mesh" in groups else None
        self._sface = fetch("sface", progress=progress) if "identity" in groups else None
        self._light = LightReader()
        self._own = threading.local()

    def measure(
        self, path: Path, record: FaceRecord, kinds: Collection[Kind]
    ) -> tuple[dict[str, NDArray[Any]], str | None]:
        """The packets of one face that could be measured, by kind, and why others could not."""
        found: dict[str, NDArray[Any]] = {}
        trouble: str | None = None
        face = Face(path, record, self)
        for kind in kinds:
            try:
                value = np.asarray(MEASURES[kind.name](face))
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
    """A face's file, read and decoded no sooner and no oftener than a measure needs it."""

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
        """From the header alone, unless the picture is decoded anyhow."""
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
        """The hull of the landmarks, as DFL masks before it judges sharpness: 0 or 1."""
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
    # DFL's channels come as blue, green, red.
    return histograms(face.image)[::-1].ravel() * np.float32(HIST_SCALE)


def _hist_of(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    return histograms(gray).ravel() * np.float32(HIST_SCALE)


def _thumb(face: Face) -> NDArray[np.uint8]:
    return aligned_face(
        face.image, face.record.landmarks, THUMB_PX, "whole_face", pixel_aspect=face.aspect
    )


def _plain_thumb(face: Face) -> NDArray[np.uint8]:
    size = (THUMB_PX, THUMB_PX)
    return np.asarray(cv2.resize(face.image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _expression(face: Face) -> NDArray[np.float32]:
    found = face.measurer.expressions.read(face.image, face.record.landmarks)
    head = (found.presence, *found.gaze_deg, found.mouth_open, found.eyes_closed)
    return np.concatenate([np.array(head, np.float32), found.coefficients])


def stored_embedding(record: FaceRecord) -> NDArray[np.float32] | None:
    """The identity vector in the face's file, if there is one of SFace's length."""
    own = record.own
    if own is None or own.embedding is None or own.embedding.shape != KINDS["embedding"].shape:
        return None
    return own.embedding


def _embedding(face: Face) -> NDArray[np.float32]:
    stored = stored_embedding(face.record)
    if stored is not None:
        return stored
    return face.measurer.identifier.embed(
        face.image, face.record.landmarks, pixel_aspect=face.aspect
    )


MEASURES: Final[Mapping[str, Callable[[Face], Any]]] = {
    "pose": _pose,
    "dfl-pose": _dfl_pose,
    "cpbd": lambda face: cpbd(face.masked_gray),
    "cpbd-whole": lambda face: cpbd(face.gray),
    "motion-blur": lambda face: motion_blur(face.image * face.mask[..., None]),
    "sharpness": _sharpness,
    "tone": _tone,
    "hist": _hist,
    "hist-gray": lambda face: _hist_of(face.masked_gray),
    "hist-gray-whole": lambda face: _hist_of(face.gray),
    "thumb": _thumb,
    "plain-thumb": _plain_thumb,
    "phash": lambda face: perceptual_hash(
        face.image, face.record.landmarks, pixel_aspect=face.aspect
    ),
    "light": lambda face: face.measurer.light.read(
        face.image, face.record.landmarks, pixel_aspect=face.aspect
    ),
    "expression": _expression,
    "embedding": _embedding,
}
"""How each kind of packet is measured."""
