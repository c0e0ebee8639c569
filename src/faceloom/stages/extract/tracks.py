"""Whose track a face is on: numbers by person, through cuts and absences, and who is kept.

The tracker numbers faces by place, and only as long as they are in sight. Here each of its tracks,
when it begins, is compared with the persons seen so far, by the identity of a few of its clearest
faces, and goes on with the number of the one that it is. That is decided before its first face is
written, and what was learned goes into the journal, so that a run that goes on decides alike.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from faceloom.core import FormatError
from faceloom.detect import FoundFace
from faceloom.detect.tracking.gaps import GAP_DETECTOR
from faceloom.identify import BLANK_LIMIT, Identifier, blankness
from faceloom.media import Frame
from faceloom.stages.extract.gallery import MOST_VECTORS, Gallery, Vector
from faceloom.stages.extract.window import Settled

Wanted = Callable[[Sequence[Vector]], bool]
"""Whether faces with these identities (of one person) are to be kept."""

SAME_TRACK = 0.40
"""Mean cosine above which a track goes on with a person's number: a little stricter than for a
pair of faces, for two persons on one number do more harm than one person on two. Of 800 pairs of
stretches of one person's clip (three faces each) none is below 0.49; of 14 600 pairs of different
persons' none is above 0.36."""
_FIRST_LOOKS = 3
_LATER_LOOKS = 5
_LEAST_SIDE_PX = 24.0
_CLEAR = 0.75


@dataclass(frozen=True, slots=True)
class Named:
    """A frame whose faces carry the numbers of their persons; only wanted ones."""

    frame: Frame
    faces: list[FoundFace]
    state: dict[str, Any]
    filled: int
    left_out: int
    learned: list[dict[str, Any]]


class TrackNamer:
    """Gives faces the numbers of persons: 0, 1, 2 … in the order of their first appearance.

    `learned` is what earlier runs learned, from the journal. Without an `identifier` tracks keep
    the tracker's numbers and nobody is left out. Raises `FormatError` for a damaged journal.
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
        self._persons: dict[int, int] = {}
        self._gallery = Gallery()
        self._begun: dict[int, tuple[Fraction, int]] = {}
        self._kept: dict[int, bool] = {}
        try:
            for item in learned:
                self._learn(item)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise FormatError(
                "the extraction's journal is damaged; --restart extracts anew"
            ) from None

    def name(self, settled: Settled) -> Named:
        """The frame's faces with their persons' numbers, those left out that are not wanted."""
        faces, learned = settled.faces, list[dict[str, Any]]()
        keep = [True] * len(faces)
        if self._identifier is not None:
            if any(face.track is not None for face in faces):
                learned = self._recognise(settled)
                keep = [self._kept.get(face.track or 0, True) for face in faces]
                faces = [replace(f, track=self._persons[f.track or 0]) for f in faces]
            elif self._wanted is not None:
                keep = [self._wanted([self._look(settled.frame, face)]) for face in faces]
        kept = [face for face, good in zip(faces, keep, strict=True) if good]
        shown = kept[: self._max_faces] if self._max_faces else kept
        filled = sum(face.detector == GAP_DETECTOR for face in shown)
        left_out = len(faces) - len(kept)
        return Named(settled.frame, shown, settled.state, filled, left_out, learned)

    def _recognise(self, settled: Settled) -> list[dict[str, Any]]:
        """Learn who the faces of this frame are; what was learned."""
        learned: list[dict[str, Any]] = []
        for track in sorted({face.track for face in settled.faces if face.track is not None}):
            if track not in self._persons:
                learned.append(self._meet(track, settled))
            else:
                learned += self._look_again(track, settled)
        # Two faces of one frame are two persons, whatever they look like: the newer track yields.
        taken: set[int] = set()
        for track in sorted({face.track for face in settled.faces if face.track is not None}):
            if self._persons[track] in taken:
                learned.append({"track": track, "number": len(self._gallery)})
                self._learn(learned[-1])
            taken.add(self._persons[track])
        return learned

    def _meet(self, track: int, settled: Settled) -> dict[str, Any]:
        """A track begins: is it somebody who was seen before?"""
        frames = [(settled.frame, settled.faces)]
        frames += [(found.frame, found.faces) for found in settled.ahead]
        beside = {
            other.track
            for _, faces in frames
            if any(face.track == track for face in faces)
            for other in faces
        }
        rivals = {self._persons[other] for other in beside if other in self._persons}
        vectors = [self._look(frame, face) for frame, face in _clearest(track, frames)]
        vectors = [vector for vector in vectors if blankness(vector)[0] <= BLANK_LIMIT]
        likeness = self._gallery.likeness(vectors)
        likeness[list(rivals)] = -1
        item: dict[str, Any] = {"track": track, "new": True}
        number = len(self._gallery)
        if number and likeness.max() >= SAME_TRACK:
            item["joined"], number = True, int(likeness.argmax())
        item["number"] = number
        item["time"] = str(settled.frame.time)
        item["vectors"] = [_to_text(vector) for vector in vectors]
        if self._wanted is not None:
            item["kept"] = self._wanted([*self._gallery.of(number), *vectors])
        self._learn(item)
        return item

    def _look_again(self, track: int, settled: Settled) -> list[dict[str, Any]]:
        """After 1, 4, 16 … seconds of a track one face more, once a clear one comes."""
        begun, looks = self._begun[track]
        if looks >= _LATER_LOOKS or settled.frame.time - begun < 4**looks:
            return []
        face = next(face for face in settled.faces if face.track == track)
        known = self._gallery.of(self._persons[track])
        if _clarity(face) < _CLEAR or len(known) >= MOST_VECTORS:
            return []
        vector = self._look(settled.frame, face)
        item: dict[str, Any] = {"track": track, "vectors": [_to_text(vector)]}
        if self._wanted is not None and not known:
            # Nothing could be told by the faces that it began with.
            item["kept"] = self._wanted([vector])
        self._learn(item)
        return [item]

    def _learn(self, item: dict[str, Any]) -> None:
        """Take over what an item of the journal says."""
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

    def _look(self, frame: Frame, face: FoundFace) -> Vector:
        assert self._identifier is not None, "nobody is asked for"
        image = np.asarray(frame.image, dtype=np.uint8)
        return self._identifier.embed(image, face.landmarks, pixel_aspect=self._aspect)


def _clearest(
    track: int, frames: Sequence[tuple[Frame, Sequence[FoundFace]]]
) -> list[tuple[Frame, FoundFace]]:
    """The clearest faces of a track, some frames apart; none where all are too small."""
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
    """How well a face shows who it is, about 0 to 1: frontal, large, sure."""
    nose = face.landmarks[30]
    left, right = (float(np.linalg.norm(face.landmarks[eye] - nose)) for eye in (36, 45))
    frontal = 1 - abs(left - right) / max(left + right, 1e-6)
    large = min(1.0, face.region.side_px / 1.5 / 100)
    sure = float(np.clip(face.presence / 15, 0, 1)) * (1.0 if face.score > 0 else 0.7)
    return (2 * frontal + large + sure) / 4


def _to_text(vector: Vector) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def _from_text(text: str) -> Vector:
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if vector.shape != (128,) or not np.isfinite(vector).all():
        raise ValueError("no identity")
    return vector
