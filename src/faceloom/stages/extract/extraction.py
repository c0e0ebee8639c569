"""What one extraction works with: footage, networks, journal, and where it all goes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, TypeVar

from faceloom.core import Cancel, InputError, Progress, WeightsError
from faceloom.core.paths import list_images
from faceloom.core.words import counted
from faceloom.detect import FaceFinder, open_finder, read_manual
from faceloom.faces import FaceSuffix
from faceloom.faces.archives.pack import folder_pack
from faceloom.identify import Identifier
from faceloom.media import Footage
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.journal import (
    LOCK_NAME,
    Done,
    Journal,
    locked,
    read_journal,
    start_journal,
)
from faceloom.stages.extract.reidentify import Wanted
from faceloom.stages.extract.result import ExtractResult
from faceloom.stages.extract.who import find_person, wants
from faceloom.stages.extract.write import FaceWriter
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace

T = TypeVar("T")


class BusyTimes:
    """Seconds that each step was at work, and CPU seconds of its threads, summed over threads.

    CPU seconds leave out threads that libraries (FFmpeg) start themselves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, tuple[float, float]] = {}

    @contextlib.contextmanager
    def measure(self, step: str) -> Generator[None]:
        """Add the time spent inside to `step`."""
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent, cpu = time.perf_counter() - start, time.thread_time() - cpu_start
            with self._lock:
                before = self._seconds.get(step, (0.0, 0.0))
                self._seconds[step] = before[0] + spent, before[1] + cpu

    def iterate(self, step: str, items: Iterable[T]) -> Generator[T]:
        """Yield `items`, adding the time it took to get each one to `step`."""
        iterator = iter(items)
        try:
            while True:
                with self.measure(step):
                    item = next(iterator, None)
                if item is None:
                    return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if callable(close):
                close()

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Step → seconds at work, and CPU seconds."""
        with self._lock:
            return dict(self._seconds)


@dataclass(frozen=True)
class Tools:
    """What finds faces and identifies people."""

    finder: FaceFinder
    identifier: Identifier | None
    """None where nobody needs to be recognised."""
    wanted: Wanted | None
    """None where everybody's faces are kept."""


@dataclass
class Extraction:
    """One run: what all its steps share."""

    config: ExtractConfig
    workspace: Workspace
    footage: Footage
    progress: Progress
    cancel: Cancel
    times: BusyTimes = field(default_factory=BusyTimes)
    skipped: list[str] = field(default_factory=list[str])
    """Frames that were left out, and why."""
    journal: Journal = field(init=False)
    """Set once the faceset folder is locked."""

    @classmethod
    def open(cls, config: ExtractConfig, progress: Progress, cancel: Cancel) -> Extraction:
        """Open workspace and footage. Raises `InputError` and `MediaError`."""
        workspace = Workspace.open(config.workspace)
        return cls(config, workspace, open_side(workspace, config.side), progress, cancel)

    @property
    def folder(self) -> Path:
        """The faceset folder."""
        return self.workspace.aligned(self.config.side)

    @property
    def debug_folder(self) -> Path:
        return self.workspace.aligned_debug(self.config.side)

    @property
    def tracking(self) -> bool:
        """Whether frames follow each other in time."""
        if self.config.tracking == "auto":
            return self.footage.info.kind == "video" or self.footage.has_timeline
        return self.config.tracking == "on"

    @property
    def losses(self) -> list[str]:
        """What could not be decoded or was left out so far."""
        return [*self.footage.losses, *self.skipped]

    @cached_property
    def tools(self) -> Tools:
        """The networks, loaded on first use.

        Raises `WeightsError` when one is not available, and `InputError` for a device that is not
        there, an unknown `who`, or a manual file with frames that the footage does not have.
        """
        config = self.config
        device = config.device
        if device not in {"auto", "cpu"}:
            # Imported here because it loads PyTorch, which most detectors do without.
            from faceloom.checkpoints import choose_device

            device = str(choose_device(device))
        finder = open_finder(
            config.detector,
            config.landmarker,
            long_side_px=config.detector_size,
            min_face_px=config.min_face_px,
            turns=config.turns,
            manual_file=config.manual_file,
            device=device,
            progress=self.progress,
        )
        if config.manual_file is not None:
            _check_frames(config.manual_file, self.footage)
        if config.who is None and not (config.join and self.tracking):
            return Tools(finder, None, None)
        try:
            identifier = Identifier(device=device, progress=self.progress)
        except WeightsError as error:
            if config.who is not None:
                raise
            raise WeightsError(f"{error}; --no-join extracts without this network") from None
        if config.who is None:
            return Tools(finder, identifier, None)
        person = find_person(config.who, self.workspace, finder, identifier, self.progress)
        return Tools(finder, identifier, wants(person))

    @cached_property
    def writer(self) -> FaceWriter:
        """Writes faces, and debug pictures if they are wanted."""
        if self.config.debug:
            self.debug_folder.mkdir(parents=True, exist_ok=True)
        suffix: FaceSuffix = ".png" if self.config.format == "png" else ".jpg"
        return FaceWriter(
            folder=self.folder,
            debug_folder=self.debug_folder if self.config.debug else None,
            face_type=self.config.face_type,
            size_px=self.config.size_px,
            suffix=suffix,
            jpeg_quality=self.config.jpeg_quality,
            pixel_aspect=self.footage.info.pixel_aspect,
        )

    def header(self) -> dict[str, Any]:
        """What must be the same for a run to continue another one's faceset."""
        config = self.config
        files = [(path.name, path.stat().st_size) for path in self.footage.info.paths]
        return {
            "footage": hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32],
            "settings": {
                "face_type": config.face_type,
                "image_size": config.size_px or "estimated",
                "format": config.format,
                "jpeg_quality": config.jpeg_quality,
                "max_faces": config.max_faces,
                "min_face_px": config.min_face_px,
                "detector": config.detector,
                "landmarker": config.landmarker,
                "detector_size": config.side_px,
                "turns": config.turns if config.turns == "auto" else list(config.turns),
                "tracking": self.tracking,
                "smooth": config.smooth,
                "join": config.join,
                "who": config.who,
            },
        }

    def open_journal(self) -> Journal:
        """The journal to continue, or a new one. `InputError` where the two would not match."""
        folder, header = self.folder, self.header()
        journal = read_journal(folder)
        if journal is None:
            if list_images(folder) or folder_pack(folder) is not None:
                raise InputError(
                    f"{folder}: contains faces that were not extracted here; --restart moves them "
                    "to another folder and starts over"
                )
            return start_journal(folder, header)
        if not journal.done.frames and not journal.done.finished and not list_images(folder):
            # Stopped before the first frame, for example by a wrong setting: nothing to continue.
            return start_journal(folder, header)
        before = journal.done.header
        move = "moves the faces to another folder and starts over"
        if before.get("footage") != header["footage"]:
            raise InputError(
                f"{folder}: was extracted from other footage than {self.footage.info.path}; "
                f"--restart {move}"
            )
        old_settings = before.get("settings", {})
        if not journal.done.finished and header["settings"].keys() - old_settings.keys():
            raise InputError(
                f"{folder}: an older version of Faceloom started this extraction and did not "
                f"finish it; --restart {move}"
            )
        changed = [k for k, v in header["settings"].items() if old_settings.get(k, v) != v]
        if changed:
            pairs = [(key, old_settings[key]) for key in changed]
            old = ", ".join(f"{key} unset" if v is None else f"{key}={v}" for key, v in pairs)
            raise InputError(
                f"{folder}: was extracted with {old}; use the same settings to continue, or "
                f"--restart, which {move}"
            )
        return journal

    def check_redo(self, done: Done) -> None:
        """`InputError` where faces extracted now would not match those of the faceset."""
        if done.header.get("footage") != self.header()["footage"]:
            raise InputError(
                f"{self.folder}: was extracted from other footage than {self.footage.info.path}"
            )
        before = done.header.get("settings", {}).get("face_type", self.config.face_type)
        if before != self.config.face_type:
            raise InputError(
                f"{self.folder}: its face type is {before}; faces of type "
                f"{self.config.face_type} would not match"
            )

    def move_faces_aside(self) -> None:
        """Move the faceset to `aligned_old`, `aligned_old2` …, and delete the debug pictures."""
        folder, number = self.folder, 1
        if self.debug_folder.is_dir():
            for picture in list_images(self.debug_folder):
                picture.unlink()
        if not folder.is_dir() or not any(entry.name != LOCK_NAME for entry in folder.iterdir()):
            return
        with locked(folder):
            while (
                target := folder.with_name(f"{folder.name}_old{number if number > 1 else ''}")
            ).exists():
                number += 1
        folder.rename(target)

    def result(
        self, frames: int, seconds: float = 0.0, *, losses: Sequence[str] = ()
    ) -> ExtractResult:
        """The result of a run that extracted `frames` new frames in `seconds`."""
        done, times = self.journal.done, self.times.seconds()
        return ExtractResult(
            side=self.config.side,
            folder=self.folder,
            frames=done.frames,
            faces=done.faces,
            frames_without_face=done.without_face,
            tracks=done.tracks,
            joined=done.joined,
            filled=done.filled,
            left_out=done.left_out,
            redone=0,
            added=0,
            moved=0,
            resumed_at=done.frames - frames,
            seconds=round(seconds, 3),
            fps=round(frames / seconds, 2) if seconds else 0.0,
            busy={step: round(spent / seconds, 3) for step, (spent, _) in times.items()},
            cpu_ms={step: round(1000 * c / max(frames, 1), 2) for step, (_, c) in times.items()},
            losses=list(losses),
        )


def _check_frames(file: Path, footage: Footage) -> None:
    """`InputError` for a manual file with frames that the footage does not have."""
    given = read_manual(file)
    stems = {PurePath(footage.name_of(index)).stem for index in range(len(footage))}
    wrong = [f"frame {name!r}" for name in given.by_name if name not in stems]
    wrong += [f"frame index {index}" for index in given.by_index if index >= len(footage)]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(
            f"{file}: {wrong[0]}{more} is not among the {counted(len(footage), 'frame')} of "
            f"{footage.info.path}"
        )
