"""Results as JSON: what `json` itself reads back, whatever the fields hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceloom.core.config import Settings
from faceloom.core.result import Result


class Chosen(Settings):
    folder: Path = Path("a/b")


@dataclass(frozen=True)
class Made(Result):
    path: Path
    rate: Fraction
    loss: float
    shape: tuple[int, int]
    points: np.ndarray
    chosen: Chosen = field(default_factory=Chosen)
    notes: list[str] = field(default_factory=list)


MADE = Made(Path("x.png"), Fraction(30000, 1001), float("nan"), (2, 3), np.eye(2, dtype="f4"))


def test_every_field_becomes_plain_json() -> None:
    assert json.loads(json.dumps(MADE.as_dict(), allow_nan=False)) == {
        "path": "x.png",
        "rate": "30000/1001",
        "loss": None,
        "shape": [2, 3],
        "points": [[1.0, 0.0], [0.0, 1.0]],
        "chosen": {"folder": "a/b"},
        "notes": [],
    }


def test_lines_leave_out_what_has_no_value() -> None:
    assert MADE.lines() == [
        "path: x.png",
        "rate: 30000/1001",
        "shape: 2, 3",
        "points: 1, 0, 0, 1",
        "chosen: folder a/b",
    ]
