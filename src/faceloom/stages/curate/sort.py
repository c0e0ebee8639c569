"""Sort a faceset: number its faces in order, and move dropped ones to a folder next to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, Progress, UsageError
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.curate import FaceTable, check_sheet_name, contact_sheet
from faceloom.curate.orders import (
    METHODS,
    Grouping,
    SortContext,
    Sorted,
    SortKey,
    SortOption,
    columns_needed,
    parse_keys,
    refuse_unused,
    sort_faces,
)
from faceloom.detect import open_finder
from faceloom.faces import Move, Moved, move_faces
from faceloom.identify import Identifier, Person, load_people, people_folder
from faceloom.media import write_image
from faceloom.stages.curate.config import SortConfig
from faceloom.stages.curate.shared import (
    CELL_PX,
    MOST_NAMED,
    face_picture,
    move_problems,
    spread,
    write_file,
)
from faceloom.stages.extract.who import find_person
from faceloom.stages.measure import measure_faces
from faceloom.workspace import (
    Workspace,
    faceset_folder,
    lock_for_moves,
    refuse_empty,
    sibling,
    table_sources,
    undo_command,
)

__all__ = ["MethodList", "SortConfig", "SortResult", "run"]

DEFAULT_COUNT: Final = 2000
_DIGITS: Final = 5
_MOST_GROUPS: Final = 20
_SHOWN: Final = 20


@dataclass(frozen=True)
class SortedGroup:
    """A group of a sort by several methods."""

    name: str
    faces: int


@dataclass(frozen=True)
class SortResult(Result):
    """What became of the faces."""

    folder: Path
    by: str
    first: str
    """Which faces come first."""
    faces: int
    kept: int
    dropped: int
    """Files that were (or would be) moved to the trash: faces, and pictures that are no faces."""
    dropped_strangers: int
    """How many of these are no faces."""
    unknown: int
    """Faces at the end because they could not be measured."""
    strangers: int
    """Pictures without face metadata, which were left alone."""
    groups: tuple[SortedGroup, ...]
    """In order; empty when the faces were not grouped."""
    moved: int
    """Files whose path changed."""
    renamed: tuple[tuple[Path, Path], ...]
    """(wanted, given) for names that already existed."""
    trouble: tuple[str, ...]
    """What went wrong while files were moved."""
    trash: Path | None
    """Where dropped files are; None when nothing was dropped."""
    note: str
    """What the method reports about its result."""
    written: tuple[Path, ...]
    """The sheet and the list."""
    dry_run: bool
    undo: str
    """The command that undoes the sort."""

    def lines(self) -> list[str]:
        """The text for people."""
        would = "would be " if self.dry_run else ""
        faces = f"{self.folder}: {counted(self.kept, 'face')}"
        lines = [f"{faces} {would}sorted by {self.by}; first: {self.first}"]
        shown = self.groups[:_MOST_GROUPS]
        lines += [f"  {group.name}: {counted(group.faces, 'face')}" for group in shown]
        if more := len(self.groups) - len(shown):
            lines.append(f"  … and {counted(more, 'more group')}")
        if self.note:
            lines.append(self.note)
        if self.dropped:
            what = counted(self.dropped, "file")
            if self.dropped_strangers:
                what += f" ({self.dropped_strangers} without a face)"
            lines.append(f"{what} {would or 'were '}dropped to {self.trash}")
        if self.unknown:
            unknown = counted(self.unknown, "face")
            lines.append(f"{unknown} at the end: no value to sort by")
        if self.strangers:
            pictures = counted(self.strangers, "picture")
            lines.append(f"{pictures} without face metadata left alone")
        lines += self.trouble[:MOST_NAMED]
        lines += [f"written: {path}" for path in self.written]
        if self.moved:
            lines.append(f"to undo: `{self.undo}`")
        return lines


@dataclass(frozen=True)
class MethodRow:
    """A sort method as it is listed."""

    name: str
    aliases: tuple[str, ...]
    origin: str
    first: str
    drops: str
    groups: str


@dataclass(frozen=True)
class MethodList(Result):
    """All sort methods, DFL's first."""

    methods: tuple[MethodRow, ...]

    def lines(self) -> list[str]:
        """A line per method, by origin."""
        width = max(len(method.name) for method in self.methods)
        lines: list[str] = []
        for origin in dict.fromkeys(method.origin for method in self.methods):
            lines.append(f"{origin}:")
            for method in self.methods:
                if method.origin != origin:
                    continue
                also = f" (also {', '.join(method.aliases)})" if method.aliases else ""
                drops = f"; drops {method.drops}" if method.drops else ""
                lines.append(f"  {method.name:{width}}  {method.first}{drops}{also}")
        group = ", ".join(method.name for method in self.methods if method.groups)
        lines.append(f"These can group faces, before a comma in --by: {group}")
        return lines


def run(config: SortConfig, *, progress: Progress, cancel: Cancel) -> SortResult | MethodList:
    """Sort a faceset, or with `list` return the sort methods.

    Measures what is not known yet, then moves and renames all files in one operation. When it is
    stopped before that, files stay as they are and the measures are kept; a kill while files are
    moved is repaired by the next command. Raises `InputError` for a missing or packed faceset or
    an unknown person, `UsageError` for an option that the method does not use, `WeightsError` when
    a network is not available, `CancelledError` on `cancel`.
    """
    if config.list:
        return list_methods()
    if config.faceset is None:
        raise UsageError("name a faceset: src, dst or a folder (--list shows the sort methods)")
    keys = parse_keys(config.by)
    _refuse_unused(config, keys)
    check_sheet_name(config.sheet)
    folder = faceset_folder(config.workspace, config.faceset)
    with lock_for_moves(folder, wanted=not config.dry_run) as hold:
        return _sort(config, keys, folder, hold, progress, cancel)


def list_methods() -> MethodList:
    """All sort methods, DFL's first."""
    return MethodList(
        tuple(MethodRow(m.name, m.aliases, m.origin, m.first, m.drops, m.groups) for m in METHODS)
    )


def _refuse_unused(config: SortConfig, keys: Sequence[SortKey]) -> None:
    """`UsageError` for an option that the sort ignores; `faceloom.toml` may hold such options, for
    the sorts that use them."""
    sources = table_sources(SortConfig, "sort", config.workspace, {"faceset": config.faceset})
    in_file = {key: value for source in sources for key, value in source.values.items()}
    options: dict[SortOption, object] = {
        "count": config.count,
        "towards": config.towards,
        "reference": config.reference,
    }
    given: list[SortOption] = [
        name for name, value in options.items() if value not in (None, in_file.get(name))
    ]
    refuse_unused(keys, given)


def _sort(
    config: SortConfig,
    keys: tuple[SortKey, ...],
    folder: Path,
    hold: ExitStack,
    progress: Progress,
    cancel: Cancel,
) -> SortResult:
    uses_reference = any("reference" in key.method.options for key in keys)
    reference = config.reference if uses_reference else None
    likeness = _likeness_to(reference, config.workspace, progress)
    columns = columns_needed(keys, likeness=likeness is not None)
    table = measure_faces(folder, columns, workers=config.threads, progress=progress, cancel=cancel)
    refuse_empty(folder, len(table), len(table.strangers))
    context = SortContext(
        count=config.count or DEFAULT_COUNT,
        likeness=None if likeness is None else likeness.similarities,
        same_person=0.0 if likeness is None else likeness.threshold,
        towards=_towards(config, keys, progress, cancel),
        groupings=_people_groups(table, config.workspace, keys),
        workers=config.threads,
        progress=progress,
        cancel=cancel,
    )
    done = sort_faces(table, keys, context, reverse=config.reverse)
    moves, dropped = _moves(config, keys, table, done)
    # While the faces still have the names that the table knows.
    if config.sheet is not None:
        write_image(config.sheet, sort_sheet(table, done, title=f"{folder} by {config.by}"))
    if config.list_file is not None:
        _write_list(config.list_file, table, done)
    moved = Moved()
    hold.close()
    if moves and not config.dry_run:
        label = f"sort {config.faceset} by {config.by}"
        moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    first, ordering = keys[-1].method.first, done.ordering
    strangers = len(table.strangers)
    gone = strangers if config.trash and keys[-1].method.drops_strangers else 0
    groups = tuple(SortedGroup(name, faces) for name, faces in done.groups)
    return SortResult(
        folder=folder,
        by=config.by,
        first=f"what usually comes last ({first})" if config.reverse else first,
        faces=len(table),
        kept=len(table) - (len(ordering.trash) if config.trash else 0),
        dropped=dropped,
        dropped_strangers=gone,
        unknown=len(ordering.unknown),
        strangers=strangers - gone,
        groups=groups if len(groups) > 1 else (),
        moved=moved.moved,
        renamed=tuple(moved.renamed),
        trouble=move_problems(moved),
        trash=sibling(folder, "trash") if dropped else None,
        note=ordering.note,
        written=tuple(path for path in (config.sheet, config.list_file) if path is not None),
        dry_run=config.dry_run,
        undo=undo_command(config.workspace, str(config.faceset)),
    )


def _towards(
    config: SortConfig, keys: tuple[SortKey, ...], progress: Progress, cancel: Cancel
) -> FaceTable | None:
    if config.towards is None or keys[-1].method.name != "best":
        return None
    folder = faceset_folder(config.workspace, config.towards)
    columns = columns_needed(keys)
    return measure_faces(folder, columns, workers=config.threads, progress=progress, cancel=cancel)


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
        trash = sibling(table.folder, "trash")
        targets |= {path: trash / path.name for path in dropped}
    moves = [Move(path, target) for path, target in targets.items() if path != target]
    return moves, len(dropped) if config.trash else 0


# --- people


def _likeness_to(reference: str | None, workspace: Path, progress: Progress) -> Person | None:
    """The person that `reference` names or shows."""
    if reference is None:
        return None
    people = load_people(people_folder(workspace))
    if reference in people:
        return people[reference]
    return find_person(
        reference,
        Workspace(workspace),
        open_finder(progress=progress),
        Identifier(progress=progress),
        progress,
        option="--reference",
    )


def _people_groups(
    table: FaceTable, workspace: Path, keys: Sequence[SortKey]
) -> dict[str, Grouping]:
    """Which of the workspace's people each face shows, when a key asks for it."""
    if all(key.method.name != "person" for key in keys):
        return {}
    people = load_people(people_folder(workspace))
    if not people:
        return {}
    names = sorted(people)
    embeddings = table.column("embedding")
    alike = np.stack([people[name].similarities(embeddings) for name in names], axis=1)
    thresholds = np.array([people[name].threshold for name in names], np.float32)
    margins = np.nan_to_num(alike - thresholds, nan=-9.0)
    best = margins.argmax(1)
    labels = np.where(margins.max(1, initial=-9.0) >= 0, best, -1).astype(np.int64)
    return {"person": Grouping(labels, lambda k: names[k] if k >= 0 else "unknown person")}


# --- what shows the order without renaming anything


def sort_sheet(table: FaceTable, done: Sorted, *, title: str) -> NDArray[np.uint8]:
    """The first and the last 20 faces, and 20 of the dropped ones, as one picture, h w 3 RGB.

    Raises `InputError` when the table has no faces.
    """
    kept, trash = done.ordering.kept, done.ordering.trash
    if not len(table):
        raise InputError(f"{table.folder}: no faces to show")
    head, tail = kept[:_SHOWN], kept[_SHOWN:][-_SHOWN:]
    some = trash[spread(len(trash), _SHOWN)]
    parts = [(f"{title}: the first of {len(kept)}", head, range(len(head)))]
    parts.append(("the last", tail, range(len(kept) - len(tail), len(kept))))
    parts.append((f"of the {len(trash)} dropped", some, range(len(some))))
    sheets = [
        contact_sheet(
            [face_picture(table, int(row)) for row in rows],
            [
                f"{place}: {done.ordering.values[row]}\n{table.paths[row].stem}"
                for place, row in zip(places, rows, strict=True)
            ],
            cell_px=CELL_PX,
            title=name,
        )
        for name, rows, places in parts
        if len(rows)
    ]
    width = max(sheet.shape[1] for sheet in sheets)
    filled = [
        np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), mode="edge")
        for sheet in sheets
    ]
    return np.concatenate(filled)


def _write_list(path: Path, table: FaceTable, done: Sorted) -> None:
    """Write a line per face: position (empty when dropped), file, value, group; tab-separated."""

    def cells(row: int) -> str:
        texts = (table.paths[row].name, done.ordering.values[row])
        return "\t".join(text.replace("\t", " ").replace("\n", " ") for text in texts)

    groups = [name for name, faces in done.groups for _ in range(faces)]
    lines = ["position\tfile\tvalue\tgroup"]
    for place, row in enumerate(done.ordering.kept):
        lines.append(f"{place}\t{cells(int(row))}\t{groups[place]}")
    lines += [f"\t{cells(int(row))}\tdropped" for row in done.ordering.trash]
    write_file(path, "\n".join(lines) + "\n")


def methods_table() -> str:
    """The table of docs/sort.md, in Markdown."""
    rows = ["| method | comes first | dropped | groups | of |", "|---|---|---|---|---|"]
    for method in list_methods().methods:
        names = " ".join(f"`{name}`" for name in (method.name, *method.aliases))
        rows.append(
            f"| {names} | {method.first} | {method.drops} | {method.groups} | {method.origin} |"
        )
    return "\n".join(rows)
