"""What is in a faceset: every face as plain data, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.curate.measures import pose_deg, source_size_px
from faceloom.faces import FaceRecord, Faceset, MeasureCache, has_polygons
from faceloom.faces.files.face_file import picture_size
from faceloom.stages.faceset.config import FacesetListConfig
from faceloom.workspace import faceset_folder

_SIZE: Final = "picture_px"
_SIZE_VERSION: Final = 1
_MOST_SHOWN = 6
_BATCH = 64


@dataclass
class FacesetListResult(Result):
    """The totals of a faceset."""

    folder: Path
    faces: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """(file, why it is not a face)."""
    face_types: Counter[str] = field(default_factory=lambda: Counter[str]())
    pictures_px: Counter[tuple[int, int]] = field(
        default_factory=lambda: Counter[tuple[int, int]]()
    )
    """(w, h) of the pictures."""
    sizes_px: tuple[float, float, float] | None = None
    """Side of the faces' crops in their frames: minimum, median, maximum."""
    sources: int = 0
    """Different source files."""
    tracks: int = 0
    detectors: Counter[str] = field(default_factory=lambda: Counter[str]())
    with_polygons: int = 0
    with_mask: int = 0
    with_embedding: int = 0

    def as_dict(self) -> dict[str, Any]:
        pictures = {f"{w}x{h}": count for (w, h), count in self.pictures_px.most_common()}
        return {
            "folder": str(self.folder),
            "faces": self.faces,
            "face_types": dict(self.face_types.most_common()),
            "pictures_px": pictures,
            "sizes_px": self.sizes_px,
            "sources": self.sources,
            "tracks": self.tracks,
            "detectors": dict(self.detectors.most_common()),
            "with_polygons": self.with_polygons,
            "with_mask": self.with_mask,
            "with_embedding": self.with_embedding,
            "skipped": [{"file": file, "reason": reason} for file, reason in self.skipped],
        }

    def lines(self) -> list[str]:
        pictures = Counter({f"{w}x{h}": n for (w, h), n in self.pictures_px.items()})
        rows = [
            ("faces", str(self.faces)),
            ("face types", _counted(self.face_types)),
            ("pictures", _counted(pictures)),
            ("size in frames", _range(self.sizes_px)),
            ("source files", str(self.sources)),
            ("tracks", str(self.tracks) if self.tracks else "none"),
            ("detectors", _counted(self.detectors) or "unknown"),
            ("polygons", counted(self.with_polygons, "face")),
            ("masks", counted(self.with_mask, "face")),
            ("embeddings", counted(self.with_embedding, "face")),
            ("skipped", counted(len(self.skipped), "file")),
        ]
        lines = [str(self.folder), *(f"  {name:15} {text}" for name, text in rows)]
        lines += [f"    {file}: {reason}" for file, reason in self.skipped[:_MOST_SHOWN]]
        if len(self.skipped) > _MOST_SHOWN:
            lines.append(f"    … and {len(self.skipped) - _MOST_SHOWN} more")
        return lines


def run(config: FacesetListConfig, *, progress: Progress, cancel: Cancel) -> FacesetListResult:
    """Count what is in a faceset. Raises `InputError` if there is none."""
    faces = _open(config, progress, cancel)
    result = FacesetListResult(faces.folder, faces=len(faces), skipped=_skipped(faces))
    sources, tracks, sizes = set[str](), set[int](), list[float]()
    for record in _records(faces, progress, cancel):
        result.face_types[record.face_type] += 1
        result.with_polygons += has_polygons(record.seg_ie_polys)
        result.with_mask += record.xseg_mask is not None
        sources.add(record.source_filename)
        sizes.append(source_size_px(record))
        own = record.own
        if own is not None:
            result.with_embedding += own.embedding is not None
            if own.track is not None:
                tracks.add(own.track)
            if own.detector is not None:
                result.detectors[own.detector] += 1
    result.sources, result.tracks = len(sources), len(tracks)
    finite = np.array(sizes)[np.isfinite(sizes)]
    if len(finite):
        low, middle, high = (float(v) for v in np.quantile(finite, (0, 0.5, 1)))
        result.sizes_px = (low, middle, high)
    for h, w in _picture_sizes(faces, cancel).values():
        result.pictures_px[int(w), int(h)] += 1
    return result


def list_faces(
    config: FacesetListConfig, *, progress: Progress, cancel: Cancel
) -> Iterator[dict[str, Any]]:
    """Every face as plain data, in the order of the names; skipped files are noted."""
    faces = _open(config, progress, cancel)
    for file, reason in _skipped(faces):
        progress.note(f"{file}: skipped: {reason}")
    for name, record in zip(faces.names, _records(faces, progress, cancel), strict=True):
        yield face_as_dict(name, record)


def face_as_dict(file: str, record: FaceRecord) -> dict[str, Any]:
    """One face as plain data; unknown values are None."""
    own = record.own
    pitch_deg, yaw_deg, roll_deg = pose_deg(record)
    return {
        "file": file,
        "source_file": record.source_filename,
        "frame_index": None if own is None else own.frame_index,
        "time_s": None if own is None or own.time is None else float(own.time),
        "source_rect": record.source_rect.tolist(),
        "source_landmarks": np.round(record.source_landmarks.astype(float), 3).tolist(),
        "face_type": record.face_type,
        "yaw_deg": _rounded(yaw_deg),
        "pitch_deg": _rounded(pitch_deg),
        "roll_deg": _rounded(roll_deg),
        "track": None if own is None else own.track,
        "detector": None if own is None else own.detector,
        "score": None if own is None else own.score,
    }


def _rounded(angle_deg: float) -> float | None:
    return round(float(angle_deg), 3) if np.isfinite(angle_deg) else None


def _open(config: FacesetListConfig, progress: Progress, cancel: Cancel) -> Faceset:
    folder = faceset_folder(config.workspace, config.faceset)
    return Faceset(folder, progress=progress, cancel=cancel)


def _skipped(faces: Faceset) -> list[tuple[str, str]]:
    return [(path.name, reason) for path, reason in faces.skipped]


def _records(faces: Faceset, progress: Progress, cancel: Cancel) -> Iterator[FaceRecord]:
    progress.start("listing", len(faces), "faces")
    for i, (_, record) in enumerate(faces, 1):
        cancel.check()
        yield record
        if i % _BATCH == 0:
            progress.advance(_BATCH)
    progress.advance(len(faces) % _BATCH)


def _picture_sizes(faces: Faceset, cancel: Cancel) -> dict[str, NDArray[Any]]:
    """Name → (h, w) from the files' headers, cached in the index."""
    with MeasureCache(faces.folder) as cache:
        known = cache.read(_SIZE, _SIZE_VERSION, faces.names)
        new: dict[str, NDArray[Any]] = {}
        for name, path in zip(faces.names, faces.paths, strict=True):
            if name not in known:
                cancel.check()
                try:
                    new[name] = np.array(picture_size(path), np.int64)
                except FaceloomError:
                    continue  # deleted or damaged since
        cache.write(_SIZE, _SIZE_VERSION, new)
    return known | new


def _counted(counts: Counter[str]) -> str:
    common = counts.most_common(_MOST_SHOWN)
    text = ", ".join(f"{name} {count}" for name, count in common)
    rest = len(counts) - len(common)
    return f"{text}, {rest} more kinds" if rest else text


def _range(sizes_px: tuple[float, float, float] | None) -> str:
    if sizes_px is None:
        return "unknown"
    low, middle, high = sizes_px
    return f"{low:.0f} to {high:.0f} px, median {middle:.0f} px"
