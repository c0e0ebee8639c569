"""One frame on its way through the steps of extraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from faceloom.detect import Detection, FoundFace
from faceloom.media import Frame


@dataclass(slots=True)
class ExtractedFrame:
    """A frame, and what the steps `detect`, `track`, `smooth` and `write` add to it."""

    frame: Frame

    detections: list[Detection] = field(default_factory=list[Detection])
    """From `detect`: what the detector found."""
    cut: bool = False
    """From `detect`: whether a new shot begins here."""
    thumbnail: str | None = None
    """From `detect`: the state of the cut detection after this frame."""

    found: list[FoundFace] = field(default_factory=list[FoundFace])
    """From `track`: faces with landmarks, and in a clip with the tracker's numbers."""
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    """From `track`: what `detect` and `track` need to continue after this frame."""

    faces: list[FoundFace] = field(default_factory=list[FoundFace])
    """From `smooth`: the faces to write, largest first. Gaps are filled, landmarks smoothed, track
    numbers stand for people, and faces of people who are not wanted are left out."""
    filled: int = 0
    """From `smooth`: how many of `faces` fill a gap in their track."""
    left_out: int = 0
    """From `smooth`: how many faces of other people were left out."""
    learned: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """From `smooth`: what this frame taught about its tracks."""

    written: int = 0
    """From `write`: how many faces were written."""

    @property
    def stem(self) -> str:
        """The frame's name without its suffix; its faces are named by it."""
        return PurePath(self.frame.name).stem

    def journal_line(self, *, damaged: bool) -> dict[str, Any]:
        """The frame's line in the journal; zeros and empty lists are left out.

        `damaged` says whether any of the footage could not be decoded cleanly so far.
        """
        line: dict[str, Any] = {
            "frame": self.frame.index,
            "stem": self.stem,
            "faces": self.written,
            "state": self.state,
        }
        rest = {"filled": self.filled, "left_out": self.left_out, "learned": self.learned}
        return line | {k: v for k, v in {**rest, "damaged": damaged}.items() if v}
