"""Configurations of the stages that are one module each. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from faceloom.core.config import Option, Output, Settings, ThreadSettings, WorkspaceSettings
from faceloom.core.errors import InputError, UsageError
from faceloom.core.vocabulary import Ground, Preset, Side, SwapClass, VideoCodec

RUN_STAGES = ("extract", "train", "merge", "encode")


class NewConfig(Settings):
    """Create a workspace: a folder for the footage of one pair, with a rights record.

    Faceloom asks whose faces these are and on what ground they may be used; merge and encode
    refuse to run without an answer. Grounds: own (your own likeness), consent (given in writing),
    licence, public-domain, synthetic (the person does not exist). On a terminal you are asked for
    any ground that you leave out. Use the same command to add a rights record to a DeepFaceLab
    workspace; its files stay untouched.

    **Example**

        faceloom new cast --src anna.mp4 --dst ben.mp4 --src-rights consent --dst-rights own
    """

    workspace: Annotated[Path, Option(positional=True)]
    """The folder to create, or an existing workspace (DFL's too) without a rights record."""
    src: Path | None = None
    """Source footage, whose face is used: a video, a photo, or a folder of either. Not needed if
    the workspace has it."""
    dst: Path | None = None
    """Target footage, which gets the face: a video, a photo, or a folder of either."""
    src_rights: Ground
    """The ground for using the face in src."""
    dst_rights: Ground
    """The ground for using the likeness in dst."""
    src_name: str = ""
    """Name of the person in src, for the record."""
    dst_name: str = ""
    """Name of the person in dst, for the record."""
    note: str = ""
    """Where the consent or licence is kept."""
    stated_by: str = ""
    """Who is responsible for this statement; the command uses your login name by default."""
    copy_footage: Annotated[bool, Option(flag="--copy")] = False
    """Copy the footage into the workspace instead of referring to it."""


class RunConfig(Settings):
    """Run every stage that is not done yet, in order: extract, train, merge, encode.

    Ctrl-C saves and stops; the same command resumes. To see a result before training is finished,
    stop it and ask for fewer iterations. Settings can also be stored in faceloom.toml in the
    workspace, in the tables [extract], [train], [train.settings] (the model's), [merge], [encode]
    and [run].

    **Example**

        faceloom run cast --model Quick96 --iterations 10000 --set encode.codec=h265
    """

    workspace: Annotated[Path, Option(positional=True)] = Path()
    """The workspace folder."""
    model: SwapClass | None = None
    """Model class. Default: that of the existing model, or SAEHD."""
    name: str | None = None
    """Model name; needed if there are several models."""
    iterations: int | None = Field(default=None, ge=1)
    """Train up to this iteration. Default: `iterations` in [train] of faceloom.toml, the target of
    the model, or 20000."""
    device: str | None = None
    """Where networks run: auto, cpu, cuda, cuda:1 … or mps. Default: as in [train] and [merge]."""
    threads: int | None = Field(default=None, ge=0, le=256)
    """CPU threads of every stage; 0: one per core. Default: as in each stage's table."""
    changes: Annotated[tuple[str, ...], Option(hidden=True)] = ()
    """Settings of the stages as `stage.key=value`, such as `train.resolution=96`."""


class FramesConfig(WorkspaceSettings, ThreadSettings):
    """Write a video out as pictures (00001.png …) and their times (frames.json).

    No other command needs this: faces are extracted directly from videos. After a stop, run it
    again to write the missing pictures.

    **Example**

        faceloom frames dst

        faceloom frames src --format jpg --fps 5 --output stills
    """

    side: Annotated[Side, Option(positional=True)]
    """Whose video: src or dst."""
    format: Literal["png", "jpg"] = "png"
    """File format: png (lossless) or jpg (small)."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of JPEG files."""
    fps: float = Field(default=0, ge=0)
    """Pictures per second; 0: every frame."""
    deep: bool = False
    """Keep more than 8 bits, as 16-bit PNG, if the video has them."""
    output: Path | None = None
    """Output folder. Default: data_src or data_dst in the workspace."""
    redo: bool = False
    """Delete pictures of another export from that folder and start over."""


class EncodeConfig(WorkspaceSettings, ThreadSettings):
    """Encode the merged frames as a signed video with the timing, colours and audio of dst.

    Audio is copied without re-encoding. ffv1 and h264-lossless keep every pixel of the merged
    frames; prores is for editing. A stopped run leaves nothing behind.

    **Example**

        faceloom encode

        faceloom encode --codec prores --output cut.mov
    """

    output: Output | None = None
    """Output file, or a folder for it (ends in `/`, or exists). Default: result.mp4 (or .mkv, .mov)
    in the workspace."""
    codec: VideoCodec | None = None
    """Video codec. Default: h264, or h265 for footage with more than 8 bits."""
    crf: float | None = Field(default=None, ge=0, le=51)
    """Constant quality of h264 and h265, lower is better. Default: 16 for h264, 18 for h265."""
    bitrate: int | None = Field(default=None, ge=1000)
    """Bits per second of h264 and h265, instead of `crf`."""
    preset: Preset = "medium"
    """Encoder preset of h264 and h265: slower presets make smaller files."""
    masks: bool = True
    """Also encode a (lossless) video of the masks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_video_options(self.codec, self.output, self.crf, self.bitrate)
        return self


class InspectConfig(Settings):
    """Show what a file is, what it says about itself, and whether it was altered.

    Reads content credentials (C2PA) of any signer, embedded or in a sidecar `NAME.c2pa`; the
    metadata of a face; and what the workspace's ledger records. A file without credentials may
    still be a fake: credentials can be stripped, but not forged.

    **Example**

        faceloom inspect cast/result.mp4
    """

    ALIASES = {"path": "file"}  # noqa: RUF012

    file: Annotated[Path, Option(positional=True)]
    """Any file: a video, a picture, a face."""
    workspace: Annotated[Path | None, Option(short="-w")] = None
    """The workspace whose key and ledger are used. Default: the one that contains the file."""


class DoctorConfig(WorkspaceSettings):
    """Check what every stage needs and print one line per check.

    The exit code is 1 if a check fails.

    **Example**

        faceloom doctor
    """


class WeightsListConfig(Settings):
    """List every known network file: its state, size, licence and purpose.

    **Example**

        faceloom weights list
    """


class WeightsFetchConfig(Settings):
    """Download network files into the cache, so that everything works offline afterwards.

    **Example**

        faceloom weights fetch

        faceloom weights fetch yunet sface
    """

    names: Annotated[tuple[str, ...], Option(positional=True)] = ()
    """Names of files. Default: those that the stages need."""
    all: bool = False
    """Every known file (about 270 MB)."""


class WeightsAddConfig(Settings):
    """Add a network file to the cache; its SHA-256 identifies it, or you do with --as.

    S3FD and FAN cannot be downloaded: add them from a DeepFaceLab folder or from the
    face-alignment project.

    **Example**

        faceloom weights add Downloads/face_landmarker.task

        faceloom weights add DeepFaceLab/facelib/S3FD.npy --as s3fd
    """

    file: Annotated[str, Option(positional=True)]
    """The file, under any name; with --as also an https address."""
    network: Annotated[Literal["s3fd", "2dfan", "3dfan"] | None, Option(flag="--as")] = None
    """Which network your own file is; any hash is accepted."""
    sha256: str | None = None
    """With --as: refuse the file unless it has this SHA-256."""

    @field_validator("sha256")
    @classmethod
    def _lower(cls, digest: str | None) -> str | None:
        return None if digest is None else digest.lower()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sha256 is not None and self.network is None:
            raise ValueError("--sha256 needs --as; other files are identified by their hash")
        return self


def check_video_options(
    codec: str | None, output: str | None, crf: float | None, bitrate: int | None
) -> None:
    """For validators: `ValueError` for a combination of options that cannot be encoded.

    Without a codec it will be h264 or h265, which accept the same suffixes and rates.
    """
    if codec is output is crf is bitrate is None:
        return
    from faceloom.media import check_encoding

    # Without a suffix, or with a folder, the codec's own is chosen.
    suffix = None if output is None or output.endswith("/") else Path(output).suffix or None
    try:
        check_encoding(codec or "h264", suffix=suffix, crf=crf, bitrate=bitrate)
    except InputError as error:
        raise ValueError(str(error)) from None


def changes_by_stage(changes: Iterable[str]) -> dict[str, list[str]]:
    """Group `stage.key=value` texts by stage, without the stage's name.

    Raises `UsageError` for a text of another form or an unknown stage.
    """
    grouped: dict[str, list[str]] = {stage: [] for stage in RUN_STAGES}
    for text in changes:
        stage, dot, rest = text.partition(".")
        if not dot or stage not in grouped or "=" not in rest:
            known = ", ".join(RUN_STAGES)
            raise UsageError(f"--set {text!r}: expected stage.key=value; stages: {known}")
        grouped[stage].append(rest)
    return grouped
