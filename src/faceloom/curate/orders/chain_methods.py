"""Sort methods and groups made from greedy chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceloom.curate.orders.chains import Metric, cut_chain, greedy_chain
from faceloom.curate.orders.method import (
    GroupFunction,
    Grouping,
    OrderFunction,
    Ordering,
    Origin,
    SortContext,
    SortMethod,
    no_rows,
)
from faceloom.curate.table import FaceTable

MetricOf = Callable[[FaceTable, SortContext], Metric]


def chain_method(
    name: str,
    origin: Origin,
    first: str,
    metric: MetricOf,
    column: str | None,
    form: str,
    step: float,
    *aliases: str,
) -> SortMethod:
    """A method that chains; its groups end at steps larger than `step`."""
    columns = (column,) if column else ()
    return SortMethod(
        name,
        origin,
        first,
        columns,
        chain_order(metric, column, form),
        aliases,
        group=chain_groups(metric, column, step),
        group_columns=columns,
        groups="cut at large steps",
    )


def chain_order(
    metric: MetricOf, column: str | None, form: str, *, farthest: bool = False
) -> OrderFunction:
    """A method's function that chains the faces with a known `column`."""

    def order(table: FaceTable, context: SortContext) -> Ordering:
        known, unknown = split_known(table, column)
        if not len(known):
            return Ordering(known, no_rows(), unknown, ("unknown",) * len(table))
        rows, steps = greedy_chain(
            metric(_of(table, known), context),
            farthest=farthest,
            progress=context.progress,
            cancel=context.cancel,
        )
        values = ["unknown"] * len(table)
        for row, step in zip(known[rows], steps, strict=True):
            values[row] = "first" if np.isnan(step) else form.format(step)
        return Ordering(known[rows], no_rows(), unknown, tuple(values))

    return order


def chain_groups(metric: MetricOf, column: str | None, at_least: float) -> GroupFunction:
    """Groups that end at large steps of the chain."""

    def group(table: FaceTable, context: SortContext) -> Grouping:
        known, _ = split_known(table, column)
        labels = np.full(len(table), -1, np.int64)
        if len(known):
            rows, steps = greedy_chain(
                metric(_of(table, known), context),
                progress=context.progress,
                cancel=context.cancel,
            )
            labels[known[rows]] = cut_chain(steps, at_least=at_least)
        return Grouping(labels, lambda label: f"similar {label + 1}" if label >= 0 else "unknown")

    return group


def split_known(table: FaceTable, column: str | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows with a measure, and rows without (NaN, or all zeros).

    Without a column every row counts as known.
    """
    if column is None:
        return np.arange(len(table)), no_rows()
    values: NDArray[Any] = table.column(column).reshape(len(table), -1)
    whole = not np.issubdtype(values.dtype, np.floating)
    known = values.any(1) if whole else np.isfinite(values).all(1)
    return np.flatnonzero(known), np.flatnonzero(~known)


def _of(table: FaceTable, rows: NDArray[np.intp]) -> FaceTable:
    """The rows of a table; without a copy when that is all of it, because pictures are large."""
    return table if len(rows) == len(table) else table.take(rows)
