"""What an extraction reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faceloom.core.result import Result
from faceloom.core.vocabulary import Side
from faceloom.core.words import counted


@dataclass(frozen=True)
class ExtractResult(Result):
    """What an extraction found. The counts are those of the whole footage, resumed runs included;
    speed and shares are those of this run."""

    side: Side
    folder: Path
    frames: int
    faces: int
    frames_without_face: int
    tracks: int
    """Persons that were followed; 0 where frames do not follow each other."""
    joined: int
    """Times that a person who had been out of sight was known again."""
    filled: int
    """Faces that fill a short gap of their track."""
    left_out: int
    """Faces of others than the one asked for."""
    again: int
    """Frames that were extracted again, by `redo`."""
    added: int
    """Faces that this added."""
    moved: int
    """Faces that it moved to `aligned_redone`."""
    resumed_at: int
    """Frames that earlier runs had done."""
    seconds: float
    fps: float
    busy: dict[str, float] = field(default_factory=lambda: dict[str, float]())
    """Share of the run's time that each step was at work: decode, detect, landmarks, write. The
    steps run side by side, and write in several threads, so the sum may exceed 1."""
    cpu_ms: dict[str, float] = field(default_factory=lambda: dict[str, float]())
    """CPU milliseconds of each step for a frame."""
    losses: list[str] = field(default_factory=lambda: list[str]())
    """What of the footage could not be decoded or was left out."""

    def lines(self) -> list[str]:
        """For people."""
        faces = f"{self.folder}: {counted(self.faces, 'face')} of {counted(self.frames, 'frame')}"
        if self.frames_without_face:
            faces += f", {self.frames_without_face} without a face"
        faces = "; ".join([faces, *self._of_tracks()])
        if self.again or self.added:
            moved = f", {counted(self.moved, 'face')} moved to aligned_redone" if self.moved else ""
            added = f"{counted(self.again, 'frame')} again: {counted(self.added, 'face')} added"
            return [faces, added + moved]
        done = self.frames - self.resumed_at
        if not done:
            return [f"{faces}; nothing was left to do (--restart extracts anew)"]
        busy = ", ".join(f"{step} {share:.0%}" for step, share in self.busy.items())
        return [
            faces,
            f"{counted(done, 'frame')} in {self.seconds:.1f} s, {self.fps:.1f} a second ({busy})",
        ]

    def _of_tracks(self) -> list[str]:
        parts: list[str] = []
        if self.tracks:
            again = f", {self.joined} times known again" if self.joined else ""
            parts.append(f"{counted(self.tracks, 'person')} followed{again}")
        if self.filled:
            parts.append(f"{counted(self.filled, 'face')} in gaps filled")
        if self.left_out:
            parts.append(f"{counted(self.left_out, 'face')} of others left out")
        return parts
