"""Footage in and out: videos and pictures, frames with exact time stamps, true colours."""

from faceloom.media.codecs import (
    CODECS,
    Preset,
    VideoCodec,
    check_encoding,
    default_codec,
    default_suffix,
)
from faceloom.media.footage import IMAGE_FPS, VIDEO_SUFFIXES, Footage, open_footage
from faceloom.media.hdr import WorkingTransform, working_transform
from faceloom.media.images import read_image, write_image
from faceloom.media.prefetch import prefetch
from faceloom.media.timeline import TIMELINE_NAME, Timeline, read_timeline, write_timeline
from faceloom.media.types import AudioInfo, ColorTags, FootageInfo, Frame, Image
from faceloom.media.writer import VideoWriter

__all__ = [
    "CODECS",
    "IMAGE_FPS",
    "TIMELINE_NAME",
    "VIDEO_SUFFIXES",
    "AudioInfo",
    "ColorTags",
    "Footage",
    "FootageInfo",
    "Frame",
    "Image",
    "Preset",
    "Timeline",
    "VideoCodec",
    "VideoWriter",
    "WorkingTransform",
    "check_encoding",
    "default_codec",
    "default_suffix",
    "open_footage",
    "prefetch",
    "read_image",
    "read_timeline",
    "working_transform",
    "write_image",
    "write_timeline",
]
