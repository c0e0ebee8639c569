"""Several detectors as one: the union of their finds, and one of each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from faceloom.detect.points import covered, overlap
from faceloom.detect.types import Detection, Detector, UInt8Image

_SAME = 0.4
_WITHIN = 0.75
"""Least overlap, or share of the smaller box in the other, of two detectors' boxes of one face:
some box brows to chin, others the whole head."""
_AGREEMENT = 0.5
"""How much of what a score lacks to 1 another detector's score makes up for. Detectors err on the
same things, so it is less than if they were independent."""


@dataclass(slots=True)
class _Case:
    """One face: the best find of it, and who else saw it."""

    best: Detection
    seen_by: set[int]
    score: float


class MergedDetector:
    """Asks every one of `detectors`. Of a face that several see, the box of the best score stays,
    with a score that each other one raises; `detector` of a find names whose it is."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = tuple(detectors)

    @property
    def name(self) -> str:
        """The detectors' names with commas."""
        return ",".join(detector.name for detector in self._detectors)

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, best first. Thread-safe when the detectors are."""
        answers = [detector.detect(images) for detector in self._detectors]
        return [self._merge(finds) for finds in zip(*answers, strict=True)]

    def _merge(self, finds: Sequence[Sequence[Detection]]) -> list[Detection]:
        named = [
            (number, replace(find, detector=find.detector or self._detectors[number].name))
            for number, answer in enumerate(finds)
            for find in answer
        ]
        cases: list[_Case] = []
        for number, find in sorted(named, key=lambda item: -item[1].score):
            case = _case_of(find, number, cases)
            if case is None:
                cases.append(_Case(find, {number}, find.score))
                continue
            case.seen_by.add(number)
            case.score += (1 - case.score) * _AGREEMENT * find.score
        cases.sort(key=lambda case: -case.score)
        return [replace(case.best, score=case.score) for case in cases]


def _case_of(find: Detection, number: int, cases: Sequence[_Case]) -> _Case | None:
    """The face among `cases` that `find` shows, unless its own detector holds it for another."""
    same = [case for case in cases if number not in case.seen_by and _same(case.best, find)]
    return max(same, key=lambda case: overlap(case.best.rect, find.rect), default=None)


def _same(a: Detection, b: Detection) -> bool:
    return overlap(a.rect, b.rect) >= _SAME or covered(a.rect, b.rect) >= _WITHIN
