"""A face's metadata: the fields that DFL keeps in the picture, and ours (pipeline.md 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, InputError
from faceloom.faces.own import OwnMetadata
from faceloom.geometry import (
    FACE_TYPES,
    FaceType,
    invert_affine,
    rect_from_landmarks,
    transform_points,
)

_MAX_NAME = 1024
_MAX_BROW = 100.0
_MAX_POLYGONS = 4096
_KEYS: Final = (
    "face_type",
    "landmarks",
    "source_filename",
    "source_rect",
    "source_landmarks",
    "image_to_face_mat",
    "eyebrows_expand_mod",
    "seg_ie_polys",
    "xseg_mask",
)


@dataclass(frozen=True, eq=False)
class SegPolygon:
    """A hand-drawn mask polygon: `points` n x 2 float32 in pixels of the face picture."""

    include: bool
    points: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """What is known of one face. Arrays are converted and checked when the record is made.

    Raises `FormatError` for landmarks that are not 68 finite points, a face type that does not
    exist, a source name with a path in it, and the like.
    """

    face_type: FaceType
    """How much of the head the picture shows."""
    landmarks: NDArray[np.float32]
    """68x2 in pixels of the face picture; may lie outside it."""
    source_filename: str
    """Name of the frame, without a path: what frames and faces are matched by."""
    source_rect: NDArray[np.int32]
    """l, t, r, b of the detector's rectangle in frame pixels; DFL flips it for turned faces."""
    source_landmarks: NDArray[np.float32]
    """68x2 in frame pixels."""
    image_to_face_mat: NDArray[np.float64] | None = None
    """2x3 from frame to face pixels; None for `mark_only` and files from before 2019-04."""
    eyebrows_expand_mod: float = 1.0
    """Brow growth of the hull mask."""
    seg_ie_polys: tuple[SegPolygon, ...] = ()
    """Hand-drawn polygons, including ones first."""
    xseg_mask: bytes | None = None
    """A mask as an encoded PNG or JPEG; see `faceloom.faces.masks`."""
    unknown: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """Other keys of the picture's metadata, kept on a rewrite."""
    own: OwnMetadata | None = None
    """Faceloom's own block; None for a face that another program made."""

    def __post_init__(self) -> None:
        if self.face_type not in FACE_TYPES:
            raise FormatError(f"face metadata: unknown face type {self.face_type!r:.60}")
        name = self.source_filename
        if type(name) is not str or len(name) > _MAX_NAME or set(name) & set("/\\\0"):
            raise FormatError(f"face metadata: source file name {name!r:.60} is not a plain name")
        if name in (".", ".."):
            raise FormatError(f"face metadata: source file name {name!r} is not a plain name")
        matrix = self.image_to_face_mat
        brow = _floats(self.eyebrows_expand_mod, (), "eyebrows_expand_mod")
        if abs(float(brow)) > _MAX_BROW:
            raise FormatError("face metadata: impossible eyebrows_expand_mod")
        values: dict[str, Any] = {
            "landmarks": _landmarks(self.landmarks, "landmarks"),
            "source_landmarks": _landmarks(self.source_landmarks, "source_landmarks"),
            "source_rect": _rect(self.source_rect),
            "eyebrows_expand_mod": float(brow),
            "image_to_face_mat": None
            if matrix is None
            else _floats(matrix, (2, 3), "image_to_face_mat"),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def source_stem(self) -> str:
        """The frame's name without its suffix."""
        return PurePath(self.source_filename).stem


def scaled_record(record: FaceRecord, factor: float) -> FaceRecord:
    """The record for the same picture, `factor` times as large.

    As in DFL, landmarks, polygons and matrix are multiplied; the stored mask has its own size and
    stays. A whole frame (`mark_only`) keeps its frame landmarks, which refer to the footage.
    """
    if factor == 1:
        return record
    matrix = record.image_to_face_mat
    return replace(
        record,
        landmarks=record.landmarks * factor,
        image_to_face_mat=None if matrix is None else matrix * factor,
        seg_ie_polys=tuple(SegPolygon(p.include, p.points * factor) for p in record.seg_ie_polys),
    )


def _floats(value: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise FormatError(f"face metadata: {what} is not numbers") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise FormatError(f"face metadata: {what} is not {shape} finite numbers")
    return array


def _landmarks(value: Any, what: str) -> NDArray[np.float32]:
    points = _floats(value, (68, 2), what)
    if np.abs(points).max() > 1e9:
        raise FormatError(f"face metadata: {what} lie beyond any picture")
    return points.astype(np.float32)


def _rect(value: Any) -> NDArray[np.int32]:
    corners = _floats(value, (4,), "source_rect")
    if np.abs(corners).max() > 1e9:
        raise FormatError("face metadata: source_rect lies beyond any picture")
    return np.rint(corners).astype(np.int32)


# --- DFL's dictionary


def record_to_dfl(record: FaceRecord) -> dict[str, Any]:
    """The dictionary that DFL keeps in the picture, with the types that its tools expect."""
    polygons = [
        {"type": int(p.include), "pts": np.asarray(p.points, np.float32)}
        for p in record.seg_ie_polys
    ]
    mask = record.xseg_mask
    values: dict[str, Any] = {
        "face_type": record.face_type,
        "landmarks": record.landmarks.astype(np.float64).tolist(),
        "source_filename": record.source_filename,
        "source_rect": record.source_rect,
        "source_landmarks": record.source_landmarks.astype(np.float64).tolist(),
        "image_to_face_mat": record.image_to_face_mat,
        "eyebrows_expand_mod": None
        if record.eyebrows_expand_mod == 1.0
        else record.eyebrows_expand_mod,
        "seg_ie_polys": {"polys": polygons} if polygons else None,
        "xseg_mask": None if mask is None else np.frombuffer(mask, np.uint8),
    }
    known = {key: value for key, value in values.items() if value is not None}
    return {**known, **{k: v for k, v in record.unknown.items() if k not in _KEYS}}


def record_from_dfl(raw: object, own: OwnMetadata | None = None) -> FaceRecord:
    """The record of DFL's dictionary, of any age; `FormatError` when something cannot be."""
    if not isinstance(raw, dict) or raw.get("landmarks") is None:
        raise FormatError("no face metadata")
    values: dict[str, Any] = {str(key): value for key, value in raw.items()}
    source_landmarks = _source_landmarks(values)
    rect = values.get("source_rect")
    name = values.get("source_filename")
    return FaceRecord(
        face_type=_default(values.get("face_type"), "full_face"),
        landmarks=values["landmarks"],
        source_filename="" if name is None else name,
        source_rect=_rect_of(source_landmarks) if rect is None else rect,
        source_landmarks=source_landmarks,
        image_to_face_mat=values.get("image_to_face_mat"),
        eyebrows_expand_mod=_default(values.get("eyebrows_expand_mod"), 1.0),
        seg_ie_polys=polygons_from_dfl(values.get("seg_ie_polys")),
        xseg_mask=_encoded_mask(values.get("xseg_mask")),
        unknown={k: v for k, v in values.items() if k not in _KEYS and v is not None},
        own=own,
    )


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _source_landmarks(values: dict[str, Any]) -> Any:
    """Landmarks in the frame; for files that lack them, mapped back from the picture."""
    if values.get("source_landmarks") is not None:
        return values["source_landmarks"]
    if values.get("face_type") == "mark_only":
        return values["landmarks"]
    if values.get("image_to_face_mat") is None:
        raise FormatError("face metadata: it has no source_landmarks")
    matrix = _floats(values["image_to_face_mat"], (2, 3), "image_to_face_mat")
    landmarks = _floats(values["landmarks"], (68, 2), "landmarks")
    try:
        return transform_points(landmarks, invert_affine(matrix))
    except InputError:
        raise FormatError("face metadata: image_to_face_mat has no inverse") from None


def _rect_of(source_landmarks: Any) -> Any:
    points = _landmarks(source_landmarks, "source_landmarks")
    try:
        return rect_from_landmarks(points)
    except InputError:
        raise FormatError("face metadata: source_landmarks fall on one spot") from None


def _encoded_mask(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    raise FormatError("face metadata: xseg_mask is no encoded picture")


def polygons_from_dfl(value: Any) -> tuple[SegPolygon, ...]:
    """Polygons of both dumps (pipeline.md 2.9), including ones first."""
    if value is None:
        return ()
    dump = value.get("polys") if isinstance(value, dict) else value
    if not isinstance(dump, list) or len(dump) > _MAX_POLYGONS:
        raise FormatError("face metadata: seg_ie_polys are no polygons")
    polygons = [_polygon(item) for item in dump]
    return tuple(sorted(polygons, key=lambda polygon: not polygon.include))


def _polygon(item: Any) -> SegPolygon:
    if isinstance(item, dict):
        kind, points = item.get("type"), item.get("pts")
    elif isinstance(item, (list, tuple)) and len(item) == 2:
        kind, points = item
    else:
        raise FormatError("face metadata: seg_ie_polys are no polygons")
    try:
        array = np.asarray(points, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise FormatError("face metadata: seg_ie_polys are no polygons") from None
    if kind not in (0, 1) or array.ndim != 2 or array.shape[1] != 2:
        raise FormatError("face metadata: seg_ie_polys are no polygons")
    if not np.isfinite(array).all():
        raise FormatError("face metadata: seg_ie_polys are no polygons")
    return SegPolygon(include=bool(kind), points=array)


def rewritten_dfl(old: Mapping[str, Any], record: FaceRecord) -> dict[str, Any]:
    """`record` as DFL's dictionary, keeping what `old` holds for every field that is the same.

    So an edit of one field leaves the others bit for bit as another program wrote them.
    """
    new = record_to_dfl(record)
    try:
        same = record_to_dfl(record_from_dfl(dict(old)))
    except FormatError:
        same = {}
    order = [*(key for key in old if key in new), *(key for key in new if key not in old)]
    return {
        key: old[key] if key in old and _equal(same.get(key), new[key]) else new[key]
        for key in order
    }


def _equal(a: Any, b: Any) -> bool:
    """Deep equality of plain data with arrays."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return (
            isinstance(a, np.ndarray)
            and isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and np.array_equal(a, b)
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
