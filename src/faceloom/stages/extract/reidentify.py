"""Recognising people again: track numbers that stand for people across cuts and absences.

The tracker numbers faces by their place, and only as long as they are in sight. Here each of its
tracks, when it begins, is compared with the people seen so far by the identity of a few of its
clearest faces. If it is one of them, it continues with that person's number. This is decided before
the first face of the track is written, and what was learned goes into the journal, so that a
resumed run decides the same.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError
from faceloom.detect import FoundFace
from faceloom.detect.tracking.gaps import GAP_DETECTOR
from faceloom.identify import BLANK_LIMIT, Identifier, blankness
from faceloom.media import Frame
from faceloom.stages.extract.frame import ExtractedFrame

Vector = NDArray[np.float32]
Wanted = Callable[[Sequence[Vector]], bool]
"""Whether faces with these identity vectors (of one person) are to be kept."""

SAME_TRACK: Final = 0.40
"""Mean cosine above which a track continues with a person's number: a little stricter than for a
pair of faces, because two people under one number do more harm than one person under two. Of 800
pairs of segments of one person's clip (three faces each) none is below 0.49; of 14 600 pairs of
different people's segments none is above 0.36."""
MOST_VECTORS: Final = 24
"""Identity vectors kept per person."""
_LENGTH: Final = 128
_FIRST_ROWS: Final = 256
_FIRST_LOOKS = 3
_LATER_LOOKS = 5
_LEAST_SIDE_PX = 24.0
_CLEAR = 0.75


class Gallery:
    """Identity vectors of the people 0, 1, 2 … that an extraction has seen.

    They are kept in one table, because a film may have thousands of passers-by, and each new track
    is compared with all of them.
    """

    def __init__(self) -> None:
        self._rows: list[list[int]] = []
        self._table = np.zeros((_FIRST_ROWS, _LENGTH), np.float32)
        self._owner = np.zeros(_FIRST_ROWS, np.intp)
        self._used = 0

    def __len__(self) -> int:
        """How many people there are."""
        return len(self._rows)

    def add(self, person: int, vectors: Sequence[Vector]) -> None:
        """Keep unit vectors (128 each) of a known person or the next new one, up to
        `MOST_VECTORS` in all. Raises `ValueError` for a person beyond that."""
        if not 0 <= person <= len(self._rows):
            raise ValueError("people are numbered one after the other")
        if person == len(self._rows):
            self._rows.append([])
        rows = self._rows[person]
        for vector in vectors[: MOST_VECTORS - len(rows)]:
            if self._used == len(self._table):
                self._table = np.concatenate([self._table, np.zeros_like(self._table)])
                self._owner = np.concatenate([self._owner, np.zeros_like(self._owner)])
            self._table[self._used], self._owner[self._used] = vector, person
            rows.append(self._used)
            self._used += 1

    def of(self, person: int) -> list[Vector]:
        """The vectors kept of a person; empty for an unknown one."""
        return [] if person >= len(self._rows) else list(self._table[self._rows[person]])

    def similarities(self, vectors: Sequence[Vector]) -> NDArray[np.float32]:
        """For each person: the mean over `vectors` of the highest cosine with any of the person's
        vectors; -1 where either has none."""
        found = np.full((len(self._rows), max(1, len(vectors))), -1, np.float32)
        if len(vectors) and self._used:
            cosines = self._table[: self._used] @ np.stack(vectors).T
            np.maximum.at(found, self._owner[: self._used], cosines)
        return found.mean(axis=1)


class Reidentifier:
    """Numbers people 0, 1, 2 … in the order of their first appearance.

    `learned` is what earlier runs learned, from the journal. Without an `identifier` tracks keep
    the tracker's numbers, and nobody is left out. Raises `FormatError` for a damaged journal.
    """

    def __init__(
        self,
        identifier: Identifier | None,
        *,
        wanted: Wanted | None = None,
        max_faces: int = 0,
        pixel_aspect: float = 1.0,
        learned: Iterable[dict[str, Any]] = (),
    ) -> None:
        self._identifier, self._wanted = identifier, wanted
        self._max_faces, self._aspect = max_faces, pixel_aspect
        self._gallery = Gallery()
        # By the tracker's number: the person, the start and number of later looks, and whether
        # the track is wanted.
        self._persons: dict[int, int] = {}
        self._begun: dict[int, tuple[Fraction, int]] = {}
        self._kept: dict[int, bool] = {}
        try:
            for item in learned:
                self._learn(item)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise FormatError(
                "the journal of this extraction is damaged; start over with --restart"
            ) from None

    def number(self, item: ExtractedFrame, ahead: Sequence[ExtractedFrame] = ()) -> None:
        """Give `item.faces` the numbers of their people, and leave out those who are not wanted.

        `ahead` are the frames after it, as far as they are known.
        """
        faces = item.faces
        keep = [True] * len(faces)
        if self._identifier is not None:
            if any(face.track is not None for face in faces):
                item.learned = self._recognise(item, ahead)
                keep = [self._kept.get(face.track or 0, True) for face in faces]
                faces = [replace(f, track=self._persons[f.track or 0]) for f in faces]
            elif self._wanted is not None:
                keep = [self._wanted([self._embed(item.frame, face)]) for face in faces]
        kept = [face for face, good in zip(faces, keep, strict=True) if good]
        item.left_out = len(faces) - len(kept)
        item.faces = kept[: self._max_faces] if self._max_faces else kept
        item.filled = sum(face.detector == GAP_DETECTOR for face in item.faces)

    def _recognise(
        self, item: ExtractedFrame, ahead: Sequence[ExtractedFrame]
    ) -> list[dict[str, Any]]:
        """Learn who the faces of this frame are; return what was learned."""
        learned: list[dict[str, Any]] = []
        tracks = sorted({face.track for face in item.faces if face.track is not None})
        for track in tracks:
            if track not in self._persons:
                learned.append(self._begin(track, item, ahead))
            else:
                learned += self._look_again(track, item)
        # Two faces in one frame are two people, however alike: the newer track gets a new number.
        taken: set[int] = set()
        for track in tracks:
            if self._persons[track] in taken:
                learned.append({"track": track, "number": len(self._gallery)})
                self._learn(learned[-1])
            taken.add(self._persons[track])
        return learned

    def _begin(
        self, track: int, item: ExtractedFrame, ahead: Sequence[ExtractedFrame]
    ) -> dict[str, Any]:
        """A track begins: is it somebody who was seen before?"""
        frames = [(item.frame, item.faces), *((later.frame, later.found) for later in ahead)]
        companions = {
            other.track
            for _, faces in frames
            if any(face.track == track for face in faces)
            for other in faces
        }
        rivals = {self._persons[other] for other in companions if other in self._persons}
        vectors = [self._embed(frame, face) for frame, face in _clearest(track, frames)]
        vectors = [vector for vector in vectors if blankness(vector)[0] <= BLANK_LIMIT]
        similarities = self._gallery.similarities(vectors)
        similarities[list(rivals)] = -1
        learned: dict[str, Any] = {"track": track, "new": True}
        number = len(self._gallery)
        if number and similarities.max() >= SAME_TRACK:
            learned["joined"], number = True, int(similarities.argmax())
        learned["number"] = number
        learned["time"] = str(item.frame.time)
        learned["vectors"] = [_to_text(vector) for vector in vectors]
        if self._wanted is not None:
            learned["kept"] = self._wanted([*self._gallery.of(number), *vectors])
        self._learn(learned)
        return learned

    def _look_again(self, track: int, item: ExtractedFrame) -> list[dict[str, Any]]:
        """1, 4, 16 … seconds into a track, learn one more face as soon as a clear one comes."""
        begun, looks = self._begun[track]
        if looks >= _LATER_LOOKS or item.frame.time - begun < 4**looks:
            return []
        face = next(face for face in item.faces if face.track == track)
        known = self._gallery.of(self._persons[track])
        if _clarity(face) < _CLEAR or len(known) >= MOST_VECTORS:
            return []
        vector = self._embed(item.frame, face)
        learned: dict[str, Any] = {"track": track, "vectors": [_to_text(vector)]}
        if self._wanted is not None and not known:
            # The first faces of the track were too unclear to decide.
            learned["kept"] = self._wanted([vector])
        self._learn(learned)
        return [learned]

    def _learn(self, item: dict[str, Any]) -> None:
        """Apply what a journal line says about a track."""
        track = int(item["track"])
        if "number" in item:
            self._persons[track] = int(item["number"])
        if "time" in item:
            self._begun[track] = Fraction(item["time"]), 0
        elif "vectors" in item:
            begun, looks = self._begun[track]
            self._begun[track] = begun, looks + 1
        vectors = [_from_text(text) for text in item.get("vectors", ())]
        self._gallery.add(self._persons[track], vectors)
        if "kept" in item:
            self._kept[track] = bool(item["kept"])

    def _embed(self, frame: Frame, face: FoundFace) -> Vector:
        assert self._identifier is not None
        image = np.asarray(frame.image, dtype=np.uint8)
        return self._identifier.embed(image, face.landmarks, pixel_aspect=self._aspect)


def _clearest(
    track: int, frames: Sequence[tuple[Frame, Sequence[FoundFace]]]
) -> list[tuple[Frame, FoundFace]]:
    """The clearest faces of a track, some frames apart; none if all are too small."""
    seen = [
        (_clarity(face), -place, frame, face)
        for place, (frame, faces) in enumerate(frames)
        for face in faces
        if face.track == track and face.region.side_px >= 1.5 * _LEAST_SIDE_PX
    ]
    apart = max(2, len(frames) // (_FIRST_LOOKS + 1))
    chosen: list[tuple[float, int, Frame, FoundFace]] = []
    for item in sorted(seen, key=lambda item: item[:2], reverse=True):
        if len(chosen) < _FIRST_LOOKS and all(abs(item[1] - o[1]) >= apart for o in chosen):
            chosen.append(item)
    return [(frame, face) for _, _, frame, face in chosen]


def _clarity(face: FoundFace) -> float:
    """How well a face shows who it is, about 0 to 1: frontal, large and detected with certainty."""
    nose = face.landmarks[30]
    left, right = (float(np.linalg.norm(face.landmarks[eye] - nose)) for eye in (36, 45))
    frontal = 1 - abs(left - right) / max(left + right, 1e-6)
    large = min(1.0, face.region.side_px / 1.5 / 100)
    certain = float(np.clip(face.presence / 15, 0, 1)) * (1.0 if face.score > 0 else 0.7)
    return (2 * frontal + large + certain) / 4


def _to_text(vector: Vector) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def _from_text(text: str) -> Vector:
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if vector.shape != (_LENGTH,) or not np.isfinite(vector).all():
        raise ValueError("not an identity vector")
    return vector
