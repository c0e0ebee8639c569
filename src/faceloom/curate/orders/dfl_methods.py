"""The sort methods of DeepFaceLab, with its orders and its rules for dropping faces.

docs/internals/sorting.md describes them. Two faults of DFL are not repeated: `oneface` goes by the
frame that each face names, not by file names, and chains are the same on every run.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from faceloom.curate.orders.chain_methods import (
    chain_groups,
    chain_method,
    chain_order,
    split_known,
)
from faceloom.curate.orders.chains import Metric
from faceloom.curate.orders.distances import (
    AbsoluteMetric,
    HistogramMetric,
    PictureMetric,
    histogram_unlikeness,
    sum_to_later,
)
from faceloom.curate.orders.final import final_selection
from faceloom.curate.orders.method import (
    Grouping,
    OrderFunction,
    Ordering,
    Origin,
    SortContext,
    SortMethod,
    by_number,
    column_bins,
    column_eighths,
    column_order,
    no_rows,
)
from faceloom.curate.table import FaceTable
from faceloom.geometry import frame_to_face, transform_points

_DEGREES = 180 / np.pi
_FACE_PX = 256
_SCORE_0 = "faces with a score of exactly 0"
_REST = "all others"


def _hist(table: FaceTable, _: SortContext) -> Metric:
    return HistogramMetric(table.column("hist"), 3)


def _picture(table: FaceTable, context: SortContext) -> Metric:
    return PictureMetric(table.column("plain_thumb"), workers=context.workers)


def _points(table: FaceTable, _: SortContext) -> Metric:
    """Landmarks in a full_face crop of 256 pixels, the crop that DFL 1.0 stored."""
    return AbsoluteMetric(
        [
            transform_points(
                record.source_landmarks,
                frame_to_face(record.source_landmarks, _FACE_PX, "full_face"),
            )
            for record in table.records
        ]
    )


def _hist_blur(table: FaceTable, context: SortContext) -> Ordering:
    labels = chain_groups(_hist, "hist", _HIST_STEP)(table, context).labels
    sharp = column_order("cpbd", high_first=True, zero_is_trash=True)(table, context)
    place = np.where(labels < 0, len(table), labels)
    rows = sharp.rows[np.argsort(place[sharp.rows], kind="stable")]
    return Ordering(
        rows,
        sharp.trash,
        sharp.unknown,
        tuple(f"{value} in {label + 1}" for value, label in zip(sharp.values, labels, strict=True)),
    )


# --- Others


def _hist_dissim(table: FaceTable, context: SortContext) -> Ordering:
    known, _ = split_known(table, "hist_gray")
    scores = np.full(len(table), np.nan)
    scores[known] = histogram_unlikeness(table.column("hist_gray")[known], context.cancel)
    return by_number(scores, high_first=True, form="{:.1f}")


def _face_dissim(table: FaceTable, context: SortContext) -> Ordering:
    scores = sum_to_later(_points(table, context), context.cancel)
    return by_number(scores, high_first=True, form="{:.0f}")


def _original_name(table: FaceTable, _: SortContext) -> Ordering:
    names = tuple(record.source_filename for record in table.records)
    rows = sorted(range(len(table)), key=lambda row: names[row])
    return Ordering(np.array(rows, np.intp), no_rows(), no_rows(), names)


def _frames(table: FaceTable, _: SortContext) -> Grouping:
    names = [record.source_filename for record in table.records]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    listed = sorted(numbers)
    return Grouping(np.array([numbers[name] for name in names], np.int64), lambda k: listed[k])


def _one_face(table: FaceTable, _: SortContext) -> Ordering:
    """Faces that are the only one of their frame; one with an unknown frame counts as such."""
    counts: dict[str, int] = {}
    for record in table.records:
        counts[record.source_stem] = counts.get(record.source_stem, 0) + 1
    faces = [counts[r.source_stem] if r.source_filename else 1 for r in table.records]
    single = np.array(faces, np.intp) == 1
    return Ordering(
        np.flatnonzero(single),
        np.flatnonzero(~single),
        no_rows(),
        tuple(f"{count} in its frame" for count in faces),
    )


def _final(sharpness: str | None, *, legacy: bool = False) -> OrderFunction:
    pose = "legacy" if legacy else "dfl"

    def order(table: FaceTable, context: SortContext) -> Ordering:
        quality = None if sharpness is None else table.column(sharpness)
        rows, trash = final_selection(
            yaw=table.column(f"{pose}_yaw"),
            pitch=table.column(f"{pose}_pitch"),
            histograms=table.column("hist_gray_whole"),
            sharpness=quality,
            target=context.count,
            yaw_span=1.0 if legacy else 1.2,
            pitch_span=1.0 if legacy else np.pi / 2,
            cancel=context.cancel,
        )
        yaw = np.asarray(table.column(f"{pose}_yaw"), np.float64) * (1 if legacy else _DEGREES)
        form = "yaw {:+.2f}" if legacy else "yaw {:+.0f}°"
        values = tuple(form.format(angle).replace("-", "−") for angle in yaw)
        return Ordering(rows, trash, no_rows(), values)

    return order


_HIST_STEP = 0.35
# A mean difference of 12 levels per sample.
_PICTURE_STEP = 12 * 64 * 64 * 3
# 4 pixels per landmark, x and y added, at 256 pixels.
_POINTS_STEP = 68 * 4.0


def _pose(name: str, column: str, first: str, *aliases: str, legacy: bool = False) -> SortMethod:
    own = "yaw_deg" if "yaw" in name else "pitch_deg"
    return SortMethod(
        name,
        "DFL 1.0" if legacy else "DFL 2.0",
        first,
        (column,),
        column_order(
            column,
            high_first=True,
            form="{:+.2f}" if legacy else "{:+.1f}°",
            factor=1.0 if legacy else _DEGREES,
        ),
        aliases,
        drops_strangers=True,
        group=column_bins(own, 10, high_first=True, form="{:g}°"),
        group_columns=(own,),
        groups="10° wide",
    )


def _best(
    name: str, origin: Origin, first: str, sharpness: str | None, *aliases: str
) -> SortMethod:
    legacy = origin == "DFL 1.0"
    pose = ("legacy_yaw", "legacy_pitch") if legacy else ("dfl_yaw", "dfl_pitch")
    columns = (*pose, "hist_gray_whole", *(() if sharpness is None else (sharpness,)))
    order = _final(sharpness, legacy=legacy)
    return SortMethod(
        name,
        origin,
        first,
        columns,
        order,
        aliases,
        drops=_REST,
        drops_strangers=True,
        options=("count",),
    )


def _sharp(name: str, origin: Origin, column: str, first: str) -> SortMethod:
    return SortMethod(
        name,
        origin,
        first,
        (column,),
        column_order(column, high_first=True, zero_is_trash=True),
        drops=_SCORE_0,
        drops_strangers=True,
        group=column_eighths(column, high_first=True),
        group_columns=(column,),
        groups="eighths of the faces",
    )


def _plain(name: str, first: str, form: str, *, high_first: bool) -> SortMethod:
    return SortMethod(
        name,
        "DFL 2.0",
        first,
        (name,),
        column_order(name, high_first=high_first, form=form),
        group=column_eighths(name, high_first=high_first),
        group_columns=(name,),
        groups="eighths of the faces",
    )


_STARTS = "the first file, then always "

# In the order in which help and docs list them.
METHODS: Final = (
    _sharp("blur", "DFL 2.0", "cpbd", "the sharpest, by CPBD inside the face's hull"),
    _sharp(
        "motion-blur", "DFL 2.0", "motion_blur", "the least blurred, by the Laplacian's variance"
    ),
    _pose("face-yaw", "dfl_yaw", "facing the picture's left", "yaw"),
    _pose("face-pitch", "dfl_pitch", "looking up", "pitch"),
    SortMethod(
        "face-source-rect-size",
        "DFL 2.0",
        "the largest rectangle in the frame",
        ("rect_area",),
        column_order("rect_area", high_first=True, form="{:.0f} px²"),
        ("rect", "rect-size", "source-rect-size"),
        drops_strangers=True,
        group=column_eighths("rect_area", high_first=True),
        group_columns=("rect_area",),
        groups="eighths of the faces",
    ),
    chain_method(
        "hist",
        "DFL 2.0",
        _STARTS + "the most similar colour histogram",
        _hist,
        "hist",
        "{:.3f}",
        _HIST_STEP,
    ),
    SortMethod(
        "hist-dissim",
        "DFL 2.0",
        "the face least like all others, by its grey histogram",
        ("hist_gray",),
        _hist_dissim,
    ),
    _plain("brightness", "the brightest", "{:.0f}", high_first=True),
    _plain("hue", "the highest mean hue", "{:.0f}", high_first=True),
    _plain("black", "the fewest black samples", "{:.0f}", high_first=False),
    SortMethod(
        "origname",
        "DFL 2.0",
        "by the name of the frame",
        (),
        _original_name,
        ("original-name", "source"),
        drops_strangers=True,
        group=_frames,
        groups="faces of one frame",
    ),
    SortMethod(
        "oneface",
        "DFL 2.0",
        "no change of order",
        (),
        _one_face,
        ("one-face",),
        drops="all faces of frames with several faces",
    ),
    chain_method(
        "absdiff",
        "DFL 2.0",
        _STARTS + "the picture with the smallest absolute difference, at 64 x 64 pixels",
        _picture,
        "plain_thumb",
        "{:.0f}",
        _PICTURE_STEP,
        "absdiff-similar",
    ),
    SortMethod(
        "absdiff-dissimilar",
        "DFL 2.0",
        _STARTS + "the picture with the largest absolute difference",
        ("plain_thumb",),
        chain_order(_picture, "plain_thumb", "{:.0f}", farthest=True),
        ("absdiff-dissim",),
    ),
    _best(
        "final",
        "DFL 2.0",
        "from left to right, the sharpest and most varied faces of each yaw",
        "cpbd",
    ),
    _best("final-fast", "DFL 2.0", "like final, with size instead of sharpness", "rect_area"),
    _sharp("blur-whole", "DFL 1.0", "cpbd_whole", "the sharpest, by CPBD of the whole picture"),
    _pose("legacy-yaw", "legacy_yaw", "facing the picture's left", legacy=True),
    _pose("legacy-pitch", "legacy_pitch", "looking up", legacy=True),
    chain_method(
        "face",
        "DFL 1.0",
        _STARTS + "the most similar landmarks",
        _points,
        None,
        "{:.0f} px",
        _POINTS_STEP,
    ),
    SortMethod(
        "face-dissim",
        "DFL 1.0",
        "the face whose landmarks differ most from those after it",
        (),
        _face_dissim,
    ),
    SortMethod(
        "hist-blur",
        "DFL 1.0",
        "the order of hist, cut at large steps; each piece sorted by sharpness",
        ("hist", "cpbd"),
        _hist_blur,
        drops=_SCORE_0,
        drops_strangers=True,
    ),
    _best(
        "final-legacy",
        "DFL 1.0",
        "like final, with the pose and sharpness of DFL 1.0",
        "cpbd_whole",
    ),
    _best("final-no-blur", "DFL 1.0", "like final-legacy, ignoring sharpness", None),
)
