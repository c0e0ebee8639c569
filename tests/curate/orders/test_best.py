"""Best faces: the objective by its formula, lazy greedy against plain greedy and the optimum."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError
from faceloom.curate.measures import EXPRESSIONS
from faceloom.curate.orders import SortContext, best, parse_keys, sort_faces
from faceloom.curate.orders.best import Problem, choose, looks, make_problem, qualities
from made_tables import made_table


def made_problem(n: int, m: int, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    points, wanted = rng.uniform(0, 4, (n, 3)), rng.uniform(0, 4, (m, 3))
    squares = ((points[:, None] - wanted[None]) ** 2).sum(2)
    weights = rng.random(m)
    return Problem(
        np.exp(-squares / 2).astype(np.float32),
        rng.uniform(0.1, 1, n).astype(np.float32),
        (weights / weights.sum()).astype(np.float32),
    )


def worth(problem: Problem, rows: tuple[int, ...] | list[int]) -> float:
    """F as it is written down."""
    return sum(
        weight * max((problem.quality[j] * problem.alike[j, i] for j in rows), default=0.0)
        for i, weight in enumerate(problem.weights.tolist())
    )


def test_value_is_the_formula():
    problem = made_problem(20, 15, 0)
    for rows in ([], [3], [0, 5, 19], list(range(20))):
        assert problem.value(rows) == pytest.approx(worth(problem, rows), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_lazy_greedy_is_greedy(seed):
    problem = made_problem(60, 40, seed)
    rows, gains = choose(problem, 12)
    taken: list[int] = []
    for place in range(12):
        now = worth(problem, taken)
        adds = [-1.0 if row in taken else worth(problem, [*taken, row]) - now for row in range(60)]
        assert adds[rows[place]] == pytest.approx(max(adds), abs=1e-6)
        assert gains[place] == pytest.approx(max(adds), abs=1e-6)
        taken.append(int(rows[place]))
    assert gains.sum() == pytest.approx(problem.value(rows), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_near_the_optimum(seed):
    problem = made_problem(14, 25, seed)
    found = problem.value(choose(problem, 4)[0])
    optimum = max(worth(problem, rows) for rows in combinations(range(14), 4))
    assert found >= (1 - 1 / np.e) * optimum
    assert found >= 0.95 * optimum


def test_fewer_are_the_first_of_more():
    problem = made_problem(80, 80, 1)
    assert choose(problem, 10)[0].tolist() == choose(problem, 40)[0].tolist()[:10]


def plain_faces(n: int, **columns: np.ndarray):
    """Faces that differ in nothing but what is given."""
    same = {
        "yaw_deg": np.zeros(n),
        "pitch_deg": np.zeros(n),
        "blendshapes": np.zeros((n, 52)),
        "gaze": np.zeros((n, 2)),
        "mouth_open": np.zeros(n),
        "eyes_closed": np.zeros(n),
        "light": np.zeros((n, 3)),
        "sharpness": np.full(n, 0.2),
        "source_size": np.full(n, 256.0),
        "occlusion": np.zeros(n),
    }
    return made_table(n, **{**same, **columns})


def test_a_rare_pose_is_taken_before_another_of_many_alike():
    yaw = np.concatenate([np.random.default_rng(0).normal(0, 1, 95), [60, 61, -60, 30, -30]])
    table = plain_faces(100, yaw_deg=yaw)
    rows, _ = choose(make_problem(table), 5)
    sides = sorted(yaw[rows].round().tolist())
    assert sides[0] == -60
    assert sides[1] == -30
    assert abs(sides[2]) < 4
    assert sides[3:] in ([30, 60], [30, 61])


def test_among_alike_ones_the_sharp_clear_large_one_is_taken():
    n = 30
    for column, values in (
        ("sharpness", np.linspace(0.1, 0.3, n)),
        ("source_size", np.linspace(60, 500, n)),
        ("occlusion", np.linspace(0.9, 0, n)),
    ):
        order = np.random.default_rng(1).permutation(n)
        table = plain_faces(n, **{column: values[order]})
        quality = qualities(table)
        assert 0 < quality.min() <= quality.max() <= 1
        first = int(choose(make_problem(table), 1)[0][0])
        assert quality[first] == quality.max()
        assert values[order][first] in values[-4:]


def test_expression_and_light_count_as_looks():
    n = 40
    light = np.zeros((n, 3))
    light[:3, 0] = 0.9
    mouth = np.zeros(n)
    mouth[3:6] = 1
    rows, _ = choose(make_problem(plain_faces(n, light=light, mouth_open=mouth)), 3)
    assert sorted((r < 3) + 2 * (3 <= r < 6) for r in rows.tolist()) == [0, 1, 2]


def test_looks_are_in_units_of_the_kernel():
    found = looks(
        plain_faces(2, yaw_deg=np.array([0, 8.0]), light=np.array([[0, 0, 0], [0, 0.35, 0]]))
    )
    assert found.shape == (2, 2 + len(EXPRESSIONS) + 3)
    assert (found[1] - found[0]).tolist() == pytest.approx([1, *[0] * 10, 1, 0])


def test_towards_another_faceset_takes_what_that_needs():
    src = plain_faces(90, yaw_deg=np.repeat([-40.0, 0, 40], 30) + np.linspace(0, 1, 90))
    dst = plain_faces(20, yaw_deg=np.full(20, 38.0))
    rows, _ = choose(make_problem(src, dst), 1)
    assert rows[0] >= 60
    own, _ = choose(make_problem(src), 3)
    assert sorted(row // 30 for row in own.tolist()) == [0, 1, 2]


def test_faces_that_were_not_measured_are_neither_lost_nor_preferred():
    shapes = np.zeros((50, 52))
    shapes[:10] = np.nan
    mouth = np.zeros(50)
    mouth[:10] = np.nan
    table = plain_faces(50, blendshapes=shapes, mouth_open=mouth)
    rows, _ = choose(make_problem(table), 50)
    assert sorted(rows.tolist()) == list(range(50))
    assert rows[0] >= 10


def test_many_looks_are_represented_by_some(monkeypatch):
    rng = np.random.default_rng(3)
    table = plain_faces(400, yaw_deg=rng.normal(0, 20, 400), pitch_deg=rng.normal(0, 15, 400))
    full = make_problem(table)
    monkeypatch.setattr(best, "_PAIRS", 400 * 100)
    thinned = make_problem(table)
    assert thinned.alike.shape[0] == 400
    assert 80 <= thinned.alike.shape[1] <= 100
    assert thinned.weights.sum() == pytest.approx(1, rel=1e-5)
    by_some, by_all = (full.value(choose(problem, 30)[0]) for problem in (thinned, full))
    assert by_some > 0.9 * by_all


def test_sorting_by_best_keeps_the_choice_and_tells_how_much_it_covers():
    table = made_table(300)
    found = sort_faces(table, parse_keys("best"), SortContext(count=40)).ordering
    problem = make_problem(table)
    assert found.rows.tolist() == choose(problem, 40)[0].tolist()
    assert len(found.trash) == 260
    share = 100 * problem.value(found.rows) / problem.value(np.arange(300))
    assert f"{share:.1f} %" in found.note


def test_with_a_reference_only_that_person_is_chosen():
    table = made_table(100)
    person = np.arange(100) % 3 == 0
    found = sort_faces(
        table,
        parse_keys("best"),
        SortContext(count=80, likeness=lambda v: np.where(person, 0.8, 0.1)),
    ).ordering
    assert sorted(found.rows.tolist()) == np.flatnonzero(person).tolist()


def test_a_choice_can_be_cancelled_and_needs_a_count():
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        choose(made_problem(10, 10, 0), 3, cancel=cancel)
    with pytest.raises(InputError, match="count"):
        sort_faces(made_table(3), parse_keys("best"), SortContext(count=0))
