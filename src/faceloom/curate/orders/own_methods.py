"""Faceloom's own sort methods: identity, expression, light, and what extraction recorded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.curate.groups import cluster_faces
from faceloom.curate.measures import blendshape_columns
from faceloom.curate.orders.chain_methods import chain_groups, chain_order, split_known
from faceloom.curate.orders.chains import Metric
from faceloom.curate.orders.distances import EuclideanMetric
from faceloom.curate.orders.method import (
    GroupFunction,
    Grouping,
    Ordering,
    SortContext,
    SortMethod,
    bins,
    by_number,
    column_bins,
    column_eighths,
    column_order,
    column_values,
)
from faceloom.curate.table import FaceTable


def _embeddings(table: FaceTable, _: SortContext) -> Metric:
    return EuclideanMetric(table.column("embedding"))


def _blendshapes(table: FaceTable, _: SortContext) -> Metric:
    return EuclideanMetric(table.column("blendshapes"))


def _light(table: FaceTable, _: SortContext) -> Metric:
    return EuclideanMetric(table.column("light"))


_identity_chain = chain_order(_embeddings, "embedding", "{:.2f}")
_expression_chain = chain_order(_blendshapes, "blendshapes", "{:.2f}")


def _identity(table: FaceTable, context: SortContext) -> Ordering:
    if context.likeness is None:
        return _identity_chain(table, context)
    return by_number(_likeness(table, context), high_first=True, form="{:.3f}")


def _likeness(table: FaceTable, context: SortContext) -> NDArray[np.float64]:
    assert context.likeness is not None
    known, _ = split_known(table, "embedding")
    alike = np.full(len(table), np.nan)
    alike[known] = context.likeness(table.column("embedding")[known])
    return alike


def _identity_groups(table: FaceTable, context: SortContext) -> Grouping:
    """With a reference that person and others, otherwise one group per person, largest first."""
    if context.likeness is not None:
        alike = _likeness(table, context)
        labels = np.where(np.isnan(alike), -1, np.where(alike >= context.same_person, 0, 1))
        names = ("unknown", "the person", "others")
        return Grouping(labels.astype(np.int64), lambda label: names[label + 1])
    found = cluster_faces(
        table.column("embedding"), progress=context.progress, cancel=context.cancel
    )
    labels = found.labels.astype(np.int64)
    return Grouping(labels, lambda label: f"person {label + 1}" if label >= 0 else "unknown")


def _outliers(table: FaceTable, context: SortContext) -> Ordering:
    """The faces least like the main person first, or least like the reference."""
    if context.likeness is not None:
        return by_number(_likeness(table, context), high_first=False, form="{:.3f}")
    known, _ = split_known(table, "embedding")
    alike = np.full(len(table), np.nan)
    if len(known):
        vectors = np.asarray(table.column("embedding")[known], np.float64)
        alike[known] = vectors @ main_person(vectors)
    return by_number(alike, high_first=False, form="{:.3f}")


def main_person(embeddings: NDArray[Any]) -> NDArray[np.float64]:
    """The unit vector, d, in the middle of the largest group of n unit vectors.

    Starts from the face with the highest median similarity to 512 evenly chosen ones, and takes the
    mean of the nearest half until it converges, so a minority of other people has no influence.
    """
    vectors = np.asarray(embeddings, np.float64)
    some = vectors[np.unique(np.linspace(0, len(vectors) - 1, 512).round().astype(np.intp))]
    center = some[int(np.argmax(np.median(some @ some.T, axis=1)))]
    for _ in range(20):
        nearest = np.argsort(-(vectors @ center), kind="stable")[: max(1, len(vectors) // 2)]
        mean = vectors[nearest].mean(0)
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
        if float(mean @ center) > 1 - 1e-9:
            break
        center = mean
    return center


def _person(table: FaceTable, context: SortContext) -> Ordering:
    """By person, in the order of the groups; within a group in the order of file names."""
    grouping = _person_groups(table, context)
    labels = np.where(grouping.labels < 0, np.nan, grouping.labels)
    ordering = by_number(labels, high_first=False)
    values = tuple(grouping.names(int(label)) for label in grouping.labels)
    return Ordering(ordering.rows, ordering.trash, ordering.unknown, values)


def _person_groups(table: FaceTable, context: SortContext) -> Grouping:
    if "person" not in context.groupings:
        raise InputError(
            "no people to sort by: name one with `faceloom cluster --name`, or sort by identity"
        )
    return context.groupings["person"]


def _expression(table: FaceTable, context: SortContext) -> Ordering:
    if not context.argument:
        return _expression_chain(table, context)
    columns = blendshape_columns(context.argument)
    values = np.asarray(table.column("blendshapes"), np.float64)[:, columns].mean(1)
    return by_number(values, high_first=True, form="{:.2f}")


def _expression_groups(table: FaceTable, context: SortContext) -> Grouping:
    if not context.argument:
        return chain_groups(_blendshapes, "blendshapes", 0.8)(table, context)
    columns = blendshape_columns(context.argument)
    values = np.asarray(table.column("blendshapes"), np.float64)[:, columns].mean(1)
    return bins(values, 0.1, high_first=True, form="{:.1f}")


def _part(column: str, index: int, form: str, *, high_first: bool) -> Any:
    def order(table: FaceTable, _: SortContext) -> Ordering:
        values = np.asarray(table.column(column), np.float64)[:, index]
        return by_number(values, high_first=high_first, form=form)

    return order


def _part_bins(column: str, index: int, width: float, form: str) -> GroupFunction:
    def group(table: FaceTable, _: SortContext) -> Grouping:
        return bins(np.asarray(table.column(column))[:, index], width, form=form)

    return group


def _gaze_away(table: FaceTable, _: SortContext) -> Ordering:
    away = np.linalg.norm(np.asarray(table.column("gaze"), np.float64), axis=1)
    return by_number(away, high_first=False, form="{:.0f}° away")


def _time(table: FaceTable, _: SortContext) -> Ordering:
    times = [
        float(r.own.time) if r.own is not None and r.own.time is not None else float("nan")
        for r in table.records
    ]
    return by_number(times, high_first=False, form="{:.2f} s")


def _sizes(table: FaceTable, _: SortContext) -> Grouping:
    """Each group's faces are √2 times as large as the next group's."""
    sizes = np.asarray(table.column("source_size"), np.float64)
    steps = 2 * np.log2(np.where(sizes > 0, sizes, np.nan))
    grouping = bins(steps, 1, high_first=True)
    lowest = int(np.nanmin(-np.floor(steps + 0.5))) if np.isfinite(steps).any() else 0

    def name(label: int) -> str:
        return "unknown" if label < 0 else f"around {2 ** (-(label + lowest) / 2):.0f} px"

    return Grouping(grouping.labels, name)


def _number(
    name: str,
    column: str,
    first: str,
    form: str,
    *aliases: str,
    high_first: bool,
    group: GroupFunction,
    groups: str,
) -> SortMethod:
    return SortMethod(
        name,
        "Faceloom",
        first,
        (column,),
        column_order(column, high_first=high_first, form=form),
        aliases,
        group=group,
        group_columns=(column,),
        groups=groups,
    )


def _angle(
    name: str, column: str, first: str, *aliases: str, high_first: bool = True
) -> SortMethod:
    group = column_bins(column, 10, high_first=high_first, form="{:g}°")
    return _number(
        name,
        column,
        first,
        "{:+.1f}°",
        *aliases,
        high_first=high_first,
        group=group,
        groups="10° wide",
    )


def _tenth(name: str, column: str, first: str, *aliases: str, high_first: bool) -> SortMethod:
    return _number(
        name,
        column,
        first,
        "{:.2f}",
        *aliases,
        high_first=high_first,
        group=column_bins(column, 0.1, high_first=high_first, form="{:.1f}"),
        groups="a tenth wide",
    )


def _eighth(name: str, column: str, first: str, *aliases: str) -> SortMethod:
    return _number(
        name,
        column,
        first,
        "{:.3g}",
        *aliases,
        high_first=True,
        group=column_eighths(column, high_first=True),
        groups="eighths of the faces",
    )


def _gaze(name: str, index: int, first: str, *aliases: str) -> SortMethod:
    return SortMethod(
        name,
        "Faceloom",
        first,
        ("gaze",),
        _part("gaze", index, "{:+.0f}°", high_first=False),
        aliases,
        group=_part_bins("gaze", index, 10, "{:g}°"),
        group_columns=("gaze",),
        groups="10° wide",
    )


# In the order in which help and docs list them.
METHODS: Final = (
    SortMethod(
        "identity",
        "Faceloom",
        "the face most like --reference; without it, similar faces next to each other",
        ("embedding",),
        _identity,
        ("vggface", "person-likeness"),
        group=_identity_groups,
        group_columns=("embedding",),
        groups="people; with --reference that person and the others",
        options=("reference",),
    ),
    SortMethod(
        "outliers",
        "Faceloom",
        "the face least like the main person, or least like --reference",
        ("embedding",),
        _outliers,
        ("identity-outliers",),
        options=("reference",),
    ),
    SortMethod(
        "person",
        "Faceloom",
        "the named people of the workspace, one after the other",
        ("embedding",),
        _person,
        group=_person_groups,
        group_columns=("embedding",),
        groups="named people",
    ),
    _eighth("sharpness", "sharpness", "the sharpest, by detail at the face's original resolution"),
    _angle("head-yaw", "yaw_deg", "facing the picture's left, comparable between crops"),
    _angle("head-pitch", "pitch_deg", "looking up, comparable between crops"),
    _angle("head-roll", "roll_deg", "head leaning to the picture's right", "roll"),
    _tenth("mouth-open", "mouth_open", "mouth wide open", high_first=True),
    _tenth("eyes-closed", "eyes_closed", "eyes closed", high_first=True),
    _gaze("gaze", 0, "eyes to the picture's left", "gaze-yaw"),
    _gaze("gaze-pitch", 1, "eyes looking up"),
    SortMethod(
        "gaze-straight", "Faceloom", "eyes straight ahead in the head", ("gaze",), _gaze_away
    ),
    SortMethod(
        "expression",
        "Faceloom",
        "similar expressions next to each other; with a NAME (expression:mouthSmile) the strongest",
        ("blendshapes",),
        _expression,
        group=_expression_groups,
        group_columns=("blendshapes",),
        groups="cut at large steps; with a NAME a tenth wide",
        takes_argument=True,
    ),
    _tenth("occlusion", "occlusion", "nothing in front of the face", high_first=False),
    SortMethod(
        "light",
        "Faceloom",
        "light from the picture's left",
        ("light",),
        _part("light", 0, "{:+.2f}", high_first=False),
        group=_part_bins("light", 0, 0.2, "{:.1f}"),
        group_columns=("light",),
        groups="a fifth wide",
    ),
    SortMethod(
        "light-chain",
        "Faceloom",
        "the first file, then always the most similar light",
        ("light",),
        chain_order(_light, "light", "{:.2f}"),
        group=chain_groups(_light, "light", 0.4),
        group_columns=("light",),
        groups="cut at large steps",
    ),
    _eighth("score", "score", "the detector's highest score"),
    _eighth("presence", "presence", "the landmarker's highest confidence"),
    _number(
        "size",
        "source_size",
        "the largest in its frame",
        "{:.0f} px",
        high_first=True,
        group=_sizes,
        groups="a factor of √2 wide",
    ),
    _number(
        "track",
        "track",
        "the first track",
        "track {:.0f}",
        high_first=False,
        group=column_values("track"),
        groups="tracks",
    ),
    _number(
        "frame",
        "frame",
        "the first frame",
        "frame {:.0f}",
        high_first=False,
        group=column_values("frame"),
        groups="faces of one frame",
    ),
    SortMethod("time", "Faceloom", "the earliest in the footage", (), _time),
)
