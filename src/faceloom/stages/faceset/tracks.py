"""The tracks of a faceset: a list, a sheet of their faces, and which to keep."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, MediaError, Progress, atomic_write
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.curate import (
    TRACK_COLUMNS,
    FaceTable,
    Track,
    check_sheet_name,
    chosen_tracks,
    contact_sheet,
    list_tracks,
)
from faceloom.faces import read_face
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.stages.faceset.config import FacesetTracksConfig
from faceloom.stages.measure import measure_faces
from faceloom.workspace import (
    faceset_folder,
    lock_for_moves,
    refuse_empty,
    sibling,
    undo_command,
)

TRASH = "trash"
_SHOWN = ("first", "middle", "last", "best")
_CELL_PX = 160
_MOST_ROWS = 300


@dataclass(frozen=True)
class FacesetTracksResult(Result):
    """The tracks before any was dropped."""

    folder: Path
    tracks: list[Track]
    sheet: Path | None
    moved: int
    """Faces moved to the trash."""
    undo: str
    """The command that reverts it."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "tracks": [_track_dict(track) for track in self.tracks],
            "sheet": None if self.sheet is None else str(self.sheet),
            "moved": self.moved,
            "undo": self.undo,
        }

    def lines(self) -> list[str]:
        rows = [("track", "faces", "frames", "time", "size", "sharpness", "presence")]
        rows += [_cells(track) for track in self.tracks]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [_aligned(row, widths) for row in rows]
        if self.sheet is not None:
            lines.append(f"sheet of their faces: {self.sheet}")
        if self.moved:
            lines.append(f"{counted(self.moved, 'face')} moved to {sibling(self.folder, TRASH)}")
            lines.append(f"`{self.undo}` brings them back")
        return lines


def run(config: FacesetTracksConfig, *, progress: Progress, cancel: Cancel) -> FacesetTracksResult:
    """List the tracks of a faceset, draw their sheet, and move what is not kept to the trash.

    Raises `InputError` for unknown labels before anything is moved; `CancelledError` on `cancel`.
    """
    check_sheet_name(config.sheet)
    folder = faceset_folder(config.workspace, config.faceset)
    with lock_for_moves(folder, wanted=bool(config.keep or config.drop)) as hold:
        return _tracks(config, folder, hold, progress, cancel)


def _tracks(
    config: FacesetTracksConfig, folder: Path, hold: ExitStack, progress: Progress, cancel: Cancel
) -> FacesetTracksResult:
    table = measure_faces(
        folder, TRACK_COLUMNS, workers=config.threads, progress=progress, cancel=cancel
    )
    refuse_empty(folder, len(table), len(table.strangers))
    tracks = list_tracks(table)
    kept = chosen_tracks(tracks, config.keep)
    dropped = chosen_tracks(tracks, config.drop)
    if kept:
        dropped = [track for track in tracks if track not in kept]
    if config.sheet is not None:
        _write_sheet(config.sheet, folder, table, tracks, cancel)
    moved = 0
    if dropped:
        rows = np.sort(np.concatenate([track.rows for track in dropped]))
        trash = sibling(folder, TRASH)
        moves = [Move(table.paths[row], trash / table.paths[row].name) for row in rows]
        names = ", ".join(track.label for track in dropped)
        label = f"drop tracks {names}"
        hold.close()
        moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel).moved
    undo = undo_command(config.workspace, config.faceset)
    return FacesetTracksResult(folder, tracks, config.sheet, moved, undo)


def _write_sheet(
    path: Path, folder: Path, table: FaceTable, tracks: list[Track], cancel: Cancel
) -> None:
    """Draw one row per track."""
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for track in tracks[:_MOST_ROWS]:
        cancel.check()
        for name, row in zip(_SHOWN, track.shown, strict=True):
            try:
                image, record = read_face(table.paths[row])
            except MediaError:
                image = np.zeros((_CELL_PX, _CELL_PX, 3), np.uint8)
                record = table.records[row]
            images.append(image)
            captions.append(f"{track.label}: {name}\n{record.source_filename}")
    sheet = contact_sheet(
        images,
        captions,
        columns=len(_SHOWN),
        cell_px=_CELL_PX,
        title=f"{folder}: {counted(len(tracks), 'track')}",
    )
    suffix = path.suffix.lower()
    done, data = cv2.imencode(suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise MediaError(f"{path}: the sheet cannot be encoded")
    try:
        atomic_write(path, data.tobytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _track_dict(track: Track) -> dict[str, Any]:
    return {
        "label": track.label,
        "source": track.source,
        "track": track.number,
        "faces": len(track.rows),
        "first_frame": track.first_frame,
        "last_frame": track.last_frame,
        "first_time_s": track.first_time_s,
        "last_time_s": track.last_time_s,
        "size_px": track.size_px,
        "sharpness": track.sharpness,
        "presence": track.presence,
    }


def _cells(track: Track) -> tuple[str, ...]:
    frames = f"{Path(track.first_frame).stem} to {Path(track.last_frame).stem}"
    time = ""
    if track.first_time_s is not None and track.last_time_s is not None:
        time = f"{_clock(track.first_time_s)} to {_clock(track.last_time_s)}"
    numbers = (_plain(track.size_px, 0), _plain(track.sharpness, 3), _plain(track.presence, 1))
    return (track.label, str(len(track.rows)), frames, time, *numbers)


def _plain(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "?"


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(time_s, 60)
    return f"{int(minutes)}:{seconds:05.2f}"


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first, *others]).rstrip()
