"""Faces made up for the tests, and the parts of DFL's reader that the reference describes."""

from __future__ import annotations

import io
import pickle
import struct
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from faceloom.faces import FaceRecord, OwnMetadata
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points

SIZE = 128
SOURCE_LANDMARKS = (MODEL_POINTS_3D[:, :2] * 2 + np.array([500, 400])).astype(np.float32)


def picture(size: int = SIZE, seed: int = 0) -> np.ndarray:
    """A smooth colour picture, so that JPEG stays close to it."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)


def record(**changes: Any) -> FaceRecord:
    """A record as the extractor makes it."""
    matrix = frame_to_face(SOURCE_LANDMARKS, SIZE, "whole_face")
    values: dict[str, Any] = {
        "face_type": "whole_face",
        "landmarks": transform_points(SOURCE_LANDMARKS, matrix),
        "source_filename": "00017.png",
        "source_rect": np.array([353, 272, 643, 590]),
        "source_landmarks": SOURCE_LANDMARKS,
        "image_to_face_mat": matrix,
        "own": own(),
    }
    return FaceRecord(**{**values, **changes})


def own(**changes: Any) -> OwnMetadata:
    embedding = np.random.default_rng(1).standard_normal(128).astype(np.float32)
    values: dict[str, Any] = {
        "frame_index": 16,
        "time": Fraction(16016, 30000),
        "track": 2,
        "detector": "yunet",
        "score": 0.93,
        "presence": 7.25,
        "pixel_aspect": 16 / 15,
        "pose": (-3.5, 12.25, 90.0),
        "turn_deg": 270,
        "embedding": embedding / np.linalg.norm(embedding),
        "quality": 0.5,
        "unknown": {"later": [1, {"deep": None}]},
    }
    return OwnMetadata(**{**values, **changes})


class AllowList(pickle.Unpickler):
    """CPython's unpickler with the globals that the reference's section 2.3 lists."""

    def find_class(self, module: str, name: str) -> Any:
        assert (module, name) in {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
        return super().find_class(module, name)


def dfl_read(data: bytes) -> tuple[dict[str, Any], tuple[int, int, int], list[int]]:
    """What DFL's reader makes of a JPEG: dictionary, shape, segment markers
    (docs/internals/formats.md)."""
    position, found, shape, markers = 0, {}, None, []
    while position < len(data):
        first, marker = data[position], data[position + 1]
        assert first == 0xFF
        assert position > 0 or marker == 0xD8
        position += 2
        markers.append(marker)
        if marker in (0xD8, 0xD9, *range(0xD0, 0xD8)):
            continue
        assert marker != 0xDD, "DFL cannot read restart intervals"
        (length,) = struct.unpack_from(">H", data, position)
        content = data[position + 2 : position + length]
        position += length
        if marker == 0xE0:
            assert content.startswith(b"JFIF\0")
        if marker in (0xC0, 0xC2):
            _, h, w = struct.unpack_from(">BHH", content)
            shape = (h, w, 3)
        if marker == 0xEF:
            found = AllowList(io.BytesIO(content)).load()
        if marker == 0xDA:
            position = data.index(b"\xff\xd9", position)
    assert shape is not None and markers[-1] == 0xD9
    return found, shape, markers


def same_record(a: FaceRecord, b: FaceRecord) -> None:
    """Assert that two records say the same."""
    assert (a.face_type, a.source_filename) == (b.face_type, b.source_filename)
    assert (a.landmarks == b.landmarks).all()
    assert (a.source_landmarks == b.source_landmarks).all()
    assert (a.source_rect == b.source_rect).all()
    assert np.array_equal(a.image_to_face_mat, b.image_to_face_mat)  # type: ignore[arg-type]
    assert a.eyebrows_expand_mod == b.eyebrows_expand_mod
    assert a.xseg_mask == b.xseg_mask
    assert [p.include for p in a.seg_ie_polys] == [p.include for p in b.seg_ie_polys]
    for p, q in zip(a.seg_ie_polys, b.seg_ie_polys, strict=True):
        assert np.array_equal(p.points, q.points)
    assert sorted(a.unknown) == sorted(b.unknown)
    for key, value in a.unknown.items():
        assert np.array_equal(value, b.unknown[key])
    same_own(a.own, b.own)


def same_own(a: OwnMetadata | None, b: OwnMetadata | None) -> None:
    if a is None or b is None:
        assert a is b
        return
    for key in vars(a).keys() - {"embedding"}:
        assert getattr(a, key) == getattr(b, key), key
    if a.embedding is None or b.embedding is None:
        assert a.embedding is b.embedding
    else:
        assert (a.embedding == b.embedding).all()
