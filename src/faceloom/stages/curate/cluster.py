"""Group a faceset by person: list the groups, name them, and move them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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
from faceloom.curate.groups import Clusters, cluster_faces, face_trust
from faceloom.curate.measures import identity_crop_px
from faceloom.faces import Move, Moved, move_faces
from faceloom.identify import (
    Person,
    blankness,
    check_name,
    load_people,
    people_folder,
    person_from_embeddings,
    save_person,
)
from faceloom.media import write_image
from faceloom.stages.curate.config import ClusterConfig
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

__all__ = ["ClusterConfig", "ClusterResult", "run"]

# The measures that grouping needs.
COLUMNS: Final = ("embedding", *TRACK_COLUMNS)
UNSURE: Final = "unsure"
# The name of the faces that could not be assigned to anyone.
_DIGITS: Final = 5
_MOST_LISTED: Final = 30
_MOST_FOLDERS: Final = 8
_LONGEST_ACTION: Final = 150
_SHEET_COLUMNS: Final = 10
_SHEET_GROUPS: Final = 100
_SHEET_BACKGROUND: Final = 24


@dataclass(frozen=True)
class GroupRow:
    """A group as it is listed."""

    group: int | None
    """Its number; None for the faces that are `unsure`."""
    name: str | None
    faces: int
    tracks: int
    mean_distance: float
    """Mean of 1 - cosine with the group's mean vector."""
    typical: str | None
    """Name of the face nearest to the group's mean."""


@dataclass(frozen=True)
class ClusterResult(Result):
    """The groups, as they were before anything was moved, and what was done."""

    folder: Path
    faces: int
    groups: tuple[GroupRow, ...]
    named: tuple[Path, ...]
    """The files of people that were written."""
    moved: int
    targets: tuple[Path, ...]
    """The folders that faces were moved to."""
    trouble: tuple[str, ...]
    sheet: Path | None
    dry_run: bool
    undo: str
    """The command that moves the faces back."""

    def lines(self) -> list[str]:
        """The text for people."""
        people = [row for row in self.groups if row.group is not None]
        persons = counted(len(people), "person")
        lines = [f"{self.folder}: {counted(self.faces, 'face')} of {persons}"]
        lines += [_line(row) for row in people[:_MOST_LISTED]]
        if rest := people[_MOST_LISTED:]:
            faces = counted(sum(row.faces for row in rest), "face")
            lines.append(f"  … {counted(len(rest), 'more group')} with {faces}")
        lines += [_line(row) for row in self.groups if row.group is None]
        if self.sheet is not None:
            lines.append(f"contact sheet: {self.sheet}")
        lines += [f"recognised from now on: {path.stem} ({path})" for path in self.named]
        lines += self.trouble[:MOST_NAMED]
        if self.moved:
            would = "would be " if self.dry_run else ""
            where = ", ".join(path.name for path in self.targets[:_MOST_FOLDERS])
            where += " …" if len(self.targets) > _MOST_FOLDERS else ""
            lines.append(f"{counted(self.moved, 'face')} {would}moved or renamed: {where}")
            if not self.dry_run:
                lines.append(f"to undo: `{self.undo}`")
        elif not any(row.name for row in people):
            lines.append("next: name a group with --name 0=NAME, keep only it with --keep NAME")
        return lines


def run(config: ClusterConfig, *, progress: Progress, cancel: Cancel) -> ClusterResult:
    """Group the faces, name groups, and move or rename faces in one operation.

    When it is stopped before the move, files stay as they are and the measures are kept. Raises
    `InputError` for an unknown group, an invalid name, and a missing or packed faceset, before
    anything is changed; `FormatError` for a damaged file of a person; `WeightsError`;
    `CancelledError`.
    """
    check_sheet_name(config.sheet)
    names = _given_names(config.name)
    folder = faceset_folder(config.workspace, config.faceset)
    moves = bool(config.keep or config.move or config.outliers)
    with lock_for_moves(folder, wanted=moves and not config.dry_run) as hold:
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
    table = measure_faces(folder, COLUMNS, workers=config.threads, progress=progress, cancel=cancel)
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
    return ClusterResult(
        folder=folder,
        faces=len(table),
        groups=tuple(_row(table, group) for group in grouped.groups),
        named=tuple(named),
        moved=moved.moved,
        targets=tuple(dict.fromkeys(move.target.parent for move in moves)),
        trouble=move_problems(moved),
        sheet=config.sheet,
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, config.faceset),
    )


def _row(table: FaceTable, group: Group) -> GroupRow:
    if group.number is None:
        return GroupRow(None, group.name, len(group.rows), group.tracks, float("nan"), None)
    mean, typical = float(group.distances.mean()), table.paths[group.rows[0]].name
    return GroupRow(group.number, group.name, len(group.rows), group.tracks, mean, typical)


def _line(row: GroupRow) -> str:
    if row.group is None:
        return f"  unsure: {counted(row.faces, 'face')}, too blurred, small or hidden to identify"
    name = "" if row.name is None else f" {row.name}"
    tracks = f" in {counted(row.tracks, 'track')}" if row.tracks else ""
    return f"  {row.group}{name}: {counted(row.faces, 'face')}{tracks}, most typical {row.typical}"


# --- groups


@dataclass(frozen=True, eq=False)
class Group:
    """The faces of one person, as far as the measures can tell."""

    number: int | None
    """From 0, the largest first; None for the faces that are `unsure`."""
    name: str | None
    """The person's, if the workspace knows them."""
    rows: NDArray[np.intp]
    """Its faces in the table, most typical first."""
    distances: NDArray[np.float32]
    """1 - cosine with the group's mean, of each of `rows`; NaN when `unsure`."""
    tracks: int
    """How many tracks they are from."""

    @property
    def label(self) -> str:
        """What it is called in folder names."""
        if self.number is None:
            return UNSURE
        return f"group_{self.number}" if self.name is None else self.name


@dataclass(frozen=True, eq=False)
class Grouped:
    """All faces of a table in groups, the largest first, `unsure` last if there are any."""

    clusters: Clusters
    groups: tuple[Group, ...]


def group_faces(
    table: FaceTable,
    people: Mapping[str, Person],
    *,
    threshold: float,
    progress: Progress,
    cancel: Cancel,
) -> Grouped:
    """Group the faces of a table with `COLUMNS`, and name the groups that match one of `people`.

    Raises `CancelledError`.
    """
    embeddings = np.asarray(table.column("embedding"), dtype=np.float32).reshape(-1, 128)
    trust = face_trust(
        blankness=blankness(embeddings),
        face_px=identity_crop_px(table.records),
        sharpness=table.column("sharpness"),
    )
    tracks = np.full(len(table), -1, dtype=np.intp)
    for number, track in enumerate(list_tracks(table)):
        if track.number is not None:
            tracks[track.rows] = number
    clusters = cluster_faces(
        embeddings,
        trust=trust,
        tracks=tracks,
        threshold=threshold,
        progress=progress,
        cancel=cancel,
    )
    groups: list[Group] = []
    for number, centre in enumerate(clusters.centres):
        rows = np.flatnonzero(clusters.labels == number)
        rows = rows[np.argsort(clusters.distances[rows], kind="stable")]
        groups.append(_group(number, _known_as(people, centre), rows, clusters, tracks))
    unsure = np.flatnonzero(clusters.labels < 0)
    if len(unsure):
        groups.append(_group(None, None, unsure, clusters, tracks))
    return Grouped(clusters, tuple(groups))


def _group(
    number: int | None,
    name: str | None,
    rows: NDArray[np.intp],
    clusters: Clusters,
    tracks: NDArray[np.intp],
) -> Group:
    of_rows = tracks[rows]
    return Group(
        number, name, rows, clusters.distances[rows], len(np.unique(of_rows[of_rows >= 0]))
    )


def _known_as(people: Mapping[str, Person], vector: NDArray[np.float32]) -> str | None:
    """The name of the person that a group's mean matches best; None when it matches nobody."""
    beyond = {name: person.similarity(vector) - person.threshold for name, person in people.items()}
    best = max(beyond, key=lambda name: beyond[name], default=None)
    return best if best is not None and beyond[best] >= 0 else None


def _given_names(texts: Sequence[str]) -> dict[str, str]:
    """Group → name."""
    names: dict[str, str] = {}
    for text in texts:
        number, separator, name = (part.strip() for part in text.partition("="))
        if not separator or not number.isdecimal():
            raise InputError(f"--name {text!r}: give a group's number and a name, such as 2=anna")
        names[str(int(number))] = check_name(name)
    return names


def _named(
    table: FaceTable, grouped: Grouped, names: dict[str, str], folder: Path
) -> tuple[Grouped, list[Person]]:
    """The groups with the given names, and the people to store, each from all groups so named."""
    chosen = {number: _chosen_groups(grouped.groups, [number])[0] for number in names}
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


def _chosen_groups(groups: Sequence[Group], words: Sequence[str]) -> list[Group]:
    """The groups that numbers, names or `unsure` refer to; `InputError` for an unknown one.

    Among other words, `unsure` need not match: there are not always such faces.
    """
    chosen: list[Group] = []
    for word in words:
        found = [
            group
            for group in groups
            if word in (group.name, UNSURE if group.number is None else str(group.number))
        ]
        if not found and not (word == UNSURE and len(words) > 1):
            known = [str(group.number) for group in groups[:20] if group.number is not None]
            known += sorted({group.name for group in groups if group.name is not None})
            raise InputError(f"there is no group {word!r}; known: {', '.join(known) or 'none'}")
        chosen += [group for group in found if group not in chosen]
    return chosen


def _moves(config: ClusterConfig, table: FaceTable, grouped: Grouped) -> tuple[list[Move], str]:
    """The moves of one operation, and what it is called."""
    if config.keep:
        kept = _chosen_groups(grouped.groups, config.keep)
        away = [group for group in grouped.groups if group not in kept]
        trash = sibling(table.folder, "trash")
        paths = [table.paths[row] for group in away for row in group.rows]
        action = f"keep {', '.join(config.keep)}"[:_LONGEST_ACTION]
        return [Move(path, trash / path.name) for path in paths], action
    if config.move:
        return [
            Move(table.paths[row], target / table.paths[row].name)
            for group in grouped.groups
            for target in (sibling(table.folder, group.label),)
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


def write_groups_sheet(
    path: Path, table: FaceTable, groups: Sequence[Group], *, title: str, cancel: Cancel
) -> None:
    """Write a row of ten faces for each of up to 100 groups, from the most to the least typical.

    Groups of one face share rows. Raises `InputError` when there are no groups, `MediaError` when
    the picture cannot be written, and `CancelledError`.
    """
    if not groups:
        raise InputError(f"{table.folder}: no faces to show")
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for group in groups[:_SHEET_GROUPS]:
        if len(group.rows) > 1:
            while len(images) % _SHEET_COLUMNS:
                images.append(np.full((1, 1, 3), _SHEET_BACKGROUND, np.uint8))
                captions.append("")
        for place in spread(len(group.rows), _SHEET_COLUMNS).tolist():
            cancel.check()
            images.append(face_picture(table, int(group.rows[place])))
            captions.append(_caption(group, place))
    sheet = contact_sheet(images, captions, columns=_SHEET_COLUMNS, cell_px=CELL_PX, title=title)
    write_image(path, sheet)


def _caption(group: Group, place: int) -> str:
    if place:
        return "" if group.number is None else f"{group.distances[place]:.2f}"
    number = "" if group.number is None else f"{group.number} "
    name = group.name or (UNSURE if group.number is None else "")
    return f"{number}{name}\n{counted(len(group.rows), 'face')}"
