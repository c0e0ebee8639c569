"""Faces from a JSON file that a person wrote: boxes, five points, landmarks, or a template.

docs/detectors.md describes the format. It covers what DeepFaceLab's manual extractor could do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, field_validator, model_validator

from faceloom.core import FormatError, InputError, Settings
from faceloom.core.config import validate
from faceloom.detect.points import bounds, box_of_points, points_in_box, quarter_turn
from faceloom.detect.types import Detection, Points, Rect
from faceloom.geometry import (
    ALIGNED_LANDMARKS,
    MODEL_POINTS_3D,
    TEMPLATE_POINTS,
    five_points,
    transform_points,
    umeyama,
)

MANUAL: Final = "manual"
"""Name of this detector, also in the records of its faces."""
_MAX_BYTES = 256 << 20
_NOSE_TIP = 30 - 17

Pair = tuple[FiniteFloat, FiniteFloat]


class ManualTemplate(Settings):
    """A mean face, for faces that no landmarker can read: animals, tiny or blurred faces."""

    center: Pair
    """Tip of the nose."""
    size_px: Annotated[float, Field(gt=0, le=1e5)]
    """Side of the template's square: the distance between the outer ends of the brows."""
    angle_deg: FiniteFloat = 0.0
    """Clockwise rotation of the face; 0 is upright."""


class ManualFace(Settings):
    """One face, by at least one of box, points, landmarks and template, in pixels of the frame."""

    rect: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    """Left, top, right, bottom."""
    points: list[Pair] | None = Field(default=None, min_length=5, max_length=5)
    """Eyes, nose tip, mouth corners; of an upright face the image-left one first."""
    landmarks: list[Pair] | None = None
    """68 points in iBUG order, which are used as they are; or the five of `points`."""
    template: ManualTemplate | None = None
    """Replaces `landmarks`."""
    turn_deg: Literal[0, 90, 180, 270] | None = None
    """Clockwise turn of the frame that puts the face upright. Default: derived from the points."""

    @field_validator("rect")
    @classmethod
    def _ordered(cls, rect: Rect | None) -> Rect | None:
        if rect is not None and not (rect[0] < rect[2] and rect[1] < rect[3]):
            raise ValueError("must be left, top, right, bottom, with left < right and top < bottom")
        return rect

    @field_validator("landmarks")
    @classmethod
    def _counted(cls, landmarks: list[Pair] | None) -> list[Pair] | None:
        if landmarks is not None and len(landmarks) not in (5, 68):
            raise ValueError(f"must have 68 landmarks or 5 points, not {len(landmarks)}")
        return landmarks

    @model_validator(mode="after")
    def _placed(self) -> ManualFace:
        if self.landmarks is not None and self.template is not None:
            raise ValueError("landmarks and template cannot be combined")
        if all(v is None for v in (self.rect, self.points, self.landmarks, self.template)):
            raise ValueError("a face needs rect, points, landmarks or template")
        return self


class ManualFrame(Settings):
    """The faces of one frame."""

    name: str | None = None
    """The frame's file name, with or without its ending (`00001` is the first of a video)."""
    index: int | None = Field(default=None, ge=0)
    """Or its number, from 0."""
    faces: list[ManualFace]
    """The list may be empty."""
    only: bool = False
    """The frame has exactly these faces: nothing else is detected or tracked in it."""

    @model_validator(mode="after")
    def _identified(self) -> ManualFrame:
        if (self.name is None) == (self.index is None):
            raise ValueError("a frame needs either name or index")
        return self


class ManualFile(Settings):
    """The whole file."""

    faceloom_manual: Literal[1]
    """Version of the format."""
    frames: list[ManualFrame]
    """In any order."""


@dataclass(frozen=True)
class ManualFaces:
    """Faces by frame. A frame is looked up by its name first, then by its index."""

    by_name: Mapping[str, ManualFrame]
    by_index: Mapping[int, ManualFrame]

    def detections(self, name: str | None, index: int | None) -> tuple[list[Detection], bool]:
        """The faces of a frame, and whether it has no others."""
        frame = self.by_name.get(PurePath(name).stem) if name is not None else None
        if frame is None and index is not None:
            frame = self.by_index.get(index)
        if frame is None:
            return [], False
        return [detection_of(face) for face in frame.faces], frame.only


def read_manual(path: Path) -> ManualFaces:
    """Read a manual file.

    Raises `InputError` if there is no such file, and `FormatError` if it is not JSON, has another
    version, contains a frame twice, or contains an invalid face.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FormatError(f"{path}: too large for a manual file (over {_MAX_BYTES >> 20} MB)")
        content: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(content, dict) or "faceloom_manual" not in content:
        raise FormatError(f'{path}: not a manual file: the key "faceloom_manual" is missing')
    try:
        parsed = validate(ManualFile, content, where=str(path))
    except InputError as error:
        raise FormatError(str(error)) from None
    by_name: dict[str, ManualFrame] = {}
    by_index: dict[int, ManualFrame] = {}
    for frame in parsed.frames:
        if frame.index is not None:
            taken = by_index.setdefault(frame.index, frame)
        else:
            taken = by_name.setdefault(PurePath(frame.name or "").stem, frame)
        if taken is not frame:
            raise FormatError(f"{path}: contains frame {frame.name or frame.index} twice")
    return ManualFaces(by_name, by_index)


def detection_of(face: ManualFace) -> Detection:
    """The face as a detection, with landmarks if the file has them."""
    marks = _landmarks(face)
    five = face.points
    if five is None and marks is None and face.landmarks is not None:
        five = face.landmarks
    points: Points | None = None if five is None else np.array(five, dtype=np.float32)
    if points is None and marks is not None:
        points = five_points(marks).astype(np.float32)
    turn_deg = face.turn_deg
    if turn_deg is None:
        turn_deg = 0 if points is None else quarter_turn(points)
    rect = face.rect
    if rect is None:
        assert points is not None
        rect = bounds(marks) if marks is not None else box_of_points(points)
    if points is None:
        points = points_in_box(rect, turn_deg)
    return Detection(rect, points, 1.0, turn_deg, MANUAL, marks)


def _landmarks(face: ManualFace) -> Points | None:
    if face.template is not None:
        template = face.template
        return template_landmarks(template.center, template.size_px, template.angle_deg)
    if face.landmarks is not None and len(face.landmarks) == 68:
        return np.array(face.landmarks, dtype=np.float32)
    return None


def template_landmarks(
    center: tuple[float, float], size_px: float, angle_deg: float = 0.0
) -> NDArray[np.float32]:
    """`68 2`: DFL's template face with its nose tip at `center`, rotated clockwise.

    `size_px` is the side of the template's unit square. The template has no jaw; it is taken from
    the frontal view of the 3-D model. (In DFL all points of the jaw are in the same place.)
    """
    model = MODEL_POINTS_3D[:, :2]
    fit = umeyama(model[ALIGNED_LANDMARKS], TEMPLATE_POINTS[ALIGNED_LANDMARKS - 17])
    unit = np.concatenate([transform_points(model[:17], fit), TEMPLATE_POINTS])
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (unit - TEMPLATE_POINTS[_NOSE_TIP]) * size_px @ turn.T + np.asarray(center)
    return placed.astype(np.float32)


class NoDetector:
    """The detector `manual`. It finds nothing by itself; the finder adds the faces of the file."""

    name = MANUAL

    def detect(self, images: Any) -> list[list[Detection]]:
        """An empty list for each picture."""
        return [[] for _ in images]
