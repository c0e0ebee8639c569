"""What an extraction reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faceloom.core.result import Result
from faceloom.core.vocabulary import Side
from faceloom.core.words import counted


@dataclass(frozen=True)
class ExtractResult(Result):
    """What an extraction found.

    Counts cover the whole footage, including earlier runs; times are those of this run.
    """

    side: Side
    folder: Path
    frames: int
    faces: int
    frames_without_face: int
    tracks: int
    """People who were tracked; 0 where frames do not follow each other."""
    joined: int
    """How often a person who had been out of sight was recognised again."""
    filled: int
    """Faces that fill a short gap in their track."""
    left_out: int
    """Faces of other people than the one asked for."""
    redone: int
    """Frames that `redo` extracted again."""
    added: int
    """Faces that `redo` added."""
    moved: int
    """Faces that `redo` moved to `aligned_redone`."""
    resumed_at: int
    """Frames that earlier runs had done."""
    seconds: float
    fps: float
    """Frames per second."""
    busy: dict[str, float] = field(default_factory=dict[str, float])
    """Share of the run's time that each step was at work: decode, detect, track, smooth, write.
    Steps run in parallel, and write in several threads, so the sum may exceed 1."""
    cpu_ms: dict[str, float] = field(default_factory=dict[str, float])
    """CPU milliseconds of each step per frame."""
    losses: list[str] = field(default_factory=list[str])
    """What could not be decoded or was left out."""

    def lines(self) -> list[str]:
        lines = [self._faces()]
        if people := self._people():
            lines.append(people)
        done = self.frames - self.resumed_at
        if self.redone:
            moved = f", {counted(self.moved, 'face')} moved to aligned_redone" if self.moved else ""
            redone = counted(self.redone, "frame")
            lines.append(f"re-extracted {redone}: {counted(self.added, 'face')} added{moved}")
        elif done:
            steps = ", ".join(
                f"{step} {1000 * share * self.seconds / done:.0f} ms"
                for step, share in self.busy.items()
            )
            lines.append(
                f"{counted(done, 'frame')} in {self.seconds:.1f} s ({self.fps:.1f} per second); "
                f"work per frame, in parallel: {steps}"
            )
        else:
            lines.append(
                "nothing left to do (--redo extracts some frames again, --restart all of them)"
            )
        return [*lines, self._next()]

    def _faces(self) -> str:
        faces = f"{self.folder}: {counted(self.faces, 'face')} in {counted(self.frames, 'frame')}"
        if self.frames_without_face:
            faces += f", {counted(self.frames_without_face, 'frame')} without a face"
        return faces

    def _people(self) -> str:
        parts: list[str] = []
        if self.tracks:
            again = f", recognised again {counted(self.joined, 'time')}" if self.joined else ""
            people = "1 person" if self.tracks == 1 else f"{self.tracks} people"
            parts.append(f"{people} tracked{again}")
        if self.filled:
            parts.append(f"{counted(self.filled, 'face')} filled in where detection had gaps")
        if self.left_out:
            parts.append(f"{counted(self.left_out, 'face')} of other people left out")
        return "; ".join(parts)

    def _next(self) -> str:
        if not self.faces and self.left_out:
            return "next: check the picture or name given with --who, then use --restart"
        if not self.faces:
            return (
                f"next: try another detector: `faceloom extract {self.side} --redo empty "
                "--detector yunet,centerface --detector-size 1280`"
            )
        return (
            f"next: `faceloom sort {self.side}` puts similar faces next to each other, so that "
            "unwanted ones are easy to delete"
        )
