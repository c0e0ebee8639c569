"""What an extraction is told, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from faceloom.core import InputError, Settings
from faceloom.detect import DETECTORS, LANDMARKERS, MIN_FACE_PX
from faceloom.geometry import SHORT, FaceType
from faceloom.stages.workspace import Side

_HEAD_TYPES = frozenset({"head", "head_no_align"})


class ExtractConfig(Settings):
    """Whose faces to extract, how they are cropped, and what counts as a face."""

    workspace: Path = Path()
    """The workspace."""
    side: Side
    """Whose faces: src or dst."""
    face_type: FaceType = "whole_face"
    """How much of the head a face shows; the short names h, mf, f, wf and head do as well."""
    image_size: int | None = Field(default=None, ge=64, le=2048)
    """Side of the face pictures in pixels; unset: 512, or 768 for head."""
    format: Literal["jpg", "png"] = "jpg"
    """File type of the faces: jpg (DFL's) or png (lossless, about six times larger)."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """Quality of the JPEG files."""
    max_faces: int = Field(default=0, ge=0)
    """Most faces of a frame, the largest first; 0: all."""
    min_face_px: int = Field(default=MIN_FACE_PX, ge=0)
    """Faces whose points span less than this in the frame are left out; 0: none. Below the
    default, what is found is noise more often than not."""
    detector: str = "yunet"
    """Finds the faces."""
    landmarker: str = "mesh-478"
    """Finds the points of a face."""
    detector_size: int = Field(default=640, ge=128, le=4096)
    """Longer side at which the detector sees a frame; more finds smaller faces, slower."""
    tracking: Literal["auto", "on", "off"] = "auto"
    """Whether frames follow each other in time: faces are then followed and numbered. auto: for
    videos and frames with times of their own; `on` suits any folder of frames of one shot."""
    debug: bool = False
    """Also write each frame with its faces drawn in, into `aligned_debug`."""
    restart: bool = False
    """Extract anew; faces that are there are moved to `aligned_old…`, never deleted."""
    workers: int = Field(default=0, ge=0, le=64)
    """Threads that align and write; 0: one for each core, at most 8."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value, value) if isinstance(value, str) else value

    @field_validator("detector", "landmarker")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        try:
            (DETECTORS if info.field_name == "detector" else LANDMARKERS)[name]
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def size_px(self) -> int:
        """The side of the face pictures."""
        if self.image_size is not None:
            return self.image_size
        return 768 if self.face_type in _HEAD_TYPES else 512


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction found. The counts are those of the whole footage, resumed runs included;
    speed and shares are those of this run."""

    side: Side
    folder: Path
    frames: int
    faces: int
    frames_without_face: int
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

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "folder": str(self.folder)}

    def lines(self) -> list[str]:
        """For people."""
        faces = f"{self.folder}: {_counted(self.faces, 'face')} of {_counted(self.frames, 'frame')}"
        if self.frames_without_face:
            faces += f", {self.frames_without_face} without a face"
        done = self.frames - self.resumed_at
        if not done:
            return [f"{faces}; nothing was left to do (--restart extracts anew)"]
        busy = ", ".join(f"{step} {share:.0%}" for step, share in self.busy.items())
        return [
            faces,
            f"{_counted(done, 'frame')} in {self.seconds:.1f} s, {self.fps:.1f} a second ({busy})",
        ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
