"""Sort a faceset's table by methods' names, or in groups of one method sorted by another."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Registry, UsageError
from faceloom.curate.orders import best, dfl_methods, own_methods
from faceloom.curate.orders.method import (
    Grouping,
    Ordering,
    Rows,
    SortContext,
    SortMethod,
    SortOption,
    no_rows,
)
from faceloom.curate.table import FaceTable

# All sort methods, in the order in which help and docs list them.
METHODS: Final[tuple[SortMethod, ...]] = (
    *dfl_methods.METHODS,
    *own_methods.METHODS,
    *best.METHODS,
)

# Name or alias → method.
SORTS: Final = Registry(
    "sort method",
    {name: method for method in METHODS for name in (method.name, *method.aliases)},
)


@dataclass(frozen=True, eq=False)
class SortKey:
    """A method in `--by`, and the argument after its colon."""

    method: SortMethod
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.method.name}:{self.argument}" if self.argument else self.method.name


def parse_keys(by: str) -> tuple[SortKey, ...]:
    """Parse `a,b,c`: all but the last method group the faces, the last one sorts each group.

    Raises `UsageError` for an unknown method, one that cannot group, and an unexpected argument.
    """
    keys: list[SortKey] = []
    for word in by.split(","):
        name, _, argument = word.strip().partition(":")
        if name not in SORTS:
            near = get_close_matches(name, SORTS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"unknown sort method {name!r}; {hint}`faceloom sort --list` shows all of them"
            )
        method = SORTS[name]
        if argument and not method.takes_argument:
            raise UsageError(f"sort method {name!r} takes no argument after a colon")
        keys.append(SortKey(method, argument))
    for key in keys[:-1]:
        if key.method.group is None:
            can = ", ".join(method.name for method in METHODS if method.group is not None)
            raise UsageError(f"{key} cannot group faces; these can: {can}")
    return tuple(keys)


def refuse_unused(keys: Sequence[SortKey], options: Collection[SortOption]) -> None:
    """`UsageError` for an option that no method of the keys uses."""
    for option in options:
        # Only the last method chooses faces; a reference also serves methods that group.
        asked = keys if option == "reference" else keys[-1:]
        if not any(option in key.method.options for key in asked):
            takers = ", ".join(method.name for method in METHODS if option in method.options)
            raise UsageError(f"--{option} has no effect with --by {keys[-1]}; it is for {takers}")


def columns_needed(keys: Sequence[SortKey], *, likeness: bool = False) -> set[str]:
    """The measures a sort by these keys needs; `likeness`: a reference person is given."""
    columns = set(keys[-1].method.columns)
    if likeness and keys[-1].method.uses_likeness:
        columns.add("embedding")
    for key in keys[:-1]:
        columns.update(key.method.group_columns)
    return columns


@dataclass(frozen=True, eq=False)
class Sorted:
    """A sorted table and its groups."""

    ordering: Ordering
    groups: tuple[tuple[str, int], ...]
    """Name and number of kept faces of each group, in order; one without a name if not grouped."""


def sort_faces(
    table: FaceTable, keys: Sequence[SortKey], context: SortContext, *, reverse: bool = False
) -> Sorted:
    """Sort a table that has the measures of `columns_needed`.

    All keys but the last group the faces, later keys within earlier groups; faces without a group
    come last. The `count` is divided among groups in proportion to their size. `reverse` reverses
    everything except faces whose measure or group is unknown, which stay at the end.
    """
    needed = columns_needed(keys, likeness=context.likeness is not None)
    if not len(table):
        return Sorted(Ordering(no_rows(), no_rows(), no_rows(), ()), ())
    lean = dataclasses.replace(table, columns={name: table.column(name) for name in needed})
    last = keys[-1]
    pieces: list[Ordering] = []
    parts: list[Rows] = []
    names: list[str] = []
    groups = _cut(lean, np.arange(len(lean)), keys[:-1], context, reverse=reverse)
    counts = _share(context.count, [len(rows) for _, rows in groups])
    for (name, rows), count in zip(groups, counts, strict=True):
        context.cancel.check()
        inside = dataclasses.replace(
            context, count=count, argument=last.argument, groupings=_within(context, rows)
        )
        part = lean if len(groups) == 1 else lean.take(rows)
        pieces.append(last.method.order(part, inside))
        parts.append(rows)
        names.append(name)
    if reverse:
        pieces = [dataclasses.replace(piece, rows=piece.rows[::-1]) for piece in pieces]
    kept = [len(piece.kept) for piece in pieces]
    sizes = tuple((name, size) for name, size in zip(names, kept, strict=True) if size)
    return Sorted(_joined(len(table), parts, pieces), sizes)


def _cut(
    table: FaceTable,
    rows: Rows,
    keys: Sequence[SortKey],
    context: SortContext,
    *,
    reverse: bool,
) -> list[tuple[str, Rows]]:
    """(name, rows) of the groups, in order; the rows of a group in the order of the table.

    `reverse` reverses the groups, except that faces without a group stay at the end.
    """
    if not keys or not len(rows):
        return [("", rows)]
    key, *others = keys
    whole = len(rows) == len(table)
    inside = dataclasses.replace(context, argument=key.argument, groupings=_within(context, rows))
    assert key.method.group is not None
    grouping = key.method.group(table if whole else table.take(rows), inside)
    found: list[tuple[str, Rows]] = []
    labels = [int(label) for label in np.unique(grouping.labels)]
    for label in sorted(labels, key=lambda label: (label < 0, -label if reverse else label)):
        name = f"{key}: {grouping.names(label)}"
        mine = rows[grouping.labels == label]
        for inner, part in _cut(table, mine, others, context, reverse=reverse):
            found.append((f"{name}, {inner}" if inner else name, part))
    return found


def _within(context: SortContext, rows: Rows) -> dict[str, Grouping]:
    """The context's groups for some rows."""
    return {
        name: Grouping(grouping.labels[rows], grouping.names)
        for name, grouping in context.groupings.items()
    }


def _share(count: int, sizes: Sequence[int]) -> list[int]:
    """Divide a count in proportion to sizes, by largest remainders; at least one each."""
    if len(sizes) == 1:
        return [count]
    exact = count * np.array(sizes, np.float64) / max(1, sum(sizes))
    shares: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    left = count - int(shares.sum())
    shares[np.argsort(-(exact - shares), kind="stable")[:left]] += 1
    return [max(1, int(share)) for share in shares]


def _joined(n: int, parts: Sequence[Rows], pieces: Sequence[Ordering]) -> Ordering:
    """Join the groups' orderings; unknown faces come last in their group if there are several."""
    if len(pieces) == 1:
        return pieces[0]
    values = [""] * n
    for rows, piece in zip(parts, pieces, strict=True):
        for row, value in zip(rows, piece.values, strict=True):
            values[row] = value
    trash = [rows[piece.trash] for rows, piece in zip(parts, pieces, strict=True)]
    kept = [rows[piece.kept] for rows, piece in zip(parts, pieces, strict=True)]
    return Ordering(
        np.concatenate(kept),
        np.sort(np.concatenate(trash)),
        np.empty(0, np.intp),
        tuple(values),
    )
