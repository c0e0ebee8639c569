"""DFL's best faces against a second implementation, written step by step from pipeline.md 4.3."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.curate.orders.final import final_selection
from made_tables import histograms


def slow_final(
    faces: list[dict[str, Any]], target: int, yaw_span: float, pitch_span: float, by_sharpness: bool
) -> list[int]:
    def spread(items: list[dict[str, Any]], key: str, count: int, span: float) -> list[list[dict]]:
        edges = [-span + 2 * span * g / (count - 1) if count > 1 else -span for g in range(count)]
        cells: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        for item in items:
            s = -item[key]
            for g in range(count):
                lower = g == 0 or edges[g] <= s
                upper = g == count - 1 or s < edges[g + 1]
                if lower and upper:
                    cells[g].append(item)
                    break
        return cells

    def unlike(item: dict[str, Any], others: list[dict[str, Any]]) -> float:
        return sum(
            cv2.compareHist(item["hist"], other["hist"], cv2.HISTCMP_BHATTACHARYYA)
            for other in others
            if other is not item
        )

    each = round(target / 128)
    yaws = spread(faces, "yaw", 128, yaw_span)
    each += sum(max(0, each - len(cell)) for cell in yaws) // 128
    chosen: list[int] = []
    for cell in yaws:
        if by_sharpness:
            cell = sorted(cell, key=lambda item: -item["sharpness"])[: 10 * each]
        pitches = [
            sorted(inside, key=lambda item: -unlike(item, inside))
            for inside in spread(cell, "pitch", each, pitch_span)
        ]
        taken: list[int] = []
        while len(taken) < each and any(pitches):
            for inside in pitches:
                if inside and len(taken) < each:
                    taken.append(inside.pop(0)["row"])
        chosen += taken
    return chosen


def made_faces(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    hist = histograms(rng, n, 1)
    yaw, pitch = rng.normal(0, 0.45, n), rng.normal(0.05, 0.25, n)
    yaw[:5] = [-1.2, 1.2, 0, 3.0, -3.0]
    sharp = rng.integers(0, 6, n) / 5
    return [
        {"row": k, "yaw": yaw[k], "pitch": pitch[k], "hist": hist[k], "sharpness": sharp[k]}
        for k in range(n)
    ]


@pytest.mark.parametrize(
    ("n", "target"), [(400, 128), (700, 300), (60, 200), (900, 65), (300, 191)]
)
@pytest.mark.parametrize(
    ("spans", "by_sharpness"), [((1.2, math.pi / 2), True), ((1.0, 1.0), True), ((1.0, 1.0), False)]
)
def test_the_same_faces_in_the_same_order(n, target, spans, by_sharpness):
    faces = made_faces(n, n + target)
    kept, trash = final_selection(
        yaw=[face["yaw"] for face in faces],
        pitch=[face["pitch"] for face in faces],
        histograms=[face["hist"] for face in faces],
        sharpness=[face["sharpness"] for face in faces] if by_sharpness else None,
        target=target,
        yaw_span=spans[0],
        pitch_span=spans[1],
    )
    assert kept.tolist() == slow_final(faces, target, *spans, by_sharpness)
    assert sorted([*kept.tolist(), *trash.tolist()]) == list(range(n))


def test_faces_that_could_not_be_measured_are_dropped():
    faces = made_faces(200, 3)
    yaw = np.array([face["yaw"] for face in faces])
    hist = np.stack([face["hist"] for face in faces])
    yaw[7] = np.nan
    hist[9] = np.nan
    kept, trash = final_selection(
        yaw=yaw, pitch=np.zeros(200), histograms=hist, sharpness=np.ones(200), target=2000
    )
    assert trash.tolist() == [7, 9]
    assert len(kept) == 198


def test_a_target_that_rounds_to_nothing_is_refused():
    """Python rounds 0.5 down: DFL would keep nothing at 64 too."""
    with pytest.raises(InputError, match="--by best"):
        final_selection(yaw=[0], pitch=[0], histograms=np.ones((1, 4)), sharpness=None, target=63)
