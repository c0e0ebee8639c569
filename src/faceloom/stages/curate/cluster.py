"""Grouping a faceset by person: a list, names, and moving what is somebody else's beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from faceloom.core import Cancel, InputError, Progress, Settings
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.groups.clusters import THRESHOLD
from faceloom.curate.sheet import check_sheet_name
from faceloom.faces.moves.moves import Move, Moved, move_faces
from faceloom.identify import (
    Person,
    check_name,
    load_people,
    people_folder,
    person_from_embeddings,
    save_person,
)
from faceloom.stages.curate.cluster_groups import (
    COLUMNS,
    Group,
    Grouped,
    chosen_groups,
    group_faces,
)
from faceloom.stages.curate.cluster_show import write_groups_sheet
from faceloom.stages.measure.run import measure_faces
from faceloom.workspace.faceset import (
    beside,
    faceset_folder,
    held_for_moves,
    refuse_empty,
    undo_command,
)

_DIGITS: Final = 5
_TOLD: Final = 30
_LONGEST_ACTION: Final = 150


class ClusterConfig(Settings):
    """Which faceset to group by person, and what becomes of the groups."""

    workspace: Path = Path()
    """The workspace, whose `people` folder knows names."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    threshold: float = Field(default=THRESHOLD, gt=-1, lt=1)
    """Likeness (cosine of mean identity vectors) from which two groups are one person's. Lower
    when one person comes out as two groups, higher when two persons come out as one."""
    name: tuple[str, ...] = ()
    """Names to give, `2=anna`: a number of a group and whom it shows. The person is kept in the
    workspace's `people` folder, and known from then on."""
    keep: tuple[str, ...] = ()
    """Numbers or names of the groups to keep; the faces of all others move to `<folder>_trash`.
    `unsure` keeps those of which nobody can say whose they are."""
    move: bool = False
    """Move every group into a folder of its own beside the faceset: `<folder>_<name>`, or
    `<folder>_group_<number>`."""
    outliers: bool = False
    """Rename the faces so that those that are least like the main person come first."""
    sheet: Path | None = None
    """Write a picture here with a row of faces for each group, from the most typical on."""
    dry_run: bool = False
    """Move, rename and name nothing."""
    workers: int = Field(default=0, ge=0, le=256)
    """Threads that measure; 0: one for each core."""


@dataclass(frozen=True)
class GroupRow:
    """What is told of a group."""

    group: int | None
    name: str | None
    faces: int
    tracks: int
    mean_distance: float
    typical: Path | None
    """The face nearest to the group's mean."""


@dataclass(frozen=True)
class ClusterResult:
    """The groups, as they were before anything was moved, and what was done."""

    folder: Path
    faces: int
    groups: tuple[GroupRow, ...]
    named: tuple[Path, ...]
    """The people's files that were written."""
    moved: int
    targets: tuple[Path, ...]
    """The folders that faces moved to."""
    trouble: tuple[str, ...]
    sheet: Path | None
    dry_run: bool
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "faces": self.faces,
            "groups": [
                {
                    **dataclasses.asdict(row),
                    "typical": None if row.typical is None else row.typical.name,
                }
                for row in self.groups
            ],
            "named": [str(path) for path in self.named],
            "moved": self.moved,
            "targets": [str(path) for path in self.targets],
            "trouble": list(self.trouble),
            "sheet": None if self.sheet is None else str(self.sheet),
            "dry_run": self.dry_run,
            "undo": self.undo,
        }

    def lines(self) -> list[str]:
        """For people."""
        persons = sum(row.group is not None for row in self.groups)
        lines = [f"{self.folder}: {counted(self.faces, 'face')} of {counted(persons, 'person')}"]
        lines += [_line(row) for row in self.groups if row.group is not None][:_TOLD]
        if persons > _TOLD:
            rest = [row for row in self.groups if row.group is not None][_TOLD:]
            faces = sum(row.faces for row in rest)
            lines.append(f"  … {counted(len(rest), 'more group')} with {counted(faces, 'face')}")
        lines += [_line(row) for row in self.groups if row.group is None]
        if self.sheet is not None:
            lines.append(f"their faces: {self.sheet}")
        lines += [f"known from now on: {path.stem} ({path})" for path in self.named]
        if self.moved:
            would = "would be " if self.dry_run else ""
            where = ", ".join(path.name for path in self.targets[:8])
            where += " …" if len(self.targets) > 8 else ""
            lines.append(f"{counted(self.moved, 'face')} {would}moved or renamed: {where}")
            if not self.dry_run:
                lines.append(f"`{self.undo}` takes it back")
        return lines + list(self.trouble[:5])


def run(config: ClusterConfig, *, progress: Progress, cancel: Cancel) -> ClusterResult:
    """Group the faces, name groups, and move or rename faces in one operation.

    A stop before the moving leaves all files as they are and the measures kept. Raises
    `InputError` for options that do not go together, a group or name that cannot be, no such
    folder or a packed faceset, before anything is done; `FormatError` for a damaged person's file;
    `WeightsError`; `CancelledError`.
    """
    if sum((bool(config.keep), config.move, config.outliers)) > 1:
        raise InputError("cluster: keep, move and outliers do not go together")
    check_sheet_name(config.sheet)
    names = _given_names(config.name)
    folder = faceset_folder(config.workspace, config.faceset)
    moves = bool(config.keep or config.move or config.outliers)
    with held_for_moves(folder, wanted=moves and not config.dry_run) as hold:
        return _cluster(config, names, folder, hold, progress, cancel)


def _cluster(
    config: ClusterConfig,
    names: dict[str, str],
    folder: Path,
    hold: ExitStack,
    progress: Progress,
    cancel: Cancel,
) -> ClusterResult:
    people = load_people(people_folder(config.workspace))
    table = measure_faces(folder, COLUMNS, workers=config.workers, progress=progress, cancel=cancel)
    refuse_empty(folder, len(table), len(table.strangers))
    grouped = group_faces(
        table, people, threshold=config.threshold, progress=progress, cancel=cancel
    )
    grouped, persons = _named(table, grouped, names, folder)
    moves, action = _moves(config, table, grouped)
    if config.sheet is not None:
        title = f"{folder}: {counted(len(table), 'face')}"
        write_groups_sheet(config.sheet, table, grouped.groups, title=title, cancel=cancel)
    named: list[Path] = []
    moved = Moved(moved=len(moves))
    if not config.dry_run:
        named = [save_person(people_folder(config.workspace), person) for person in persons]
        label = f"cluster {config.faceset}: {action}"
        moved = Moved()
        hold.close()
        if moves:
            moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    return _result(config, table, grouped, named, moves, moved)


def _given_names(texts: Sequence[str]) -> dict[str, str]:
    """Group → name."""
    names: dict[str, str] = {}
    for text in texts:
        number, separator, name = (part.strip() for part in text.partition("="))
        if not separator or not number.isdecimal():
            raise InputError(f"name {text!r}: give a group's number and a name, 2=anna")
        names[str(int(number))] = check_name(name)
    return names


def _named(
    table: FaceTable, grouped: Grouped, names: dict[str, str], folder: Path
) -> tuple[Grouped, list[Person]]:
    """The groups with the names given, and the people to keep, of all groups with their name."""
    chosen = {number: chosen_groups(grouped.groups, [number])[0] for number in names}
    by_number = {group.number: names[number] for number, group in chosen.items()}
    groups = tuple(
        dataclasses.replace(group, name=by_number.get(group.number, group.name))
        for group in grouped.groups
    )
    persons: list[Person] = []
    for name in dict.fromkeys(names.values()):
        rows = np.concatenate([g.rows for g in groups if by_number.get(g.number) == name])
        vectors = table.column("embedding")[rows]
        persons.append(person_from_embeddings(name, vectors, made_from=f"{len(rows)} of {folder}"))
    return Grouped(grouped.clusters, groups), persons


def _moves(config: ClusterConfig, table: FaceTable, grouped: Grouped) -> tuple[list[Move], str]:
    """The moves of one operation, and what it is called."""
    if config.keep:
        kept = chosen_groups(grouped.groups, config.keep)
        away = [group for group in grouped.groups if group not in kept]
        trash = beside(table.folder, "trash")
        paths = [table.paths[row] for group in away for row in group.rows]
        action = f"keep {', '.join(config.keep)}"[:_LONGEST_ACTION]
        return [Move(path, trash / path.name) for path in paths], action
    if config.move:
        return [
            Move(table.paths[row], target / table.paths[row].name)
            for group in grouped.groups
            for target in (beside(table.folder, group.label),)
            for row in group.rows
        ], "move groups"
    if config.outliers:
        digits = max(_DIGITS, len(str(len(table))))
        paths = [table.paths[row] for row in grouped.clusters.outliers_first()]
        return [
            Move(path, path.with_name(f"{place:0{digits}d}{path.suffix}"))
            for place, path in enumerate(paths)
            if path.stem != f"{place:0{digits}d}"
        ], "outliers first"
    return [], ""


def _row(table: FaceTable, group: Group) -> GroupRow:
    mean = float(group.distances.mean()) if group.number is not None else float("nan")
    typical = table.paths[group.rows[0]] if group.number is not None else None
    return GroupRow(group.number, group.name, len(group.rows), group.tracks, mean, typical)


def _line(row: GroupRow) -> str:
    if row.group is None:
        why = "too blurred, small or hidden to say whose"
        return f"  unsure: {counted(row.faces, 'face')}, {why}"
    name = "" if row.name is None else f" {row.name}"
    tracks = f" in {counted(row.tracks, 'track')}" if row.tracks else ""
    typical = "" if row.typical is None else f", most typical {row.typical.name}"
    return f"  {row.group}{name}: {counted(row.faces, 'face')}{tracks}{typical}"


def _result(
    config: ClusterConfig,
    table: FaceTable,
    grouped: Grouped,
    named: list[Path],
    moves: list[Move],
    moved: Moved,
) -> ClusterResult:
    trouble = [f"{path}: was gone before it could be moved" for path in moved.missing]
    trouble += [f"{path}: {reason}" for path, reason in moved.failed]
    trouble += [f"{wanted.name} was taken: {given}" for wanted, given in moved.renamed]
    return ClusterResult(
        folder=table.folder,
        faces=len(table),
        groups=tuple(_row(table, group) for group in grouped.groups),
        named=tuple(named),
        moved=moved.moved,
        targets=tuple(dict.fromkeys(move.target.parent for move in moves)),
        trouble=tuple(trouble),
        sheet=config.sheet,
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, config.faceset),
    )
