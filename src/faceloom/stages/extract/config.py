"""Settings of the extract stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from faceloom.core.config import DeviceSettings, Option, ThreadSettings, WorkspaceSettings
from faceloom.core.errors import InputError
from faceloom.core.vocabulary import MIN_FACE_PX, SHORT, FaceType, Side, Turns
from faceloom.settings.detection import (
    LandmarkerName,
    default_side_px,
    detector_names,
    parse_turns,
)

ImageSize = Annotated[int, Field(ge=64, le=2048)]
_HEAD_TYPES = frozenset({"head", "head_no_align"})


class ExtractConfig(WorkspaceSettings, ThreadSettings, DeviceSettings):
    """Find the faces in the footage of src or dst, align them and store them in `aligned`.

    Every face is a picture that contains its own metadata, so you can sort, copy and delete faces
    with any file manager. You can stop at any time; the same command resumes, and faces you deleted
    stay deleted.

    **Example**

        faceloom extract dst --debug

        faceloom extract src --face-type head --max-faces 1 -w cast

        faceloom extract dst --who anna.jpg

        faceloom extract dst --redo empty --detector centerface --detector-size 1280
    """

    ALIASES: ClassVar[Mapping[str, str]] = {"workers": "threads"}

    side: Annotated[Side, Option(positional=True)]
    """Whose faces: src or dst."""
    face_type: FaceType = "whole_face"
    """How much of the head a face picture shows. h, mf, f, wf and head are accepted as well."""
    image_size: ImageSize | Literal["estimated"] | None = None
    """Side of the face pictures in pixels, 64 to 2048, or `estimated`: each face at the size it has
    in its frame. Unset: 512, or 768 for head."""
    format: Literal["jpg", "png"] = "jpg"
    """File format of the faces: jpg (as in DFL), or png (lossless, about six times larger)."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """JPEG quality of the faces."""
    max_faces: int = Field(default=0, ge=0)
    """Keep at most this many faces per frame, the largest ones; 0: all."""
    min_face_px: int = Field(default=MIN_FACE_PX, ge=0)
    """Leave out faces whose landmarks span fewer pixels than this in the frame; 0: keep all. What
    is found below the default is mostly noise."""
    detector: str = "yunet"
    """Finds the faces: yunet, centerface, mtcnn, dlib, s3fd or manual. Give several, separated by
    commas, to merge their detections."""
    landmarker: LandmarkerName = "mesh-478"
    """Finds the landmarks of a face."""
    detector_size: int | None = Field(default=None, ge=128, le=4096)
    """Longer side in pixels at which the detector sees a frame. A larger value finds smaller faces,
    but is slower. Unset: 640, for mtcnn 1920, for dlib 1850."""
    manual_file: Path | None = None
    """JSON file with the faces for the detector `manual`."""
    turns: Turns = "auto"
    """Clockwise turns of the frame in which faces are searched: auto (upright, and the others if a
    face seems to be missing), or a list of 0, 90, 180 and 270, separated by commas."""
    tracking: Literal["auto", "on", "off"] = "auto"
    """Track faces from frame to frame, and number them. auto: in videos, and in folders of frames
    with times. Use `on` for any other folder of consecutive frames."""
    smooth: float = Field(default=0.5, ge=0, le=1)
    """How much the landmarks of a tracked face are smoothed over time; 0: not at all. 0.5 removes
    about as much as the landmarker's noise; more also removes small real movements."""
    join: bool = True
    """Give a person who comes back, or is seen again after a cut, the same track number, recognised
    by identity. Off: a track ends when the face is out of sight."""
    who: str | None = Field(default=None, min_length=1)
    """Keep only one person's faces. Give a name from the workspace's `people`, a picture of the
    person, or a folder of pictures. Videos are decided per track, pictures per face."""
    debug: bool = False
    """Also write every frame with its landmarks drawn on it to `aligned_debug`."""
    redo: Literal["debug", "faces", "empty"] | None = None
    """Extract some frames of a finished extraction again, for example with another detector: those
    whose debug picture you deleted (`debug`; their old faces move to `aligned_redone`), those of
    which you deleted a face (`faces`; only missing faces are written), or those without a face
    (`empty`)."""
    restart: bool = False
    """Start over. Existing faces are moved to `aligned_old…`, never deleted."""
    threads: int = Field(default=0, ge=0, le=256)
    """Threads that align and write faces; 0: one per core, at most 8."""
    device: str = "auto"
    """Where s3fd and the FAN landmarkers run: auto (the GPU if PyTorch has CUDA), cpu, cuda, cuda:1
    … or mps. With cuda, yunet, centerface, mtcnn and the recognition of people use it as well if
    onnxruntime-gpu is installed; otherwise they run on the CPU, as mesh-478 always does."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value, value) if isinstance(value, str) else value

    @field_validator("detector", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("detector")
    @classmethod
    def _known(cls, names: str) -> str:
        try:
            return ",".join(detector_names(names))
        except InputError as error:
            raise ValueError(str(error)) from None

    @field_validator("turns", mode="before")
    @classmethod
    def _parsed(cls, value: object) -> object:
        return parse_turns(value)

    @model_validator(mode="after")
    def _redo_or_restart(self) -> ExtractConfig:
        if self.redo is not None and self.restart:
            raise ValueError(
                "redo extracts some frames again, restart all of them; use only one of them"
            )
        return self

    @property
    def side_px(self) -> int | list[int]:
        """The longer side at which the detectors see a frame; a list if they differ."""
        names = detector_names(self.detector)
        sides = [self.detector_size or default_side_px(name) for name in names]
        return sides[0] if len(set(sides)) == 1 else sides

    @property
    def size_px(self) -> int | None:
        """The side of the face pictures in pixels; None: each face at its own size."""
        if self.image_size == "estimated":
            return None
        if self.image_size is not None:
            return self.image_size
        return 768 if self.face_type in _HEAD_TYPES else 512
