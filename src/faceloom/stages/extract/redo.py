"""Extracting chosen frames of a finished extraction again.

The frames are those whose debug picture was deleted (the faces are bad: they move to
`aligned_redone`, and the frame is extracted from scratch), those of which a face was deleted (what
is missing is written), or those in which no face was found. Existing faces are never overwritten,
and nothing comes back that was not asked for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from faceloom.core import InputError
from faceloom.core.config import validate
from faceloom.core.paths import list_images, sweep_temporary
from faceloom.core.pool import one_opencv_thread
from faceloom.core.words import counted
from faceloom.detect import FoundFace
from faceloom.detect.points import bounds, overlap
from faceloom.detect.types import Points, Rect
from faceloom.faces import FaceRecord, Faceset
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.folders import COPIES
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.media import Footage, Frame
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.extraction import Extraction
from faceloom.stages.extract.journal import Done, Journal, locked, read_journal
from faceloom.stages.extract.pipeline import decode, detect, track
from faceloom.stages.extract.reidentify import Reidentifier
from faceloom.stages.extract.result import ExtractResult
from faceloom.workspace import sibling

# Between two wanted frames, up to so many frames are decoded rather than skipped by seeking.
_SEEK: Final = 12
# Settings that are inherited from the extraction unless others are given.
_INHERITED: Final = (
    *("face_type", "image_size", "format", "jpeg_quality", "max_faces", "who", "tracking"),
    *("detector", "landmarker", "min_face_px", "turns", "detector_size"),
)
# Overlap from which two faces in a frame are the same one.
_SAME: Final = 0.35


def redo(extraction: Extraction) -> ExtractResult:
    """Extract the frames that `config.redo` chooses again.

    Raises as `extract.run`, and `InputError` if there is no finished extraction or nothing to
    choose frames by.
    """
    folder, config = extraction.folder, extraction.config
    if not folder.is_dir():
        raise InputError(_unfinished(extraction))
    # The lock keeps other processes from writing, since reading the journal repairs what a kill
    # left. It is released in between because moving faces takes the same lock.
    with locked(folder):
        done = _finished_journal(extraction).done
        config = _inherit(config, done)
        how = _how(config)
        # People are told apart by the faces around them in time, not by identity.
        debug = config.debug or config.redo == "debug"
        extraction.config = config.model_copy(update={"join": False, "debug": debug})
        extraction.check_redo(done)
        _ = extraction.tools
        faces = FacesByFrame(folder)
        chosen = [i for i in _choose(extraction, done, faces) if done.redone.get(i) != how]
    moved = _move_aside(extraction, chosen, faces) if config.redo == "debug" else 0
    with locked(folder):
        sweep_temporary(folder)
        extraction.journal = _finished_journal(extraction)
        extraction.progress.note(
            f"extracting {counted(len(chosen), 'frame')} of {extraction.footage.info.path} again"
        )
        started = time.perf_counter()
        added = _extract_again(extraction, chosen, faces, how)
        seconds = time.perf_counter() - started
        result = extraction.result(len(chosen), seconds, losses=extraction.losses)
        frames = extraction.journal.done.frames
        return replace(result, resumed_at=frames, redone=len(chosen), added=added, moved=moved)


def _finished_journal(extraction: Extraction) -> Journal:
    journal = read_journal(extraction.folder)
    if journal is None or not journal.done.finished:
        raise InputError(_unfinished(extraction))
    return journal


def _unfinished(extraction: Extraction) -> str:
    return (
        f"{extraction.folder}: no finished extraction, so no frames to extract again; finish "
        f"`faceloom extract {extraction.config.side}` first"
    )


def _inherit(config: ExtractConfig, done: Done) -> ExtractConfig:
    """The settings, with the extraction's own in place of defaults."""
    before = done.header.get("settings", {})
    fields = ExtractConfig.model_fields
    taken: dict[str, Any] = {
        key: before[key]
        for key in _INHERITED
        if key in before and getattr(config, key) == fields[key].default
    }
    # The size suits a detector, and several detectors have several sizes.
    other = before.get("detector") != taken.get("detector", config.detector)
    if other or not isinstance(taken.get("detector_size"), int):
        taken.pop("detector_size", None)
    if "tracking" in taken:
        taken["tracking"] = "on" if taken["tracking"] else "off"
    values = {**config.model_dump(), **taken}
    return validate(ExtractConfig, values, where="settings of the extraction")


def _how(config: ExtractConfig) -> str:
    """A digest of what a repeat does, so that one that was stopped can be resumed."""
    exclude = {"workspace", "threads", "device"}
    text = json.dumps(config.model_dump(mode="json", exclude=exclude))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _choose(extraction: Extraction, done: Done, faces: FacesByFrame) -> list[int]:
    """Indices of the frames to extract again, in order."""
    footage, choice = extraction.footage, extraction.config.redo
    if choice == "debug":
        folder = extraction.debug_folder
        kept = {path.stem for path in list_images(folder)} if folder.is_dir() else set[str]()
        if not kept:
            raise InputError(f"{folder}: no debug pictures; extract with --debug first")
        frames = sorted(done.counts) or range(done.next_index)
        return [i for i in frames if PurePath(footage.name_of(i)).stem not in kept]
    stems = {i: PurePath(footage.name_of(i)).stem for i in range(len(footage))}
    counts = done.counts or _count_faces(extraction.folder, done, stems, faces)
    number = {i: faces.count(stems[i]) for i in counts if i in stems}
    if choice == "faces":
        return sorted(i for i, has in number.items() if has < counts[i])
    return sorted(i for i, has in number.items() if counts[i] == 0 and has == 0)


def _count_faces(
    folder: Path, done: Done, stems: dict[int, str], faces: FacesByFrame
) -> dict[int, int]:
    """Faces of each frame, for a journal that did not store them: only if none can be missing."""
    counts = {i: faces.count(stem) for i, stem in stems.items() if i < done.next_index}
    if len(counts) != done.frames or sum(counts.values()) != done.faces:
        raise InputError(
            f"{folder}: an earlier version of Faceloom extracted these faces and did not store how "
            "many each frame had, and some were deleted since; start over with --restart"
        )
    return counts


def _move_aside(extraction: Extraction, chosen: Iterable[int], faces: FacesByFrame) -> int:
    """Move the faces of the chosen frames to `aligned_redone`; return how many."""
    stems = [PurePath(extraction.footage.name_of(index)).stem for index in chosen]
    paths = [path for stem in stems for path in faces.forget(stem)]
    if not paths:
        return 0
    target = sibling(extraction.folder, "redone")
    moves = [Move(path, target / path.name) for path in paths]
    label, progress = "extract --redo debug", extraction.progress
    return move_faces(extraction.folder, moves, label=label, progress=progress).moved


def _extract_again(
    extraction: Extraction, chosen: Sequence[int], faces: FacesByFrame, how: str
) -> int:
    """Write what is missing in every chosen frame, in order; return the number of faces added."""
    config, journal, progress = extraction.config, extraction.journal, extraction.progress
    reidentifier = Reidentifier(
        extraction.tools.identifier,
        wanted=extraction.tools.wanted,
        max_faces=config.max_faces,
        pixel_aspect=extraction.footage.info.pixel_aspect,
    )
    neighbours = NeighbourTracks(faces.records()) if extraction.tracking else None
    taken = {path.stem for path in list_images(extraction.folder)}
    decoded = decode(extraction, _frames(extraction.footage, chosen))
    items = track(extraction, detect(extraction, decoded))
    progress.start(f"redo {config.side}", len(chosen), "frames")
    added = 0
    with one_opencv_thread(), journal, closing(items):
        for item in items:
            with extraction.times.measure("write"):
                item.faces = list(item.found)
                reidentifier.number(item)
                here = faces.here(item.stem)
                known = [*here, *faces.aside(item.stem)]
                new = [face for face in item.faces if not _is_among(face.landmarks, known)]
                if neighbours is not None:
                    new = neighbours.number(item.frame, new, known)
                written = extraction.writer.write(item.frame, new, present=here, taken=taken)
                if neighbours is not None:
                    neighbours.learn(written)
            added += len(written)
            index = item.frame.index
            least = journal.done.counts.get(index, 0) if config.redo == "faces" else 0
            journal.add_again(index, max(len(known) + len(written), least), how)
            progress.advance()
            progress.metric(added=str(added))
            if extraction.cancel.is_set:
                break
        extraction.cancel.check()
        journal.finish()
    progress.finish()
    return added


def _frames(footage: Footage, chosen: Sequence[int]) -> Iterator[Frame]:
    """The chosen frames; those that are near each other are decoded in one go."""
    wanted, first = set(chosen), 0
    for number, index in enumerate(chosen):
        if number + 1 < len(chosen) and chosen[number + 1] - index <= _SEEK:
            continue
        for frame in footage.frames(chosen[first], index + 1):
            if frame.index in wanted:
                yield frame
        first = number + 1


def _is_among(landmarks: Points, records: Iterable[FaceRecord]) -> bool:
    """Whether the face with these landmarks is one of `records`."""
    box = bounds(landmarks)
    return any(overlap(box, bounds(record.source_landmarks)) >= _SAME for record in records)


class FacesByFrame:
    """Faces by the stem of their frame: in the faceset, or moved to a folder next to it.

    Raises `InputError` for a packed faceset.
    """

    def __init__(self, folder: Path) -> None:
        if folder_pack(folder) is not None:
            raise InputError(f"{folder}: packed; unpack it with `faceloom faceset unpack` first")
        self._here: dict[str, list[tuple[Path, FaceRecord]]] = {}
        for path, record in Faceset(folder):
            self._here.setdefault(record.source_stem, []).append((path, record))
        self._aside: dict[str, list[FaceRecord]] = {}
        for other in _folders_beside(folder):
            for _, record in Faceset(other, use_index=False):
                stem = record.source_stem
                known = [*self.here(stem), *self.aside(stem)]
                if not _is_among(record.source_landmarks, known):
                    self._aside.setdefault(stem, []).append(record)

    def here(self, stem: str) -> list[FaceRecord]:
        """Faces of a frame in the faceset."""
        return [record for _, record in self._here.get(stem, ())]

    def aside(self, stem: str) -> list[FaceRecord]:
        """Faces of a frame that are only in a folder next to the faceset."""
        return list(self._aside.get(stem, ()))

    def count(self, stem: str) -> int:
        """Faces of a frame that are not missing."""
        return len(self._here.get(stem, ())) + len(self._aside.get(stem, ()))

    def records(self) -> Iterator[FaceRecord]:
        """All faces."""
        for faces in self._here.values():
            yield from (record for _, record in faces)
        for records in self._aside.values():
            yield from records

    def forget(self, stem: str) -> list[Path]:
        """Treat a frame as one without faces; returns the files it has in the faceset."""
        self._aside.pop(stem, None)
        return [path for path, _ in self._here.pop(stem, ())]


def _folders_beside(folder: Path) -> list[Path]:
    """Folders next to a faceset into which its faces were moved, and the folders in them."""
    resolved = folder.resolve()
    found: list[Path] = []
    for other in sorted(resolved.parent.glob(f"{escape(resolved.name)}_*")):
        ending = other.name.removeprefix(f"{resolved.name}_")
        if other.is_dir() and ending.rstrip("0123456789") not in COPIES:
            found += [other, *sorted(path for path in other.iterdir() if path.is_dir())]
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where a face of a track was."""

    track: int
    time_s: float
    rect: Rect

    def distance(self, after: _Seen) -> float | None:
        """How far the face moved, in face sizes; None if it cannot be the same one."""
        size, later = _size(self.rect), _size(after.rect)
        growth = later / max(size, 1e-6)
        if not 1 / NeighbourTracks.MAX_GROWTH < growth < NeighbourTracks.MAX_GROWTH:
            return None
        moved = float(np.hypot(*np.subtract(_centre(after.rect), _centre(self.rect))))
        largest = max(size, later)
        return moved / largest if moved < NeighbourTracks.MAX_MOVE * largest else None


def _size(rect: Rect) -> float:
    return max(rect[2] - rect[0], rect[3] - rect[1])


def _centre(rect: Rect) -> tuple[float, float]:
    return (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2


class NeighbourTracks:
    """Track numbers for faces that were extracted again: those of the faces around them in time."""

    MAX_MOVE: Final = 0.6
    """How far a face may have moved, in face sizes, as in `Tracker`."""
    MAX_GROWTH: Final = 1.7
    """By how much it may have grown or shrunk."""
    MAX_TIME_S: Final = 0.5
    MAX_FRAMES: Final = 16

    def __init__(self, records: Iterable[FaceRecord]) -> None:
        self._frames: dict[int, list[_Seen]] = {}
        self._next = 0
        self.learn(records)

    def learn(self, records: Iterable[FaceRecord]) -> None:
        """Add faces that are in the faceset now."""
        for record in records:
            own = record.own
            if own is None or own.track is None or own.frame_index is None or own.time is None:
                continue
            seen = _Seen(own.track, float(own.time), bounds(record.source_landmarks))
            self._frames.setdefault(own.frame_index, []).append(seen)
            self._next = max(self._next, own.track + 1)

    def number(
        self, frame: Frame, faces: Sequence[FoundFace], known: Iterable[FaceRecord]
    ) -> list[FoundFace]:
        """`faces` with track numbers that no face `known` in the frame has.

        A face that continues none of the faces around it starts a new track.
        """
        taken = {record.own.track for record in known if record.own is not None}
        pairs: list[tuple[float, float, int, int]] = []
        for number, face in enumerate(faces):
            here = _Seen(-1, float(frame.time), bounds(face.landmarks))
            for seen in self._around(frame):
                distance = seen.distance(here)
                if distance is not None:
                    pairs.append((abs(seen.time_s - here.time_s), distance, number, seen.track))
        tracks: dict[int, int] = {}
        for _, _, number, known_track in sorted(pairs):
            if number not in tracks and known_track not in taken:
                tracks[number] = known_track
                taken.add(known_track)
        for number in range(len(faces)):
            if number not in tracks:
                tracks[number] = self._next
                self._next += 1
        return [replace(face, track=tracks[number]) for number, face in enumerate(faces)]

    def _around(self, frame: Frame) -> list[_Seen]:
        near = range(frame.index - self.MAX_FRAMES, frame.index + self.MAX_FRAMES + 1)
        return [
            seen
            for index in near
            if index != frame.index
            for seen in self._frames.get(index, ())
            if abs(seen.time_s - float(frame.time)) <= self.MAX_TIME_S
        ]
