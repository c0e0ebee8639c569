"""Sorting a faceset: faces get numbers for names, what is dropped moves beside it, all undoable."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from faceloom.core import Cancel, Progress, Settings
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.orders.order import Sorted, SortKey, columns_needed, parse_keys, sort_faces
from faceloom.curate.orders.ordering import SortContext
from faceloom.curate.sheet import check_sheet_name
from faceloom.faces.moves.moves import Move, Moved, move_faces
from faceloom.stages.curate.sort_people import likeness_to, people_groups
from faceloom.stages.curate.sort_show import write_list, write_sheet
from faceloom.stages.measure.run import measure_faces
from faceloom.workspace.faceset import (
    beside,
    faceset_folder,
    held_for_moves,
    refuse_empty,
    undo_command,
)

_DIGITS: Final = 5
_TOLD_GROUPS: Final = 20


class SortConfig(Settings):
    """What to sort, by what, and what becomes of the files."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    by: str = "hist"
    """A sort method, or several with commas: all but the last cut the faces into groups, the last
    orders the faces of each. docs/sort.md lists them."""
    reverse: bool = False
    """The other way round; faces whose measure is unknown stay at the end."""
    count: int = Field(default=2000, ge=1)
    """How many faces `best` and the `final` methods keep."""
    towards: str | None = None
    """For `best`: the faceset whose looks are to be covered (dst), instead of its own."""
    reference: str | None = None
    """For `identity`, `outliers` and `best`: a person of the workspace, a picture of them, or a
    folder of pictures."""
    trash: bool = True
    """Move dropped faces to `<folder>_trash`; otherwise they come behind the others."""
    keep_names: bool = False
    """Rename nothing: only drop, and show the order with `sheet` or `list_file`."""
    sheet: Path | None = None
    """A picture to write: the first and last 20 faces, and 20 of what is dropped."""
    list_file: Path | None = None
    """A table to write: position, file, value and group of every face, with tabs between."""
    dry_run: bool = False
    """Move and rename nothing."""
    workers: int = Field(default=0, ge=0, le=256)
    """Threads that measure and compare; 0: one for each core."""


@dataclass(frozen=True)
class SortResult:
    """What became of the faces."""

    folder: Path
    by: str
    first: str
    """What comes first."""
    faces: int
    kept: int
    dropped: int
    """Faces, and pictures that are no faces, that were (or would be) moved to the trash."""
    dropped_strangers: int
    """How many of these are no faces."""
    unknown: int
    """Faces at the end, since what they are sorted by could not be measured."""
    strangers: int
    """Pictures that are no faces, and stay."""
    groups: tuple[tuple[str, int], ...]
    """Name and number of faces of each group."""
    moved: int
    """Files that have another path now."""
    renamed: tuple[tuple[Path, Path], ...]
    """(wanted, given) for names that were taken."""
    trouble: tuple[str, ...]
    """Faces that vanished meanwhile, or could not be moved."""
    trash: Path | None
    """Where dropped faces are; None when nothing is dropped."""
    note: str
    """What the method tells of its result."""
    written: tuple[Path, ...]
    """The sheet and the list."""
    dry_run: bool
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        values = {key: getattr(self, key) for key in self.__dataclass_fields__}
        groups = [{"name": name, "faces": faces} for name, faces in self.groups]
        renamed = [[str(wanted), str(given)] for wanted, given in self.renamed]
        return {
            **values,
            "folder": str(self.folder),
            "trash": None if self.trash is None else str(self.trash),
            "groups": groups if len(groups) > 1 else [],
            "renamed": renamed,
            "trouble": list(self.trouble),
            "written": [str(path) for path in self.written],
        }

    def lines(self) -> list[str]:
        """For people."""
        would = "would be " if self.dry_run else ""
        faces = f"{self.folder}: {counted(self.kept, 'face')}"
        lines = [f"{faces} {would}sorted by {self.by}; first {self.first}"]
        if len(self.groups) > 1:
            shown = self.groups[:_TOLD_GROUPS]
            lines += [f"  {name}: {counted(faces, 'face')}" for name, faces in shown]
            more = len(self.groups) - len(shown)
            lines += [f"  … and {counted(more, 'more group')}"] if more else []
        if self.note:
            lines.append(self.note)
        if self.dropped:
            count = f"{self.dropped} dropped"
            if self.dropped_strangers:
                count += f", {self.dropped_strangers} of them no faces"
            lines.append(f"{count}: {would or 'they are '}in {self.trash}")
        if self.unknown:
            lines.append(f"{self.unknown} at the end: what they are sorted by is not known of them")
        if self.strangers:
            lines.append(f"left as they are: {counted(self.strangers, 'picture')} without a face")
        lines += [f"{wanted.name} was taken: {given}" for wanted, given in self.renamed[:5]]
        lines += list(self.trouble[:5])
        lines += [f"written: {path}" for path in self.written]
        if self.moved:
            lines.append(f"`{self.undo}` takes it back")
        return lines


def run(config: SortConfig, *, progress: Progress, cancel: Cancel) -> SortResult:
    """Measure what is not known yet, sort, and move and rename in one operation.

    A stop, or a kill, before the moving leaves all files as they are and the measures kept; during
    it the next command finishes it. Raises `InputError` for an unknown method, folder, person or
    a packed faceset, `WeightsError` when a network cannot be had, `CancelledError` on `cancel`.
    """
    keys = parse_keys(config.by)
    check_sheet_name(config.sheet)
    folder = faceset_folder(config.workspace, config.faceset)
    with held_for_moves(folder, wanted=not config.dry_run) as hold:
        return _sort(config, keys, folder, hold, progress, cancel)


def _sort(
    config: SortConfig,
    keys: tuple[SortKey, ...],
    folder: Path,
    hold: ExitStack,
    progress: Progress,
    cancel: Cancel,
) -> SortResult:
    likeness = likeness_to(config.reference, config.workspace, progress)
    columns = columns_needed(keys, likeness=likeness is not None)
    table = measure_faces(folder, columns, workers=config.workers, progress=progress, cancel=cancel)
    refuse_empty(folder, len(table), len(table.strangers))
    context = SortContext(
        count=config.count,
        likeness=None if likeness is None else likeness.similarities,
        same_person=0.0 if likeness is None else likeness.threshold,
        towards=_towards(config, keys, progress, cancel),
        groupings=people_groups(table, config.workspace, keys),
        workers=config.workers,
        progress=progress,
        cancel=cancel,
    )
    done = sort_faces(table, keys, context, reverse=config.reverse)
    moves, dropped = _moves(config, keys, table, done)
    written = _show(config, table, done)
    moved = Moved()
    hold.close()
    if moves and not config.dry_run:
        moved = move_faces(
            folder,
            moves,
            label=f"sort {config.faceset} by {config.by}",
            progress=progress,
            cancel=cancel,
        )
    return _result(config, keys, table, done, dropped, moved, written)


def _towards(
    config: SortConfig, keys: tuple[SortKey, ...], progress: Progress, cancel: Cancel
) -> FaceTable | None:
    if config.towards is None or keys[-1].method.name != "best":
        return None
    folder = faceset_folder(config.workspace, config.towards)
    # What a look is made of; the quality of faces that are not chosen from does not matter.
    columns = columns_needed(keys)
    return measure_faces(folder, columns, workers=config.workers, progress=progress, cancel=cancel)


def _moves(
    config: SortConfig, keys: tuple[SortKey, ...], table: FaceTable, done: Sorted
) -> tuple[list[Move], int]:
    """The moves of one operation, and how many files are dropped."""
    ordering = done.ordering
    rows = ordering.kept if config.trash else np.concatenate([ordering.kept, ordering.trash])
    targets: dict[Path, Path] = {}
    if not config.keep_names:
        digits = max(_DIGITS, len(str(max(0, len(rows) - 1))))
        for place, row in enumerate(rows):
            path = table.paths[row]
            targets[path] = path.with_name(f"{place:0{digits}d}{path.suffix}")
    dropped = [table.paths[row] for row in ordering.trash]
    if keys[-1].method.drops_strangers:
        dropped += table.strangers
    if config.trash:
        trash = beside(table.folder, "trash")
        targets |= {path: trash / path.name for path in dropped}
    moves = [Move(path, target) for path, target in targets.items() if path != target]
    return moves, len(dropped) if config.trash else 0


def _show(config: SortConfig, table: FaceTable, done: Sorted) -> tuple[Path, ...]:
    """Write what was asked for, while the faces still have the names that the table knows."""
    if config.sheet is not None:
        write_sheet(config.sheet, table, done, title=f"{table.folder} by {config.by}")
    if config.list_file is not None:
        write_list(config.list_file, table, done)
    return tuple(path for path in (config.sheet, config.list_file) if path is not None)


def _result(
    config: SortConfig,
    keys: tuple[SortKey, ...],
    table: FaceTable,
    done: Sorted,
    dropped: int,
    moved: Moved,
    written: tuple[Path, ...],
) -> SortResult:
    ordering = done.ordering
    strangers = len(table.strangers)
    gone = strangers if config.trash and keys[-1].method.drops_strangers else 0
    trouble = [f"{path}: was gone before it could be moved" for path in moved.missing]
    trouble += [f"{path}: {reason}" for path, reason in moved.failed]
    first = keys[-1].method.first
    return SortResult(
        folder=table.folder,
        by=config.by,
        first=f"what came last ({first})" if config.reverse else first,
        faces=len(table),
        kept=len(table) - (len(ordering.trash) if config.trash else 0),
        dropped=dropped,
        dropped_strangers=gone,
        unknown=len(ordering.unknown),
        strangers=strangers - gone,
        groups=done.groups,
        moved=moved.moved,
        renamed=tuple(moved.renamed),
        trouble=tuple(trouble),
        trash=beside(table.folder, "trash") if dropped else None,
        note=ordering.note,
        written=written,
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, config.faceset),
    )
