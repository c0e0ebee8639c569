"""What an extraction is told, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from faceloom.core.config import Option, WorkspaceSettings
from faceloom.core.errors import InputError
from faceloom.core.vocabulary import MIN_FACE_PX, SHORT, FaceType, Side, Turns

ImageSize = Annotated[int, Field(ge=64, le=2048)]
_HEAD_TYPES = frozenset({"head", "head_no_align"})


class ExtractConfig(WorkspaceSettings):
    """Find the faces in the footage of src or dst, align them and store them in `aligned`.

    Every face is a picture that carries its own metadata: sort, copy and delete them with any
    file manager. The run may be stopped at any time; the same command resumes it, and faces you
    deleted stay deleted.

    **Example**

        faceloom extract dst --debug

        faceloom extract src --face-type head --max-faces 1 -w cast

        faceloom extract dst --who anna.jpg

        faceloom extract dst --redo empty --detector centerface --detector-size 1280
    """

    side: Annotated[Side, Option(positional=True)]
    """Whose faces: src or dst."""
    face_type: FaceType = "whole_face"
    """How much of the head a face shows; the short names h, mf, f, wf and head do as well."""
    image_size: ImageSize | Literal["estimated"] | None = None
    """Side of the face pictures in pixels, 64 to 2048; unset: 512, or 768 for head; `estimated`:
    of each face the size that it has in its frame."""
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
    """Finds the faces: yunet, centerface, mtcnn, dlib, s3fd, manual, or several with commas (or as
    a list), whose finds are merged."""
    landmarker: str = "mesh-478"
    """Finds the points of a face: mesh-478, 2dfan or 3dfan."""
    detector_size: int | None = Field(default=None, ge=128, le=4096)
    """Longer side at which the detector sees a frame; more finds smaller faces, slower. Unset:
    640, for mtcnn 1920, for dlib 1850."""
    manual_file: Path | None = None
    """JSON file with the faces that the detector `manual` gives."""
    turns: Turns = "auto"
    """Clockwise turns of the frame that are searched: auto (upright, the others when something is
    missing), or always those of 0, 90, 180 and 270 that are listed with commas."""
    tracking: Literal["auto", "on", "off"] = "auto"
    """Whether frames follow each other in time: faces are then followed and numbered. auto: for
    videos and frames with times of their own; `on` suits any folder of frames of one shot."""
    smooth: float = Field(default=0.5, ge=0, le=1)
    """How much the points of a followed face are steadied in time; 0: not at all. 0.5 takes away
    what is about as large as the landmarker's noise; more also takes real, small movements."""
    join: bool = True
    """A person who comes back, or is seen again behind a cut, gets the same track number, by
    identity; off: a track ends when the face is lost from sight."""
    who: str | None = Field(default=None, min_length=1)
    """Keep only one person's faces: a name from `people`, a picture of them, or a folder of
    pictures. In a video the decision is made for each track, among pictures for each face."""
    debug: bool = False
    """Also write each frame with its faces drawn in, into `aligned_debug`."""
    redo: Literal["debug", "faces", "empty"] | None = None
    """Extract only some frames of a finished extraction again, perhaps with another detector, turns
    or size: those whose debug picture was deleted (their faces move to `aligned_redone`), of which
    a face was deleted (only what is missing is written), or without a face."""
    restart: bool = False
    """Extract anew; faces that are there are moved to `aligned_old…`, never deleted."""
    workers: int = Field(default=0, ge=0, le=64)
    """Threads that align and write; 0: one for each core, at most 8."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value, value) if isinstance(value, str) else value

    @field_validator("detector", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("detector", "landmarker")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        from faceloom.detect import LANDMARKERS, detector_names

        try:
            if info.field_name == "detector":
                return ",".join(detector_names(name))
            LANDMARKERS[name]
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    @field_validator("turns", mode="before")
    @classmethod
    def _parsed(cls, value: object) -> object:
        from faceloom.detect import parse_turns

        return parse_turns(value)

    @model_validator(mode="after")
    def _one_way(self) -> ExtractConfig:
        if self.redo is not None and self.restart:
            raise ValueError("redo extracts some frames again, restart all of them: not both")
        return self

    @property
    def side_px(self) -> int | list[int]:
        """The longer side at which the detectors look at a frame; each one's where they differ."""
        from faceloom.detect import default_side_px, detector_names

        names = detector_names(self.detector)
        sides = [self.detector_size or default_side_px(name) for name in names]
        return sides[0] if len(set(sides)) == 1 else sides

    @property
    def size_px(self) -> int | None:
        """The side of the face pictures; None: each face's own."""
        if self.image_size == "estimated":
            return None
        if self.image_size is not None:
            return self.image_size
        return 768 if self.face_type in _HEAD_TYPES else 512
