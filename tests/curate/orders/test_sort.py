"""Every sort method on made-up tables: its order, its ties, its trash, and groups."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from faceloom.core import InputError, UsageError
from faceloom.curate.measures.blendshapes import blendshape_columns
from faceloom.curate.orders.method import Grouping, Ordering, SortContext
from faceloom.curate.orders.sort import (
    METHODS,
    columns_needed,
    parse_keys,
    refuse_unused,
    sort_faces,
)
from faceloom.curate.table import FaceTable
from faceloom.geometry import BLENDSHAPES
from made_tables import made_record, made_table

N = 200


def ordering(table: FaceTable, by: str, *, reverse: bool = False, **context: Any) -> Ordering:
    return sort_faces(table, parse_keys(by), SortContext(**context), reverse=reverse).ordering


def is_partition(result: Ordering, n: int) -> bool:
    every = [*result.rows.tolist(), *result.unknown.tolist(), *result.trash.tolist()]
    return sorted(every) == list(range(n)) and len(result.values) == n


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_keeps_every_row_once_with_just_its_columns(method):
    table = made_table(N)
    keys = parse_keys(method.name)
    people = Grouping(np.arange(N) % 3 - 1, lambda label: f"p{label}")
    context = SortContext(count=130, groupings={"person": people})
    found = sort_faces(table, keys, context).ordering
    assert is_partition(found, N)
    lean = FaceTable(
        table.folder,
        table.paths,
        table.records,
        {name: table.columns[name] for name in columns_needed(keys)},
    )
    assert sort_faces(lean, keys, context).ordering.rows.tolist() == found.rows.tolist()


@pytest.mark.parametrize(
    ("by", "column", "high_first"),
    [
        ("blur", "cpbd", True),
        ("motion-blur", "motion_blur", True),
        ("face-yaw", "dfl_yaw", True),
        ("yaw", "dfl_yaw", True),
        ("pitch", "dfl_pitch", True),
        ("rect", "rect_area", True),
        ("brightness", "brightness", True),
        ("hue", "hue", True),
        ("black", "black", False),
        ("blur-whole", "cpbd_whole", True),
        ("legacy-yaw", "legacy_yaw", True),
        ("legacy-pitch", "legacy_pitch", True),
        ("sharpness", "sharpness", True),
        ("head-yaw", "yaw_deg", True),
        ("head-pitch", "pitch_deg", True),
        ("head-roll", "roll_deg", True),
        ("mouth-open", "mouth_open", True),
        ("eyes-closed", "eyes_closed", True),
        ("occlusion", "occlusion", False),
        ("score", "score", True),
        ("presence", "presence", True),
        ("size", "source_size", True),
        ("frame", "frame", False),
        ("track", "track", False),
    ],
)
def test_sorts_by_a_number_with_ties_by_name(by, column, high_first):
    rng = np.random.default_rng(1)
    values = rng.integers(1, 40, N).astype(np.float64)
    values[[3, 90]] = np.nan
    table = made_table(N, **{column: values})
    known = [k for k in range(N) if k not in (3, 90)]
    expected = sorted(known, key=lambda k: ((-1 if high_first else 1) * values[k], k))
    found = ordering(table, by)
    assert found.rows.tolist() == expected
    assert found.unknown.tolist() == [3, 90]
    assert len(found.trash) == 0
    backwards = ordering(table, by, reverse=True)
    assert backwards.rows.tolist() == expected[::-1]
    assert backwards.unknown.tolist() == [3, 90]


@pytest.mark.parametrize(
    ("by", "column"), [("blur", "cpbd"), ("motion-blur", "motion_blur"), ("hist-blur", "cpbd")]
)
def test_a_score_of_exactly_zero_is_trash(by, column):
    values = np.linspace(0.5, 1, N)
    values[[0, 17, 199]] = [0, 0, 1e-12]
    found = ordering(made_table(N, **{column: values}), by)
    assert found.trash.tolist() == [0, 17]
    assert is_partition(found, N)


def test_vectors_sort_by_their_parts():
    table = made_table(N)
    gaze, light = table.column("gaze"), table.column("light")
    assert ordering(table, "gaze").rows.tolist() == np.argsort(gaze[:, 0]).tolist()
    assert ordering(table, "gaze-pitch").rows.tolist() == np.argsort(gaze[:, 1]).tolist()
    away = np.hypot(gaze[:, 0], gaze[:, 1])
    assert ordering(table, "gaze-straight").rows.tolist() == np.argsort(away).tolist()
    assert ordering(table, "light").rows.tolist() == np.argsort(light[:, 0]).tolist()


def test_one_expression_by_name():
    table = made_table(N)
    shapes = table.column("blendshapes")
    assert (
        ordering(table, "expression:jawOpen").rows.tolist() == np.argsort(-shapes[:, 25]).tolist()
    )
    smile = -(shapes[:, 44].astype(np.float64) + shapes[:, 45])
    assert ordering(table, "expression:mouthsmile").rows.tolist() == np.argsort(smile).tolist()
    assert len(BLENDSHAPES) == 52
    assert [BLENDSHAPES[k] for k in (1, 9, 22, 25, 32, 38, 51)] == [
        "browDownLeft",
        "eyeBlinkLeft",
        "eyeWideRight",
        "jawOpen",
        "mouthFunnel",
        "mouthPucker",
        "noseSneerRight",
    ]
    with pytest.raises(InputError, match="mouthSmile"):
        blendshape_columns("mouthsmiley")


def test_names_frames_and_times():
    table = made_table(N)
    names = [record.source_filename for record in table.records]
    found = ordering(table, "origname").rows
    assert [names[k] for k in found] == sorted(names)
    rng = np.random.default_rng(0)
    times = [Fraction(int(t), 30) for t in rng.permutation(N)]
    records = [made_record(k, rng, time=times[k]) for k in range(N)]
    records[4] = made_record(4, rng)
    timed = FaceTable(table.folder, table.paths, tuple(records), {})
    found = ordering(timed, "time")
    assert found.unknown.tolist() == [4]
    in_order = [times[k] for k in found.rows]
    assert in_order == sorted(in_order)


def test_one_face_goes_by_the_frames_that_faces_name():
    """Not by file names, which in a mixed folder would throw out the wrong ones (oddity 20)."""
    rng = np.random.default_rng(0)
    sources = ["a.png", "b.png", "a.png", "c.png", "", "", "b.jpg"]
    records = []
    for k, source in enumerate(sources):
        record = made_record(k, rng)
        object.__setattr__(record, "source_filename", source)
        records.append(record)
    base = made_table(7)
    table = FaceTable(base.folder, base.paths, tuple(records), {})
    found = ordering(table, "oneface")
    assert found.rows.tolist() == [3, 4, 5]
    assert found.trash.tolist() == [0, 1, 2, 6]


def test_identity_with_a_reference_and_without():
    rng = np.random.default_rng(2)
    anna, ben = np.linalg.qr(rng.normal(0, 1, (128, 2)))[0].T
    person = np.array([0] * 150 + [1] * 50)[rng.permutation(N)]
    vectors = np.where(person[:, None] == 0, anna, ben) + rng.normal(0, 0.04, (N, 128))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[8] = np.nan
    table = made_table(N, embedding=vectors)
    found = ordering(table, "identity", likeness=lambda v: v @ ben)
    alike = (vectors @ ben).astype(np.float64)
    alike[8] = -9
    assert found.rows.tolist() == np.argsort(-alike, kind="stable")[:-1].tolist()
    assert found.unknown.tolist() == [8]
    chained = person[ordering(table, "vggface").rows]
    assert np.count_nonzero(np.diff(chained)) == 1
    strangers = ordering(table, "outliers").rows[
        : (person[vectors[:, 0] == vectors[:, 0]] == 1).sum()
    ]
    assert (person[strangers] == 1).all()
    grouped = sort_faces(table, parse_keys("identity,score"), SortContext())
    assert [name for name, _ in grouped.groups] == [
        "identity: person 1",
        "identity: person 2",
        "identity: unknown",
    ]
    sizes = [size for _, size in grouped.groups]
    assert sum(sizes) == N
    assert sizes[0] == ((person == 0) & np.isfinite(vectors[:, 0])).sum()


def test_groups_of_yaw_are_ten_degrees_and_ordered_inside():
    rng = np.random.default_rng(3)
    yaw = rng.uniform(-50, 50, N)
    yaw[5] = np.nan
    sharp = rng.random(N)
    table = made_table(N, yaw_deg=yaw, sharpness=sharp)
    found = sort_faces(table, parse_keys("yaw,sharpness"), SortContext())
    rows = found.ordering.rows
    cells = np.floor((yaw + 5) / 10)
    expected = [*sorted((k for k in range(N) if k != 5), key=lambda k: (-cells[k], -sharp[k])), 5]
    assert rows.tolist() == expected
    assert found.groups[0][0] == "face-yaw: around 50° left"
    assert found.groups[-1] == ("face-yaw: unknown", 1)
    assert ("face-yaw: around 20° right", (cells == -2).sum()) in found.groups
    backwards = sort_faces(table, parse_keys("yaw,sharpness"), SortContext(), reverse=True)
    assert backwards.ordering.rows.tolist() == [*expected[-2::-1], 5]
    assert backwards.groups[-1] == ("face-yaw: unknown", 1)
    assert backwards.groups[:-1] == found.groups[-2::-1]


def test_unknown_groups_stay_behind_in_groups_of_groups():
    track = np.array([0, 0, 0, 0, 1, 1, np.nan, np.nan])
    yaw = np.array([40, np.nan, 40, -40, 0, np.nan, 0, np.nan])
    table = made_table(8, track=track, yaw_deg=yaw)
    assert ordering(table, "track,yaw,frame").rows.tolist() == [0, 2, 3, 1, 4, 5, 6, 7]
    turned = ordering(table, "track,yaw,frame", reverse=True).rows.tolist()
    assert turned == [4, 5, 3, 2, 0, 1, 6, 7]


def test_groups_in_groups():
    rng = np.random.default_rng(5)
    track, bright = rng.integers(0, 3, N), rng.uniform(0, 255, N)
    table = made_table(N, track=track * 1.0, brightness=bright)
    rows = ordering(table, "track,brightness,frame").rows
    frame = table.column("frame")
    assert (np.diff(track[rows]) >= 0).all()
    for one in range(3):
        inside = rows[track[rows] == one]
        edges = np.quantile(bright[track == one], np.arange(1, 8) / 8)
        eighth = -np.searchsorted(edges, bright[inside])
        assert sorted(inside, key=lambda k: (-np.searchsorted(edges, bright[k]), frame[k])) == (
            inside.tolist()
        )
        sizes = np.unique(eighth, return_counts=True)[1]
        assert len(sizes) == 8
        assert np.ptp(sizes) <= 2


def test_a_count_is_shared_out_by_the_groups():
    track = np.repeat([0.0, 1.0, 2.0], [100, 60, 40])
    found = sort_faces(made_table(N, track=track), parse_keys("track,best"), SortContext(count=50))
    assert [size for _, size in found.groups] == [25, 15, 10]
    assert len(found.ordering.trash) == 150


def test_trash_of_groups_is_that_of_the_table():
    sharp = np.linspace(0, 1, N)
    table = made_table(N, cpbd=sharp)
    found = ordering(table, "track,blur")
    assert found.trash.tolist() == [0]
    assert is_partition(found, N)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("sharp", "unknown sort method 'sharp'; did you mean 'sharpness'"),
        ("yaw:3,blur", "no argument after a colon"),
        ("final,blur", "cannot group faces"),
        ("", "unknown sort method ''"),
    ],
)
def test_wrong_words(by, message):
    with pytest.raises(InputError, match=message):
        parse_keys(by)


def test_options_that_would_do_nothing_are_refused():
    for by in ("best", "final", "final-fast", "yaw,best"):
        refuse_unused(parse_keys(by), ["count"])
    for by in ("identity", "outliers", "best", "identity,blur"):
        refuse_unused(parse_keys(by), ["reference"])
    refuse_unused(parse_keys("blur"), [])
    with pytest.raises(UsageError, match=r"--count has no effect with --by face-yaw; .* best"):
        refuse_unused(parse_keys("yaw"), ["count"])
    with pytest.raises(
        UsageError, match=r"--towards has no effect with --by final; it is for best"
    ):
        refuse_unused(parse_keys("final"), ["towards"])
    with pytest.raises(UsageError, match=r"--reference has no effect .* identity, outliers, best"):
        refuse_unused(parse_keys("person,blur"), ["reference"])


def test_a_person_that_nobody_named():
    with pytest.raises(InputError, match="no people to sort by"):
        ordering(made_table(5), "person")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_face_and_one_face(method):
    for n in (0, 1):
        table = made_table(n) if n else made_table(2).take(np.empty(0, np.intp))
        people = Grouping(np.zeros(n, np.int64), str)
        found = ordering(table, method.name, count=100, groupings={"person": people})
        assert is_partition(found, n)
