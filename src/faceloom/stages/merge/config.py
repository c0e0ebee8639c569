"""What to merge, how, and where to."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from faceloom.core.config import DeviceSettings, Option, Output, ThreadSettings, WorkspaceSettings
from faceloom.core.vocabulary import PrecisionChoice, SwapClass, VideoCodec, Weights
from faceloom.settings.merge import MergeSettings
from faceloom.stages.config import check_video_options

VIDEO_OPTIONS = ("output", "codec", "crf", "bitrate")


class MergeConfig(WorkspaceSettings, ThreadSettings, DeviceSettings, MergeSettings):
    """Put the trained face on the footage of dst: as frames and masks, or directly as a video.

    Frames go to data_dst/merged, masks to data_dst/merged_mask; `faceloom encode` makes a video of
    them. After a stop, the same command resumes. After more training or with other settings, it
    redoes only the frames that change. Frames without a face are copied unchanged.

    **Example**

        faceloom merge --blur 40 --erode 10

        faceloom merge --to-video --codec h265 --color-statistics inside
    """

    model: Annotated[SwapClass | None, Option(positional=True)] = None
    """Model class; needed if there are several."""
    name: str | None = None
    """Model name; needed if there are several."""
    weights: Weights = "auto"
    """Which weights to use: those of the last step (trained), their running mean, which training
    with `ema_decay` keeps (mean), or the mean if there is one (auto)."""
    to_video: bool = False
    """Write a signed video directly instead of pictures."""
    output: Output | None = None
    """With --to-video: the output file, or a folder for it (ends in `/`, or exists). Default:
    result.mp4 (or .mkv, .mov) in the workspace."""
    codec: VideoCodec | None = None
    """With --to-video: the codec. Default: h264, or h265 for footage with more than 8 bits."""
    crf: float | None = Field(default=None, ge=0, le=51)
    """With --to-video: constant quality of h264 and h265, lower is better. Default: 16 for h264, 18
    for h265."""
    bitrate: int | None = Field(default=None, ge=1000)
    """With --to-video: bits per second of h264 and h265, instead of `crf`."""
    precision: PrecisionChoice = "fp32"
    """fp32, or bf16: faster on hardware that supports it, with errors of up to one 8-bit level."""
    batch_size: int = Field(default=0, ge=0, le=1024)
    """Faces per batch of the model; 0: chosen by device."""
    redo: bool = False
    """Redo finished frames, too."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.to_video:
            check_video_options(self.codec, self.output, self.crf, self.bitrate)
        return self
