"""Faceloom's own metadata of a face, a block of JSON next to DFL's."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError

VERSION: Final = 1
_FRACTION = re.compile(r"(-?\d{1,18})/(\d{1,18})")
_MAX_TEXT = 200


@dataclass(frozen=True, eq=False)
class OwnMetadata:
    """The JSON block. None means unknown.

    `unknown` keeps the fields of other versions, so that a rewrite loses nothing.
    """

    version: int = VERSION
    """Version of the block's format."""
    frame_index: int | None = None
    """Number of the frame in the footage, from 0."""
    time: Fraction | None = None
    """The frame's time stamp in seconds, on the container's timeline."""
    track: int | None = None
    """Number of the face's track through the clip."""
    detector: str | None = None
    """Name of the detector that found the face."""
    score: float | None = None
    """The detector's confidence, 0 to 1."""
    presence: float | None = None
    """The landmarker's face presence, a logit."""
    pixel_aspect: float = 1.0
    """Width over height of a frame pixel."""
    pose: tuple[float, float, float] | None = None
    """Pitch, yaw and roll in degrees; roll is relative to the frame."""
    turn_deg: int = 0
    """How far the frame was turned when the face was detected: 0, 90, 180 or 270."""
    embedding: NDArray[np.float32] | None = None
    """The identity vector, unit length."""
    quality: float | None = None
    """How good a training sample the face is; higher is better."""
    unknown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Fields that this version does not know, kept unchanged."""


_PLAIN = ("frame_index", "track", "detector", "score", "presence", "quality")
_KNOWN = frozenset({"version", "time", "pixel_aspect", "pose", "turn_deg", "embedding", *_PLAIN})


def own_to_json(own: OwnMetadata) -> bytes:
    """The block as compact UTF-8 JSON; fields that are None are left out.

    Raises `FormatError` for values that JSON cannot hold (NaN, infinity).
    """
    values: dict[str, Any] = {"version": own.version}
    values.update({key: _plain(getattr(own, key)) for key in _PLAIN})
    if own.time is not None:
        values["time"] = f"{own.time.numerator}/{own.time.denominator}"
    values["pixel_aspect"] = float(own.pixel_aspect)
    values["pose"] = None if own.pose is None else [float(angle) for angle in own.pose]
    values["turn_deg"] = int(own.turn_deg)
    if own.embedding is not None:
        raw = np.ascontiguousarray(own.embedding, dtype="<f4").tobytes()
        values["embedding"] = base64.b64encode(raw).decode()
    values = {key: value for key, value in values.items() if value is not None}
    try:
        text = json.dumps(
            {**own.unknown, **values}, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except (ValueError, TypeError) as error:
        raise FormatError(f"face metadata that cannot be stored: {error}") from None


def _plain(value: Any) -> Any:
    """NumPy numbers as Python numbers."""
    return value.item() if isinstance(value, np.generic) else value


def own_from_json(raw: bytes) -> OwnMetadata:
    """Read the block; `FormatError` if it is damaged or a field has an impossible value."""
    try:
        values = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        raise FormatError("damaged Faceloom metadata: not JSON") from None
    if not isinstance(values, dict):
        raise FormatError("damaged Faceloom metadata: not an object")
    pose = _numbers(values, "pose", 3)
    pixel_aspect = _number(values, "pixel_aspect")
    if pixel_aspect is not None and not 0.01 <= pixel_aspect <= 100:
        raise _wrong("pixel_aspect")
    return OwnMetadata(
        version=_integer(values, "version") or VERSION,
        frame_index=_integer(values, "frame_index"),
        time=_time(values),
        track=_integer(values, "track"),
        detector=_text(values, "detector"),
        score=_number(values, "score"),
        presence=_number(values, "presence"),
        pixel_aspect=1.0 if pixel_aspect is None else pixel_aspect,
        pose=None if pose is None else (pose[0], pose[1], pose[2]),
        turn_deg=_integer(values, "turn_deg") or 0,
        embedding=_embedding(values),
        quality=_number(values, "quality"),
        unknown={key: value for key, value in values.items() if key not in _KNOWN},
    )


def _no_constant(name: str) -> Any:
    raise ValueError(name)


# Made once: creating a decoder takes as long as reading a block.
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _wrong(key: str) -> FormatError:
    return FormatError(f"damaged Faceloom metadata: impossible {key}")


def _integer(values: dict[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is not None and (type(value) is not int or abs(value) >= 1 << 63):
        raise _wrong(key)
    return value


def _number(values: dict[str, Any], key: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or abs(value) > 1e300 or not math.isfinite(value):
        raise _wrong(key)
    return float(value)


def _numbers(values: dict[str, Any], key: str, length: int) -> list[float] | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != length:
        raise _wrong(key)
    numbers = [_number({key: item}, key) for item in value]
    if any(number is None for number in numbers):
        raise _wrong(key)
    return [number for number in numbers if number is not None]


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and (type(value) is not str or len(value) > _MAX_TEXT):
        raise _wrong(key)
    return value


def _time(values: dict[str, Any]) -> Fraction | None:
    text = _text(values, "time")
    if text is None:
        return None
    match = _FRACTION.fullmatch(text)
    if match is None or int(match[2]) == 0:
        raise _wrong("time")
    return Fraction(int(match[1]), int(match[2]))


def _embedding(values: dict[str, Any]) -> NDArray[np.float32] | None:
    text = values.get("embedding")
    if text is None:
        return None
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    except (ValueError, TypeError, binascii.Error):
        raise _wrong("embedding") from None
    if not np.isfinite(vector).all():
        raise _wrong("embedding")
    return vector
