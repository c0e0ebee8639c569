"""Moving near-duplicates out of a faceset, into a folder for each strength beside it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from faceloom.core import Cancel, Progress, Settings
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.groups.duplicates import Duplicates, FaceTraits, find_duplicates, keep_order
from faceloom.curate.sheet import check_sheet_name
from faceloom.curate.track_list import TRACK_COLUMNS, list_tracks
from faceloom.faces.moves.moves import Move, Moved, move_faces
from faceloom.stages.curate.cluster_groups import face_sizes_px
from faceloom.stages.curate.cluster_show import write_pairs_sheet
from faceloom.stages.measure.run import measure_faces
from faceloom.workspace.faceset import (
    beside,
    faceset_folder,
    held_for_moves,
    refuse_empty,
    undo_command,
)

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
"""The measures that finding duplicates needs."""


class DedupeConfig(Settings):
    """Which faceset to free of duplicates, and how strictly."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    strength: int = Field(default=2, ge=0, le=5)
    """From 0, only the same picture encoded again, to 5, nearly the same pose and expression;
    docs/people.md has the limits. 1 and 2 take away what no eye tells apart."""
    per_track: bool = False
    """Compare faces of one track only, so that every clip and shot keeps its own."""
    sheet: Path | None = None
    """Write a picture here of pairs, the face kept and the face dropped for it, at most 200."""
    dry_run: bool = False
    """Move nothing."""
    workers: int = Field(default=0, ge=0, le=256)
    """Threads that measure; 0: one for each core."""


@dataclass(frozen=True)
class DedupeResult:
    """What was dropped, and for which faces."""

    folder: Path
    strength: int
    faces: int
    pairs: tuple[tuple[str, str], ...]
    """(dropped, kept in its place): names of faces."""
    moved: int
    target: Path
    """Where the dropped ones are, or would be."""
    trouble: tuple[str, ...]
    sheet: Path | None
    dry_run: bool
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "strength": self.strength,
            "faces": self.faces,
            "duplicates": [{"face": face, "kept": kept} for face, kept in self.pairs],
            "moved": self.moved,
            "target": str(self.target),
            "trouble": list(self.trouble),
            "sheet": None if self.sheet is None else str(self.sheet),
            "dry_run": self.dry_run,
            "undo": self.undo,
        }

    def lines(self) -> list[str]:
        """For people."""
        count = len(self.pairs)
        found = f"{counted(count, 'duplicate')} among {counted(self.faces, 'face')}"
        left = f"at strength {self.strength}; {self.faces - count} left"
        lines = [f"{self.folder}: {found} {left}"]
        if self.sheet is not None and count:
            lines.append(f"what is kept and dropped: {self.sheet}")
        if self.dry_run and count:
            lines.append(f"{counted(count, 'face')} would be moved to {self.target}")
        if self.moved:
            lines.append(f"{self.moved} moved to {self.target}")
            lines.append(f"`{self.undo}` brings them back")
        return lines + list(self.trouble[:5])


def run(config: DedupeConfig, *, progress: Progress, cancel: Cancel) -> DedupeResult:
    """Find the duplicates of a faceset and move them to `<folder>_duplicates/<strength>`.

    Of duplicates the sharpest, largest, least hidden face stays. A stop before the moving leaves
    all files as they are and the measures kept. Raises `InputError` for no such folder or a packed
    faceset, `WeightsError`, `CancelledError`.
    """
    check_sheet_name(config.sheet)
    folder = faceset_folder(config.workspace, config.faceset)
    with held_for_moves(folder, wanted=not config.dry_run) as hold:
        return _dedupe(config, folder, hold, progress, cancel)


def _dedupe(
    config: DedupeConfig, folder: Path, hold: ExitStack, progress: Progress, cancel: Cancel
) -> DedupeResult:
    table = measure_faces(folder, COLUMNS, workers=config.workers, progress=progress, cancel=cancel)
    refuse_empty(folder, len(table), len(table.strangers))
    found = duplicates_of(table, config, progress=progress, cancel=cancel)
    dropped = found.dropped.tolist()
    sheet = config.sheet if dropped else None
    if sheet is not None:
        title = f"{folder}: {counted(len(dropped), 'duplicate')} at strength {config.strength}"
        pairs = [(int(found.kept_for[row]), row) for row in dropped]
        write_pairs_sheet(sheet, table, pairs, title=title, cancel=cancel)
    target = beside(folder, "duplicates") / str(config.strength)
    moves = [Move(table.paths[row], target / table.paths[row].name) for row in dropped]
    moved = Moved()
    hold.close()
    if moves and not config.dry_run:
        label = f"dedupe {config.faceset} at strength {config.strength}"
        moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    trouble = [f"{path}: was gone before it could be moved" for path in moved.missing]
    trouble += [f"{path}: {reason}" for path, reason in moved.failed]
    trouble += [f"{wanted.name} was taken: {given}" for wanted, given in moved.renamed]
    names = [path.name for path in table.paths]
    return DedupeResult(
        folder=folder,
        strength=config.strength,
        faces=len(table),
        pairs=tuple((names[row], names[int(found.kept_for[row])]) for row in dropped),
        moved=moved.moved,
        target=target,
        trouble=tuple(trouble),
        sheet=sheet,
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, config.faceset),
    )


def duplicates_of(
    table: FaceTable, config: DedupeConfig, *, progress: Progress, cancel: Cancel
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
        face_px=face_sizes_px(table.records),
        sharpness=table.column("sharpness"),
        occlusion=table.column("occlusion"),
        score=table.column("score"),
    )
    groups = _track_numbers(table) if config.per_track else None
    return find_duplicates(
        traits, config.strength, order=order, groups=groups, progress=progress, cancel=cancel
    )


def _track_numbers(table: FaceTable) -> NDArray[np.intp]:
    """n: a number for each track, and for each source's faces without one."""
    numbers = np.zeros(len(table), dtype=np.intp)
    for number, track in enumerate(list_tracks(table)):
        numbers[track.rows] = number
    return numbers
