"""The tracks of a faceset: faces that were followed from frame to frame, and their quality.

A face stores the number its track had when it was extracted. When facesets are mixed, numbers
repeat, so faces of different sources, and two faces of one frame, are separate tracks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.curate.table import FaceTable

# The measures that `list_tracks` needs.
TRACK_COLUMNS = ("source_size", "sharpness", "presence")
NO_TRACK = "none"


@dataclass(frozen=True, eq=False)
class Track:
    """Faces that were followed through a clip, or all faces of a source that were not."""

    label: str
    """Its name: the number, after the source if there are several sources."""
    source: str
    """The beginning of its frames' or faces' names; "" in a faceset of one clip."""
    number: int | None
    """Its number in the extraction; None: faces without one."""
    rows: NDArray[np.intp]
    """Its faces in the order of their frames."""
    first_frame: str
    """Name of its first frame."""
    last_frame: str
    first_time_s: float | None
    last_time_s: float | None
    size_px: float
    """Mean side of the faces' crops in the frames."""
    sharpness: float
    """Mean of the measure `sharpness`."""
    presence: float
    """Mean of the landmarker's presence, a logit."""
    shown: tuple[int, int, int, int] = field(default=(0, 0, 0, 0))
    """Rows of the first, middle, last and best face."""


def list_tracks(table: FaceTable) -> list[Track]:
    """The tracks of a faceset by source and number; `InputError` when a measure is missing."""
    groups: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for row, (path, record) in enumerate(zip(table.paths, table.records, strict=True)):
        number = None if record.own is None else record.own.track
        groups[(_source(path.stem, record.source_stem), number)].append(row)
    several = len({source for source, _ in groups}) > 1
    tracks: list[Track] = []
    order = sorted(groups, key=lambda key: (key[0], key[1] is None, key[1] or 0))
    for source, number in order:
        rows = _by_frame(table, groups[(source, number)])
        parts = [rows] if number is None else _apart(table, rows)
        for index, part in enumerate(parts):
            label = NO_TRACK if number is None else str(number)
            label += f".{index + 1}" if index else ""
            name = f"{source.rstrip('_-. ') or 'rest'}:{label}" if several else label
            tracks.append(_track(table, name, source, number, part))
    return tracks


def chosen_tracks(tracks: Sequence[Track], words: Sequence[str]) -> list[Track]:
    """The tracks that `words` name, each once; `InputError` for an unknown or ambiguous name."""
    chosen: list[Track] = []
    for word in words:
        found = [track for track in tracks if track.label == word]
        found = found or [track for track in tracks if track.label.split(":")[-1] == word]
        if len(found) != 1:
            known = ", ".join(track.label for track in (found or tracks)[:20])
            what = "several tracks have this name" if found else "no such track"
            raise InputError(f"track {word!r}: {what}; known: {known}")
        if found[0] not in chosen:
            chosen.append(found[0])
    return chosen


_NUMBERED = re.compile(r"(.*?)\d+")


def _source(face_stem: str, frame_stem: str) -> str:
    """A face's source: the text before the number in its frame's name, or before the frame's name
    in its own."""
    numbered = _NUMBERED.fullmatch(frame_stem)
    before = numbered[1] if numbered else ""
    if before or not frame_stem:
        return before
    own = re.fullmatch(rf"(.*?){re.escape(frame_stem)}(?:_\d+)?", face_stem)
    return own[1] if own else ""


def _by_frame(table: FaceTable, rows: Sequence[int]) -> NDArray[np.intp]:
    return np.array(sorted(rows, key=lambda row: (_frame(table, row), table.paths[row].name)))


def _frame(table: FaceTable, row: int) -> tuple[int, str]:
    record = table.records[row]
    index = None if record.own is None else record.own.frame_index
    return (-1 if index is None else index, record.source_stem)


def _apart(table: FaceTable, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split tracks that share a number: no track has two faces of one frame, and a face continues
    the track whose last face is nearest."""
    chains: list[list[int]] = []
    for row in rows.tolist():
        frame = _frame(table, row)
        open_ = [chain for chain in chains if _frame(table, chain[-1]) != frame]
        if open_:
            min(open_, key=lambda chain: _distance(table, chain[-1], row)).append(row)
        else:
            chains.append([row])
    return [np.array(chain, dtype=np.intp) for chain in chains]


def _distance(table: FaceTable, a: int, b: int) -> float:
    one, other = table.records[a].source_landmarks, table.records[b].source_landmarks
    return float(np.linalg.norm(one.mean(0) - other.mean(0)))


def _track(
    table: FaceTable, label: str, source: str, number: int | None, rows: NDArray[np.intp]
) -> Track:
    size, sharpness, presence = (
        np.asarray(table.column(name), dtype=np.float64)[rows] for name in TRACK_COLUMNS
    )
    first, last = int(rows[0]), int(rows[-1])
    best = int(rows[np.nanargmax(sharpness)]) if np.isfinite(sharpness).any() else first
    return Track(
        label=label,
        source=source,
        number=number,
        rows=rows,
        first_frame=table.records[first].source_filename,
        last_frame=table.records[last].source_filename,
        first_time_s=_time_s(table, first),
        last_time_s=_time_s(table, last),
        size_px=_mean(size),
        sharpness=_mean(sharpness),
        presence=_mean(presence),
        shown=(first, int(rows[len(rows) // 2]), last, best),
    )


def _time_s(table: FaceTable, row: int) -> float | None:
    own = table.records[row].own
    time: Fraction | None = None if own is None else own.time
    return None if time is None else float(time)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
