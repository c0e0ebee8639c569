"""The columns that faces can be measured by, and in what packets they are cached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.curate.measures.occlusion import occlusion
from faceloom.faces import FaceRecord
from faceloom.geometry import BLENDSHAPES

Group = Literal["record", "header", "pixels", "mesh", "identity"]
"""What measuring takes: the record alone, the picture's size, its pixels, or a network."""
THUMB_PX: Final = 64
HIST_SCALE: Final = 1024.0
"""What shares of a histogram are multiplied by in the cache, so that 16-bit floats hold a single
pixel of a large picture as well as a picture of one colour."""

Values = NDArray[Any]


@dataclass(frozen=True)
class Kind:
    """What is cached together because it is measured together."""

    name: str
    version: int
    """Rises when a measure changes its meaning, which makes cached values void."""
    dtype: str
    shape: tuple[int, ...]
    group: Group

    def empty(self, count: int) -> Values:
        """Values of faces that could not be measured: NaN, or 0 where there is none."""
        fill = np.nan if np.dtype(self.dtype).kind == "f" else 0
        return np.full((count, *self.shape), fill, dtype=self.dtype)


_COEFFICIENTS = len(BLENDSHAPES)
_KINDS = (
    Kind("pose", 1, "<f4", (4,), "record"),
    Kind("dfl-pose", 1, "<f4", (4,), "header"),
    Kind("cpbd", 1, "<f4", (), "pixels"),
    Kind("cpbd-whole", 1, "<f4", (), "pixels"),
    Kind("motion-blur", 1, "<f8", (), "pixels"),
    Kind("sharpness", 3, "<f4", (), "pixels"),
    Kind("tone", 1, "<f8", (3,), "pixels"),
    Kind("hist", 1, "<f2", (768,), "pixels"),
    Kind("hist-gray", 1, "<f2", (256,), "pixels"),
    Kind("hist-gray-whole", 1, "<f2", (256,), "pixels"),
    Kind("thumb", 1, "|u1", (THUMB_PX, THUMB_PX, 3), "pixels"),
    Kind("plain-thumb", 1, "|u1", (THUMB_PX, THUMB_PX, 3), "pixels"),
    Kind("phash", 1, "|u1", (8,), "pixels"),
    Kind("light", 2, "<f4", (3,), "pixels"),
    Kind("expression", 1, "<f4", (5 + _COEFFICIENTS,), "mesh"),
    Kind("embedding", 1, "<f4", (128,), "identity"),
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _KINDS})


@dataclass(frozen=True)
class Column:
    """A column and how it comes out of the cached packets."""

    kinds: tuple[str, ...]
    """Which packets it needs."""
    of: Callable[[Mapping[str, Values]], Values]
    """From packets (n × …) to the column."""


def _whole(kind: str, dtype: str | None = None) -> Column:
    return Column((kind,), lambda packets: packets[kind].astype(dtype or packets[kind].dtype))


def _part(kind: str, place: int | slice) -> Column:
    return Column((kind,), lambda packets: packets[kind][:, place].astype(np.float64))


def _shares(kind: str) -> Column:
    """A histogram with the sum 1 a channel again, which 16 bits miss by about 1e-4."""

    def column(packets: Mapping[str, Values]) -> Values:
        faces, width = packets[kind].shape
        bins = packets[kind].astype(np.float32).reshape(faces, width // 256, 256)
        sums = bins.sum(axis=2, keepdims=True)
        return (bins / np.where(sums > 0, sums, 1)).reshape(faces, width)

    return Column((kind,), column)


def _occlusion(packets: Mapping[str, Values]) -> Values:
    return occlusion(packets["expression"][:, 0], packets["pose"][:, 1])


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
"""Every column's name."""


def kinds_for(columns: Collection[str]) -> tuple[Kind, ...]:
    """The packets that `columns` need; `InputError` for a column that does not exist."""
    for name in columns:
        if name not in _RECORDED and name not in _MEASURED:
            raise InputError(f"no measure is called {name!r}; there are: {', '.join(COLUMNS)}")
    needed = {kind for name in columns if name in _MEASURED for kind in _MEASURED[name].kinds}
    return tuple(kind for kind in _KINDS if kind.name in needed)


def column_values(
    name: str, records: tuple[FaceRecord, ...], packets: Mapping[str, Values]
) -> Values:
    """A column, n or n × d, from the faces' records and packets."""
    if name in _RECORDED:
        return np.array([_RECORDED[name](record) for record in records], dtype=np.float64)
    return _MEASURED[name].of(packets)
