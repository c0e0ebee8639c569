"""Extracting chosen frames of a finished extraction once more.

Which: those whose debug picture was deleted (its faces are bad: they move to `aligned_redone`,
and the frame is done anew), those of which a face was deleted (what is missing is written), or
those in which no face was found. Faces that are there are never written over, and nothing comes
back that was not asked for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from faceloom.core import Cancel, InputError, Progress
from faceloom.core.config import validate
from faceloom.core.paths import list_images, sweep_temporary
from faceloom.detect import FoundFace
from faceloom.detect.points import bounds
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.media import Footage, Frame
from faceloom.stages.extract.begin import check_redo, follows
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.faces import FaceWriter
from faceloom.stages.extract.journal import Done, Journal, locked, read_journal
from faceloom.stages.extract.neighbours import Neighbours
from faceloom.stages.extract.pipeline import BusyTimes, found_frames, opencv_threads
from faceloom.stages.extract.present import Present, is_among
from faceloom.stages.extract.tools import Tools, open_tools, open_writer
from faceloom.stages.extract.tracks import TrackNamer
from faceloom.stages.extract.window import Settled
from faceloom.workspace.faceset import beside
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace

_SEEK = 12
"""Frames between two wanted ones that are rather decoded than leapt over."""
_OF_FACES = ("face_type", "image_size", "format", "jpeg_quality", "max_faces", "who", "tracking")
_OF_FINDING = ("detector", "landmarker", "min_face_px", "turns", "detector_size")
"""Settings that are those of the extraction unless others are given."""


@dataclass
class Redone:
    """What a repeat did."""

    journal: Journal
    again: int
    """Frames that were looked at again."""
    added: int
    """Faces that were written."""
    moved: int
    """Faces that were moved aside."""
    seconds: float
    times: BusyTimes
    losses: list[str]


def redo(config: ExtractConfig, *, progress: Progress, cancel: Cancel) -> Redone:
    """Extract the frames that `config.redo` chooses once more. Raises as `extract.run`, and
    `InputError` when there is no finished extraction or nothing to choose by."""
    workspace = Workspace.open(config.workspace)
    footage = open_side(workspace, config.side)
    folder = workspace.aligned(config.side)
    if not folder.is_dir():
        raise InputError(_unfinished(folder, config))
    # Nobody else may write meanwhile: reading the journal mends what a kill left of it. But moving
    # faces asks for the same lock.
    with locked(folder):
        journal = _finished(folder, config)
        config = _inherit(config, journal.done)
        check_redo(folder, config, footage, journal.done)
        # Tracks are told by the faces around, not by identity.
        tools = open_tools(config.model_copy(update={"join": False}), workspace, footage, progress)
        there = Present(folder)
        how = _how(config)
        chosen = _choose(config, workspace, footage, journal.done, there)
        chosen = [index for index in chosen if journal.done.redone.get(index) != how]
    moved = _clear(folder, config, footage, chosen, there, progress)
    with locked(folder):
        sweep_temporary(folder)
        run = _Run(config, workspace, footage, tools, _finished(folder, config), there)
        return run.all(chosen, how, moved, progress, cancel)


def _finished(folder: Path, config: ExtractConfig) -> Journal:
    journal = read_journal(folder)
    if journal is None or not journal.done.finished:
        raise InputError(_unfinished(folder, config))
    return journal


def _unfinished(folder: Path, config: ExtractConfig) -> str:
    return (
        f"{folder}: no finished extraction to redo frames of; run `faceloom extract "
        f"{config.side}` to its end first"
    )


class _Run:
    """One repeat: what it works with, and what is in the faceset meanwhile."""

    def __init__(
        self,
        config: ExtractConfig,
        workspace: Workspace,
        footage: Footage,
        tools: Tools,
        journal: Journal,
        there: Present,
    ) -> None:
        self._config, self._footage, self._tools, self._journal = config, footage, tools, journal
        self._there = there
        debug = config.debug or config.redo == "debug"
        self._writer: FaceWriter = open_writer(
            config.model_copy(update={"debug": debug}), workspace, footage
        )
        self._taken = {path.stem for path in list_images(self._writer.folder)}
        self._neighbours = Neighbours(there.records()) if follows(config, footage) else None
        self._namer = TrackNamer(
            tools.identifier,
            wanted=tools.wanted,
            max_faces=config.max_faces,
            pixel_aspect=footage.info.pixel_aspect,
        )

    def all(
        self, chosen: Sequence[int], how: str, moved: int, progress: Progress, cancel: Cancel
    ) -> Redone:
        """Every chosen frame, in order; the journal shrinks again at the end."""
        started, times, done = time.perf_counter(), BusyTimes(), self._journal.done
        frames = self._frames(chosen)
        found = found_frames(
            frames,
            self._tools.finder,
            pixel_aspect=self._footage.info.pixel_aspect,
            tracking=False,
            state={},
            times=times,
        )
        progress.start(f"redo {self._config.side}", len(chosen), "frames")
        added = 0
        with opencv_threads(1), self._journal, closing(found):
            for item in found:
                with times.measure("write"):
                    number, total = self._one(item.frame, item.faces)
                added += number
                index = item.frame.index
                least = done.counts.get(index, 0) if self._config.redo == "faces" else 0
                self._journal.add_again(index, max(total, least), how)
                progress.advance()
                progress.metric(added=str(added))
                if cancel.is_set:
                    break
            cancel.check()
            self._journal.finish()
        progress.finish()
        seconds, losses = time.perf_counter() - started, self._footage.losses
        return Redone(self._journal, len(chosen), added, moved, seconds, times, losses)

    def _frames(self, chosen: Sequence[int]) -> Iterator[Frame]:
        wanted = set(chosen)
        for first, last in _stretches(chosen):
            for frame in self._footage.frames(first, last + 1):
                if frame.index in wanted:
                    yield frame

    def _one(self, frame: Frame, faces: list[FoundFace]) -> tuple[int, int]:
        """Write what is missing of a frame: (faces written, faces that it has now)."""
        stem = PurePath(frame.name).stem
        here = self._there.here(stem)
        known = [*here, *self._there.aside(stem)]
        named = self._namer.name(Settled(frame, faces, {}, 0))
        new = [face for face in named.faces if not is_among(bounds(face.landmarks), known)]
        if self._neighbours is not None:
            new = self._neighbours.number(frame, new, known)
        written = self._writer.add(frame, new, here, taken=self._taken)
        if self._neighbours is not None:
            self._neighbours.learn(written)
        return len(written), len(known) + len(written)


def _inherit(config: ExtractConfig, done: Done) -> ExtractConfig:
    """The settings with those of the extraction where the default stands."""
    before = done.header.get("settings", {})
    fields = ExtractConfig.model_fields
    taken: dict[str, Any] = {
        key: before[key]
        for key in (*_OF_FACES, *_OF_FINDING)
        if key in before and getattr(config, key) == fields[key].default
    }
    # What size suits is a matter of the detector, and several have several.
    other = before.get("detector") != taken.get("detector", config.detector)
    if other or not isinstance(taken.get("detector_size"), int):
        taken.pop("detector_size", None)
    if "tracking" in taken:
        taken["tracking"] = "on" if taken["tracking"] else "off"
    values = {**config.model_dump(), **taken}
    return validate(ExtractConfig, values, where="the extraction's settings")


def _how(config: ExtractConfig) -> str:
    """What a repeat does, so that one which was stopped is told from another."""
    text = json.dumps(config.model_dump(mode="json", exclude={"workspace", "workers"}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _choose(
    config: ExtractConfig,
    workspace: Workspace,
    footage: Footage,
    done: Done,
    there: Present,
) -> list[int]:
    """Numbers of the frames to extract again, in order."""
    if config.redo == "debug":
        folder = workspace.aligned_debug(config.side)
        drawn = {path.stem for path in list_images(folder)} if folder.is_dir() else set[str]()
        if not drawn:
            raise InputError(f"{folder}: no debug pictures to go by; extract with --debug")
        frames = sorted(done.counts) or range(done.next_index)
        return [i for i in frames if PurePath(footage.name_of(i)).stem not in drawn]
    stems = {i: PurePath(footage.name_of(i)).stem for i in range(len(footage))}
    counts = done.counts or _counts_of_old(workspace.aligned(config.side), done, stems, there)
    number = {i: there.count(stems[i]) for i in counts if i in stems}
    if config.redo == "faces":
        return sorted(i for i, has in number.items() if has < counts[i])
    return sorted(i for i, has in number.items() if counts[i] == 0 and has == 0)


def _counts_of_old(
    folder: Path,
    done: Done,
    stems: dict[int, str],
    there: Present,
) -> dict[int, int]:
    """Faces of each frame, of a journal that did not keep them: only when none can be missing."""
    counts = {i: there.count(stem) for i, stem in stems.items() if i < done.next_index}
    if len(counts) != done.frames or sum(counts.values()) != done.faces:
        raise InputError(
            f"{folder}: was extracted by an earlier version, which did not note each frame's "
            "faces, and some were deleted since; --restart extracts anew"
        )
    return counts


def _clear(
    folder: Path,
    config: ExtractConfig,
    footage: Footage,
    chosen: Iterable[int],
    there: Present,
    progress: Progress,
) -> int:
    """Move the faces of frames that are done anew out of the way; how many."""
    if config.redo != "debug":
        return 0
    stems = [PurePath(footage.name_of(index)).stem for index in chosen]
    faces = [path for stem in stems for path in there.forget(stem)]
    if not faces:
        return 0
    target = beside(folder, "redone")
    moves = [Move(path, target / path.name) for path in faces]
    return move_faces(folder, moves, label="extract --redo debug", progress=progress).moved


def _stretches(chosen: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of frames that are decoded in one go."""
    first = last = None
    for index in chosen:
        if first is None or last is None:
            first = last = index
        elif index - last > _SEEK:
            yield first, last
            first = last = index
        else:
            last = index
    if first is not None and last is not None:
        yield first, last
