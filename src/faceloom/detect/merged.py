"""Several detectors as one: the union of their detections, with one detection per face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from faceloom.detect.points import covered, overlap
from faceloom.detect.types import Detection, Detector, UInt8Image

# Least overlap, or share of the smaller box inside the other, of two detectors' boxes of one face:
# some boxes reach from brows to chin, others around the whole head.
_SAME = 0.4
_WITHIN = 0.75
# How much another detector's score closes the gap between a score and 1. Detectors make the same
# mistakes, so it is less than for independent ones.
_AGREEMENT = 0.5


@dataclass(slots=True)
class _Case:
    """One face: its best detection, and which detectors saw it."""

    best: Detection
    seen_by: set[int]
    score: float


class MergedDetector:
    """Runs all `detectors`.

    When several see the same face, the box with the best score remains, and each other detector
    raises its score. A detection's `detector` names the one that the box is from.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = tuple(detectors)

    @property
    def name(self) -> str:
        """The detectors' names, separated by commas."""
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
    """The face among `cases` that `find` shows; its own detector has not seen that one yet."""
    same = [case for case in cases if number not in case.seen_by and _same(case.best, find)]
    return max(same, key=lambda case: overlap(case.best.rect, find.rect), default=None)


def _same(a: Detection, b: Detection) -> bool:
    return overlap(a.rect, b.rect) >= _SAME or covered(a.rect, b.rect) >= _WITHIN
