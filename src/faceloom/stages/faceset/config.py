"""Settings of the stages that work on whole facesets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from faceloom.core.config import DeviceSettings, Option, ThreadSettings, WorkspaceSettings
from faceloom.core.vocabulary import SHORT, SIDES, FaceType

MIN_SIZE_PX: Final = 64
MAX_SIZE_PX: Final = 2048

MaskSource = Literal["auto", "xseg", "polygons", "hull"]


class FacesetSettings(WorkspaceSettings):
    """Base of stages that work on one faceset."""

    faceset: Annotated[str, Option(positional=True)]
    """src, dst or a folder of faces."""

    @field_validator("faceset")
    @classmethod
    def _side_in_any_case(cls, faceset: str) -> str:
        return faceset.lower() if faceset.lower() in SIDES else faceset


class FacesetListConfig(FacesetSettings):
    """Show what is in a faceset: how many faces, their types, sizes and sources.

    With `--json` it prints one JSON object per face and line: file, source_file, frame_index,
    time_s, source_rect, source_landmarks, face_type, yaw_deg, pitch_deg, roll_deg, track, detector
    and score; unknown values are null. Pictures that are not faces are reported on stderr.

    **Example**

        faceloom faceset list dst

        faceloom faceset list src --json > faces.jsonl
    """


class FacesetRenameConfig(FacesetSettings):
    """Name faces after their source files again, for example after a sort: `00017_0.jpg`.

    `faceloom faceset undo` reverts it.

    **Example**

        faceloom faceset rename src
    """

    prefix: str = ""
    """Text in front of every name, to keep the faces of several clips apart."""

    @field_validator("prefix")
    @classmethod
    def _fits_in_a_file_name(cls, prefix: str) -> str:
        if not prefix:
            return prefix
        from faceloom.faces.archives.plain_names import is_plain_name

        if not is_plain_name(f"{prefix}0.jpg"):
            raise ValueError("must be usable in a file name")
        return prefix


class FacesetUndoConfig(FacesetSettings):
    """Undo the last operation that moved or renamed faces; run it again for the one before.

    Faces also come back from `aligned_trash` and the other folders next to the faceset. Files that
    you renamed or deleted by hand since then are left alone and reported.

    **Example**

        faceloom faceset undo src --list

        faceloom faceset undo src
    """

    only_list: Annotated[bool, Option(flag="--list")] = False
    """Only show what can be undone."""


class FacesetMasksConfig(FacesetSettings, ThreadSettings):
    """Write the mask of every face as a picture, white where the face is.

    **Example**

        faceloom faceset masks src --source polygons
    """

    source: MaskSource = "auto"
    """Which mask. auto: the applied XSeg mask, else the drawn polygons, else the hull of the
    landmarks; xseg, polygons, hull: only that one, and faces without it are skipped."""
    place: Literal["folder", "beside_faces"] = "folder"
    """folder: into `<faceset>_masks`; beside_faces: `<stem>_mask` next to each face, as in
    DeepFaceLab."""
    format: Literal["png", "jpg"] | None = None
    """png (exact; the default in the folder) or jpg (DeepFaceLab's; the default next to faces)."""
    soft: bool = False
    """Keep the grey values of an XSeg mask; unset: threshold it at 0.5, as DeepFaceLab does."""
    again: bool = False
    """Also rewrite masks that exist and are newer than their face."""


class FacesetDebugConfig(FacesetSettings, ThreadSettings):
    """Draw landmarks and hull on a copy of every face, in `<faceset>_landmarks`.

    **Example**

        faceloom faceset debug dst
    """

    jpeg_quality: int = Field(default=85, ge=1, le=100)
    """JPEG quality of the pictures."""
    again: bool = False
    """Also redraw pictures that exist and are newer than their face."""


class FacesetPackConfig(FacesetSettings):
    """Put the faces of a faceset into one file: DeepFaceLab's `faceset.pak`, or a plain zip file.

    Training and merging open a packed faceset directly. Loose files stay unless you add
    `--remove`, and take precedence over packed ones of the same name; packing again adds what is
    new.

    **Example**

        faceloom faceset pack src --remove
    """

    format: Literal["pak", "zip"] = "pak"
    """pak: faceset.pak in the folder, for training and merging; zip: a zip file next to it."""
    persons: bool = False
    """Also pack the faces in sub-folders, each folder as one person."""
    remove: bool = False
    """Delete the loose files after checking that the pack contains each of them byte for byte."""


class FacesetUnpackConfig(FacesetSettings):
    """Turn the faces of a packed faceset into files again.

    Nothing is overwritten. The folder's pack is deleted when every face has been written and
    compared, unless you add `--keep`; an archive given by `--archive` always stays.

    **Example**

        faceloom faceset unpack src

        faceloom faceset unpack dst --archive downloads/faces.zip
    """

    archive: Path | None = None
    """A pack or zip file; unset: the faceset.pak in the folder."""
    keep: bool = False
    """Keep the folder's faceset.pak."""


class FacesetMetadataSaveConfig(FacesetSettings):
    """Save the metadata of every loose face, in the faceset's folder.

    **Example**

        faceloom faceset metadata save src
    """

    format: Literal["both", "faceloom", "dfl"] = "both"
    """faceloom: faceloom_meta.jsonl, which loses nothing; dfl: meta.dat, for DeepFaceLab."""


class FacesetMetadataRestoreConfig(FacesetSettings):
    """Put saved metadata back into edited pictures.

    Pictures are matched by name, or by stem if the format changed. A picture that was resized is
    scaled back to its former size, unless you add `--keep-size`.

    **Example**

        faceloom faceset metadata restore src --keep-size
    """

    file: Path | None = None
    """The saved metadata; unset: faceloom_meta.jsonl in the folder, or else its meta.dat."""
    keep_size: bool = False
    """Keep the size of resized pictures and scale landmarks, polygons and matrix instead."""


class FacesetImportConfig(FacesetSettings):
    """Copy the faces of another faceset into yours; each is read and decoded first.

    Reads facesets of DeepFaceLab (any version) and Machine Video Editor. No code in their files is
    run and none of your files is overwritten; files that are not faces are skipped and listed.

    **Example**

        faceloom faceset import src downloads/faceset.pak
    """

    faceset: Annotated[str, Option(positional=True)]
    """Where the faces go: src, dst or a folder, which is created if missing."""
    source: Annotated[Path, Option(positional=True)]
    """Where they come from: a folder of faces, a faceset.pak or a zip file."""


class FacesetExportConfig(FacesetSettings):
    """Write a faceset that DeepFaceLab and Machine Video Editor can open.

    Pixels are re-encoded only for PNG files and for JPEG files that DeepFaceLab cannot parse.

    **Example**

        faceloom faceset export src for_dfl/aligned

        faceloom faceset export src faceset.pak --dfl-only
    """

    output: Annotated[Path, Option(positional=True)]
    """A file ending in .pak or .zip, or a folder."""
    dfl_only: bool = False
    """Leave out Faceloom's own data: time stamps, tracks, scores and embeddings."""
    jpeg_quality: int = Field(default=100, ge=1, le=100)
    """JPEG quality of pictures that must be re-encoded."""


class FacesetResizeConfig(FacesetSettings, ThreadSettings):
    """Change the size or the face type of a faceset, from its pictures or from the footage.

    Landmarks, polygons and masks are adjusted. The old pictures move to `aligned_original`;
    `faceloom faceset undo` brings them back. You can stop the run at any time; the same command
    resumes it, and the faceset changes only when all faces are done.

    **Example**

        faceloom faceset resize src --size 384 --face-type f

        faceloom faceset resize src --size estimated --from footage
    """

    size: int | Literal["estimated", "same"] = "same"
    """Side of the new pictures in pixels, 64 to 2048; estimated: for each face the size that it
    has in its frame; same: unchanged."""
    face_type: FaceType | Literal["same"] = "same"
    """How much of the head the new pictures show; the short names h, mf, f, wf and head work too.
    same: unchanged."""
    source: Annotated[Literal["face", "footage"], Option(flag="--from")] = "face"
    """Where pixels come from: face, the stored picture; footage, the frame, which has every detail
    and allows any face type."""
    footage: Path | None = None
    """The footage, for a faceset that is neither src nor dst of a workspace."""
    allow_borders: bool = False
    """Fill the parts of the new face type that the picture does not show with black instead of
    refusing."""
    output: Path | None = None
    """Write the new faces into this folder; unset: replace the old ones, which move to
    `aligned_original`."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG files."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value.lower(), value) if isinstance(value, str) else value

    @field_validator("size", mode="before")
    @classmethod
    def _in_range(cls, value: object) -> object:
        if value in ("estimated", "same"):
            return value
        text = str(value)
        if not text.isascii() or not text.isdigit():
            raise ValueError("expected a number of pixels, estimated or same")
        if not MIN_SIZE_PX <= int(text) <= MAX_SIZE_PX:
            raise ValueError(f"must be {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels")
        return int(text)


class FacesetTracksConfig(FacesetSettings, ThreadSettings):
    """List the tracks of a faceset: first and last frame, number of faces, size and sharpness.

    Faces of several clips in one folder are distinguished by their names. Faces are moved, never
    deleted; `faceloom faceset undo` brings them back.

    **Example**

        faceloom faceset tracks dst --sheet tracks.png

        faceloom faceset tracks dst --keep 0,3
    """

    keep: tuple[str, ...] = ()
    """Tracks to keep, separated by commas; the faces of all others move to `aligned_trash`."""
    drop: tuple[str, ...] = ()
    """Tracks whose faces move to `aligned_trash`, separated by commas."""
    sheet: Path | None = None
    """Write a picture with one row per track: its first, middle, last and best face."""

    @field_validator("keep", "drop", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        texts = (value,) if isinstance(value, str) else value
        if not isinstance(texts, list | tuple):
            return value
        labels = [label.strip() for text in texts for label in str(text).split(",")]
        return tuple(label for label in labels if label)

    @model_validator(mode="after")
    def _one_of_them(self) -> FacesetTracksConfig:
        if self.keep and self.drop:
            raise ValueError("give either keep or drop, not both")
        return self


class FacesetEnhanceConfig(FacesetSettings, ThreadSettings, DeviceSettings):
    """Sharpen blurred or small faces with a super-resolution network (Real-ESRGAN).

    The old pictures move to `aligned_original`; `faceloom faceset undo` brings them back. You can
    stop the run at any time; the same command resumes it, and the faceset changes only when all
    faces are done.

    **Example**

        faceloom faceset enhance src --strength 0.7
    """

    strength: float = Field(default=1.0, gt=0, le=1)
    """How much of the enhanced picture is mixed in: 1 is all of it, 0.3 a little."""
    scale: Literal[1, 2, 4] = 1
    """How much larger the new pictures are: 1, 2 or 4; 1 keeps their size."""
    detail: Literal["frame", "picture"] = "frame"
    """At which size a face is enhanced. frame: its size in the frame, which matches its real
    detail and is fast; picture: its stored size, as DeepFaceLab does."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG files."""
    again: bool = False
    """Also enhance faces that were enhanced before."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic: auto uses bf16 where the device is faster with it."""

    @field_validator("scale", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value in ("1", "2", "4") else value


class FacesetPeopleListConfig(WorkspaceSettings):
    """List the people a workspace knows by name, and what each was learned from.

    **Example**

        faceloom faceset people list
    """


class FacesetPeopleAddConfig(WorkspaceSettings):
    """Learn a person from a picture or a folder of pictures; replaces a person of the same name.

    **Example**

        faceloom faceset people add anna portraits/anna
    """

    name: Annotated[str, Option(positional=True)]
    """The person's name."""
    pictures: Annotated[Path, Option(positional=True)]
    """A picture of the person, or a folder of pictures or faces. In a picture with several faces
    the largest counts; faces that do not match the others are skipped."""


class FacesetPeopleForgetConfig(WorkspaceSettings):
    """Delete what is known about a person. Their faces stay.

    **Example**

        faceloom faceset people forget anna
    """

    name: Annotated[str, Option(positional=True)]
    """The person's name."""
