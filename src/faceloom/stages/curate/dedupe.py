"""Move near-duplicates out of a faceset, to a folder per strength next to it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.curate import (
    TRACK_COLUMNS,
    FaceTable,
    check_sheet_name,
    contact_sheet,
    list_tracks,
)
from faceloom.curate.groups import Duplicates, FaceTraits, find_duplicates, keep_order
from faceloom.curate.measures import identity_crop_px
from faceloom.faces import Move, Moved, move_faces
from faceloom.media import write_image
from faceloom.stages.curate.config import DedupeConfig
from faceloom.stages.curate.shared import (
    CELL_PX,
    MOST_NAMED,
    face_picture,
    move_problems,
    spread,
)
from faceloom.stages.measure import measure_faces
from faceloom.workspace import (
    faceset_folder,
    lock_for_moves,
    refuse_empty,
    sibling,
    undo_command,
)

__all__ = ["DedupeConfig", "DedupeResult", "run"]

# The measures that finding duplicates needs.
COLUMNS: Final = (
    "phash",
    "embedding",
    "pitch_deg",
    "yaw_deg",
    "roll_deg",
    "blendshapes",
    "occlusion",
    "score",
    *TRACK_COLUMNS,
)
_SHEET_PAIRS: Final = 200
_PAIRS_PER_ROW: Final = 5


@dataclass(frozen=True)
class Duplicate:
    """A face that was dropped, and the one that is kept instead, by their file names."""

    face: str
    kept: str


@dataclass(frozen=True)
class DedupeResult(Result):
    """Which faces were dropped."""

    folder: Path
    strength: int
    faces: int
    duplicates: tuple[Duplicate, ...]
    moved: int
    target: Path
    """Where the dropped faces are, or would be."""
    trouble: tuple[str, ...]
    sheet: Path | None
    dry_run: bool
    undo: str
    """The command that moves the faces back."""

    def lines(self) -> list[str]:
        """The text for people."""
        count = len(self.duplicates)
        found = f"{counted(count, 'duplicate')} among {counted(self.faces, 'face')}"
        left = f"at strength {self.strength}; {self.faces - count} left"
        lines = [f"{self.folder}: {found} {left}"]
        if self.sheet is not None:
            lines.append(f"contact sheet of pairs: {self.sheet}")
        lines += self.trouble[:MOST_NAMED]
        if self.dry_run and count:
            lines.append(f"{counted(count, 'face')} would be moved to {self.target}")
        if self.moved:
            lines.append(f"{counted(self.moved, 'face')} moved to {self.target}")
            lines.append(f"to undo: `{self.undo}`")
        return lines


def run(config: DedupeConfig, *, progress: Progress, cancel: Cancel) -> DedupeResult:
    """Find the duplicates of a faceset and move them to `<folder>_duplicates/<strength>`.

    Of several duplicates the sharpest, largest, least hidden face stays. When it is stopped before
    the move, files stay as they are and the measures are kept. Raises `InputError` for a missing
    or packed faceset, `WeightsError`, `CancelledError`.
    """
    check_sheet_name(config.sheet)
    folder = faceset_folder(config.workspace, config.faceset)
    with lock_for_moves(folder, wanted=not config.dry_run) as hold:
        return _dedupe(config, folder, hold, progress, cancel)


def _dedupe(
    config: DedupeConfig, folder: Path, hold: ExitStack, progress: Progress, cancel: Cancel
) -> DedupeResult:
    table = measure_faces(folder, COLUMNS, workers=config.threads, progress=progress, cancel=cancel)
    refuse_empty(folder, len(table), len(table.strangers))
    found = duplicates_of(
        table, config.strength, per_track=config.per_track, progress=progress, cancel=cancel
    )
    dropped = found.dropped.tolist()
    sheet = config.sheet if dropped else None
    if sheet is not None:
        title = f"{folder}: {counted(len(dropped), 'duplicate')} at strength {config.strength}"
        pairs = [(int(found.kept_for[row]), row) for row in dropped]
        write_pairs_sheet(sheet, table, pairs, title=title, cancel=cancel)
    target = sibling(folder, "duplicates") / str(config.strength)
    moves = [Move(table.paths[row], target / table.paths[row].name) for row in dropped]
    moved = Moved()
    hold.close()
    if moves and not config.dry_run:
        label = f"dedupe {config.faceset} at strength {config.strength}"
        moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    names = [path.name for path in table.paths]
    return DedupeResult(
        folder=folder,
        strength=config.strength,
        faces=len(table),
        duplicates=tuple(Duplicate(names[row], names[int(found.kept_for[row])]) for row in dropped),
        moved=moved.moved,
        target=target,
        trouble=move_problems(moved),
        sheet=sheet,
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, config.faceset),
    )


def duplicates_of(
    table: FaceTable, strength: int, *, per_track: bool = False, progress: Progress, cancel: Cancel
) -> Duplicates:
    """The duplicates of a table with `COLUMNS`. Raises `CancelledError`."""
    angles = [table.column(name) for name in ("pitch_deg", "yaw_deg", "roll_deg")]
    traits = FaceTraits(
        phash=table.column("phash"),
        embedding=table.column("embedding"),
        angles_deg=np.stack(angles, axis=1),
        blendshapes=table.column("blendshapes"),
    )
    order = keep_order(
        face_px=identity_crop_px(table.records),
        sharpness=table.column("sharpness"),
        occlusion=table.column("occlusion"),
        score=table.column("score"),
    )
    groups = None
    if per_track:
        # Each source's faces without a track are a group, too.
        groups = np.zeros(len(table), dtype=np.intp)
        for number, track in enumerate(list_tracks(table)):
            groups[track.rows] = number
    return find_duplicates(
        traits, strength, order=order, groups=groups, progress=progress, cancel=cancel
    )


def write_pairs_sheet(
    path: Path,
    table: FaceTable,
    pairs: list[tuple[int, int]],
    *,
    title: str,
    cancel: Cancel,
) -> None:
    """Write up to 200 of the pairs (kept, dropped) side by side, spread evenly over all.

    Raises `InputError` when there are none, `MediaError` when the picture cannot be written, and
    `CancelledError`.
    """
    if not pairs:
        raise InputError(f"{path}: there are no duplicates to show")
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for place in spread(len(pairs), _SHEET_PAIRS):
        cancel.check()
        for row, what in zip(pairs[place], ("kept", "dropped"), strict=True):
            images.append(face_picture(table, row))
            captions.append(f"{what}\n{table.paths[row].name}")
    sheet = contact_sheet(
        images, captions, columns=2 * _PAIRS_PER_ROW, cell_px=CELL_PX, title=title
    )
    write_image(path, sheet)
