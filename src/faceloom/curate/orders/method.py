"""What a sort method is and returns, and the building blocks: order by a number, group by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import Cancel, NullProgress, Progress
from faceloom.curate.table import FaceTable

Rows = NDArray[np.intp]
Origin = Literal["DFL 2.0", "DFL 1.0", "Faceloom"]


@dataclass(frozen=True, eq=False)
class Ordering:
    """The faces of a table in order. Every row is in exactly one of the three parts."""

    rows: Rows
    """Rows of the table, in order."""
    trash: Rows
    """Rows that the method drops."""
    unknown: Rows
    """Rows without the measure: placed after the others, in the order of their names."""
    values: tuple[str, ...]
    """n short texts, one per row of the table: the value the face was sorted by."""
    note: str = ""
    """A line about the result, such as how much a selection covers."""

    @property
    def kept(self) -> Rows:
        """All rows that stay: those in order, then the unknown ones."""
        return np.concatenate([self.rows, self.unknown])


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which group each face of a table is in."""

    labels: NDArray[np.int64]
    """n: groups are in the order of their labels; -1, the last, means no group."""
    names: Callable[[int], str]
    """Label → the group's name."""


@dataclass(frozen=True, eq=False)
class SortContext:
    """What methods may need apart from the table."""

    count: int = 2000
    """How many faces `best` and the `final` methods keep."""
    likeness: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    """Embeddings n 128 → n similarities to the reference person, -1 to 1."""
    same_person: float = 0.36
    """Similarity from which a face shows the reference person."""
    towards: FaceTable | None = None
    """The faces that `best` covers, if not the table's own."""
    groupings: dict[str, Grouping] = field(default_factory=lambda: dict[str, Grouping]())
    """Method → groups that were computed elsewhere, such as the people of a workspace."""
    argument: str = ""
    """What follows a colon: `jawOpen` in `expression:jawOpen`."""
    workers: int = 0
    """Threads; 0: one per core."""
    progress: Progress = field(default_factory=NullProgress)
    cancel: Cancel = field(default_factory=Cancel)


OrderFunction = Callable[[FaceTable, SortContext], Ordering]
GroupFunction = Callable[[FaceTable, SortContext], Grouping]

# Options of `SortConfig` that only some methods use.
SortOption = Literal["count", "towards", "reference"]


@dataclass(frozen=True, eq=False)
class SortMethod:
    """A way to sort faces."""

    name: str
    origin: Origin
    """The program it comes from and whose rules it follows."""
    first: str
    """Which faces come first, for help and docs."""
    columns: tuple[str, ...]
    """The measures it needs."""
    order: OrderFunction
    aliases: tuple[str, ...] = ()
    drops: str = ""
    """Which faces it drops, for help and docs."""
    drops_strangers: bool = False
    """Whether pictures without face metadata are dropped too, as DFL does."""
    group: GroupFunction | None = None
    """How it groups faces; None if it cannot."""
    group_columns: tuple[str, ...] = ()
    groups: str = ""
    """What a group is, for help and docs."""
    takes_argument: bool = False
    """Whether an argument may follow its name after a colon."""
    options: tuple[SortOption, ...] = ()
    """The options it uses."""
    uses_likeness: bool = False
    """Whether it uses `SortContext.likeness`, and so embeddings, if a reference is given."""


def no_rows() -> Rows:
    """An empty list of rows."""
    return np.empty(0, np.intp)


def by_number(
    values: ArrayLike,
    *,
    high_first: bool,
    form: str = "{:.3g}",
    zero_is_trash: bool = False,
) -> Ordering:
    """Order n faces by a number; equal faces keep the order of their names.

    NaN means unknown. With `zero_is_trash` faces of exactly 0 are dropped.
    """
    numbers = np.asarray(values, np.float64)
    known = ~np.isnan(numbers)
    dropped = known & (numbers == 0) if zero_is_trash else np.zeros(len(numbers), bool)
    rows = np.flatnonzero(known & ~dropped)
    keys = -numbers[rows] if high_first else numbers[rows]
    texts = tuple("unknown" if np.isnan(x) else form.format(x).replace("-", "−") for x in numbers)
    return Ordering(
        rows[np.argsort(keys, kind="stable")],
        np.flatnonzero(dropped),
        np.flatnonzero(~known),
        texts,
    )


def column_order(
    name: str,
    *,
    high_first: bool,
    form: str = "{:.3g}",
    factor: float = 1.0,
    zero_is_trash: bool = False,
) -> OrderFunction:
    """A method's function that sorts by one column."""

    def order(table: FaceTable, _: SortContext) -> Ordering:
        values = np.asarray(table.column(name), np.float64) * factor
        return by_number(values, high_first=high_first, form=form, zero_is_trash=zero_is_trash)

    return order


# --- Groups


# Directions of positive and negative values, as seen in the picture.
_SIDES: Final = {"yaw_deg": ("left", "right"), "pitch_deg": ("up", "down")}


def bins(
    values: ArrayLike,
    width: float,
    *,
    high_first: bool = False,
    form: str = "{:g}",
    sides: tuple[str, str] | None = None,
) -> Grouping:
    """Groups of equal width, one of them centred on 0; NaN is no group.

    `sides` are words for positive and negative values, instead of a sign.
    """
    numbers = np.asarray(values, np.float64)
    sign = -1 if high_first else 1
    cells = np.floor(numbers / width + 0.5)
    lowest = int(np.nanmin(sign * cells)) if np.isfinite(cells).any() else 0
    labels = np.where(np.isnan(cells), -1, sign * cells - lowest).astype(np.int64)

    def name(label: int) -> str:
        middle = sign * (label + lowest) * width
        if label < 0:
            return "unknown"
        if sides is not None and middle:
            return f"around {form.format(abs(middle))} {sides[0] if middle > 0 else sides[1]}"
        return f"around {form.format(middle)}".replace("-", "−")

    return Grouping(labels, name)


def column_bins(
    name: str, width: float, *, high_first: bool = False, form: str = "{:g}"
) -> GroupFunction:
    """Groups of equal width of one column."""
    sides = _SIDES.get(name)
    return lambda table, _: bins(
        table.column(name), width, high_first=high_first, form=form, sides=sides
    )


def column_eighths(name: str, *, high_first: bool = False) -> GroupFunction:
    """Eight groups of about equal numbers of faces; equal values stay together."""

    def group(table: FaceTable, _: SortContext) -> Grouping:
        numbers = np.asarray(table.column(name), np.float64)
        known = ~np.isnan(numbers)
        labels = np.full(len(numbers), -1, np.int64)
        if known.any():
            edges = np.quantile(numbers[known], np.arange(1, 8) / 8)
            eighth = np.searchsorted(edges, numbers[known], side="left")
            labels[known] = 7 - eighth if high_first else eighth
        return Grouping(labels, lambda label: f"eighth {label + 1}" if label >= 0 else "unknown")

    return group


def column_values(name: str) -> GroupFunction:
    """A group for each value of a column of whole numbers."""

    def group(table: FaceTable, _: SortContext) -> Grouping:
        numbers = np.asarray(table.column(name), np.float64)
        labels = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
        return Grouping(labels, lambda label: f"{name} {label}" if label >= 0 else "unknown")

    return group
