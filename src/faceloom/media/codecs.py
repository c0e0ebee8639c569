"""Encoder, pixel format, options and container of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from faceloom.core import InputError
from faceloom.core.vocabulary import Preset, VideoCodec
from faceloom.media.colorimetry import guess_matrix
from faceloom.media.types import ColorTags, FootageInfo

CODECS: tuple[VideoCodec, ...] = get_args(VideoCodec)

CONTAINERS: dict[str, tuple[str, ...]] = {
    "h264": (".mp4", ".mov", ".m4v", ".mkv"),
    "h265": (".mp4", ".mov", ".m4v", ".mkv"),
    "prores": (".mov", ".mkv"),
    "ffv1": (".mkv",),
    "h264-lossless": (".mp4", ".mov", ".mkv"),
}
"""The file suffixes that support a codec, the usual one first."""

DEFAULT_CRF = {"h264": 16, "h265": 18}
"""Visually lossless for practical purposes: the result is often encoded once more."""

MP4_AUDIO = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"})
MOV_AUDIO = MP4_AUDIO - {"flac", "opus"}


@dataclass(frozen=True)
class EncodePlan:
    """How frames are encoded. `rgb`: the samples are stored as RGB, not as YUV."""

    encoder: str
    pix_fmt: str
    color: ColorTags
    rgb: bool
    options: dict[str, str]
    notes: list[str] = field(default_factory=list[str])


def default_codec(like: FootageInfo) -> VideoCodec:
    """H.264, which plays everywhere; H.265 for footage with more than 8 bits."""
    return "h265" if like.bit_depth > 8 else "h264"


def default_suffix(codec: str, like: FootageInfo, audio: Sequence[str] | None = None) -> str:
    """The container of a result: the usual one of the codec, or `.mkv` if the audio needs it.

    `audio`: the codecs of the tracks, by default those of the footage.
    """
    tracks = [track.codec for track in like.audio] if audio is None else audio
    for suffix in CONTAINERS[codec]:
        if all(carries_audio(suffix, track) for track in tracks):
            return suffix
    return ".mkv"


def carries_audio(suffix: str, codec: str) -> bool:
    """Whether a container supports an audio codec."""
    if suffix == ".mkv":
        return True
    if suffix == ".mov":
        return codec in MOV_AUDIO or codec.startswith("pcm_")
    return codec in MP4_AUDIO


def check_container(codec: str, suffix: str) -> None:
    """Raise `InputError` if a codec and a file suffix do not go together."""
    if codec not in CONTAINERS:
        raise InputError(f"unknown codec {codec!r}; known: {', '.join(CODECS)}")
    if suffix not in CONTAINERS[codec]:
        raise InputError(
            f"{codec} does not go into a {suffix or 'file without a suffix'}; "
            f"use {' or '.join(CONTAINERS[codec])}"
        )


def check_encoding(
    codec: str, *, suffix: str | None = None, crf: float | None = None, bitrate: int | None = None
) -> None:
    """Raise `InputError` if a codec, a file suffix and a rate do not go together.

    None is not checked, so that a mistake can be reported before there are any frames.
    """
    if suffix is not None:
        check_container(codec, suffix.lower())
    _check_rate(codec, crf, bitrate)


def plan_encoding(
    codec: VideoCodec,
    like: FootageInfo,
    size: tuple[int, int],
    *,
    crf: float | None = None,
    bitrate: int | None = None,
    preset: Preset = "medium",
) -> EncodePlan:
    """Decide how footage like `like` of `size` (h, w) is encoded.

    Raises `InputError` if the rate options do not fit the codec.
    """
    _check_rate(codec, crf, bitrate)
    if codec == "ffv1":
        return _ffv1(like)
    if codec == "h264-lossless":
        return _h264_lossless(like, preset)
    if codec == "prores":
        return _prores(like, size)
    return _lossy(codec, like, size, _rate_options(codec, crf, bitrate) | {"preset": preset})


def _check_rate(codec: str, crf: float | None, bitrate: int | None) -> None:
    if crf is not None and bitrate is not None:
        raise InputError("use either crf or bitrate, not both")
    if codec not in DEFAULT_CRF and (crf is not None or bitrate is not None):
        raise InputError(f"{codec} has a fixed quality: leave crf and bitrate out")
    if crf is not None and not 0 <= crf <= 51:
        raise InputError(f"crf must be 0 to 51 (got {crf})")
    if bitrate is not None and bitrate < 1000:
        raise InputError(f"a bitrate of {bitrate} bits per second is too low; 8 Mbit/s is 8000000")


def _rate_options(codec: str, crf: float | None, bitrate: int | None) -> dict[str, str]:
    if bitrate is not None:
        return {"b": str(bitrate)}
    return {"crf": f"{DEFAULT_CRF[codec] if crf is None else crf:g}"}


def video_color(like: FootageInfo, size: tuple[int, int]) -> ColorTags:
    """The tags of a YUV result: those of the footage; RGB becomes limited-range BT.709 or 601."""
    color = like.color
    if color.matrix != "gbr":
        return color
    primaries = "bt709" if color.primaries == "unknown" else color.primaries
    transfer = color.transfer
    if transfer in {"unknown", "iec61966-2-1"}:
        # Code values stay; players display sRGB pictures correctly if they are tagged BT.709.
        transfer = "bt709"
    return ColorTags(guess_matrix(size, color.primaries), "limited", primaries, transfer)


def _lossy(
    codec: str, like: FootageInfo, size: tuple[int, int], options: dict[str, str]
) -> EncodePlan:
    notes: list[str] = []
    deep = like.bit_depth > 8
    odd = size[0] % 2 or size[1] % 2
    pix_fmt = f"yuv{'444' if odd else '420'}p{'10le' if deep else ''}"
    if odd:
        notes.append(
            f"odd size {size[1]}x{size[0]}: encoded as 4:4:4, which some players do not support"
        )
    if deep and codec == "h264":
        notes.append("few players support 10-bit H.264; h265 is the usual choice")
    if codec == "h265":
        options |= {"x265-params": _x265_params(like)}
    encoder = "libx264" if codec == "h264" else "libx265"
    return EncodePlan(encoder, pix_fmt, video_color(like, size), False, options, notes)


def _x265_params(like: FootageInfo) -> str:
    params = ["log-level=error"]
    if like.hdr:
        params += ["hdr10-opt=1", "repeat-headers=1"]
    if like.hdr and like.hdr_metadata:
        if like.hdr_metadata.master_display:
            params.append(f"master-display={like.hdr_metadata.master_display}")
        if like.hdr_metadata.max_cll:
            params.append("max-cll={},{}".format(*like.hdr_metadata.max_cll))
    return ":".join(params)


def _prores(like: FootageInfo, size: tuple[int, int]) -> EncodePlan:
    full_chroma = "444" in like.pix_fmt or like.color.matrix == "gbr" or size[1] % 2 == 1
    pix_fmt, profile = ("yuv444p10le", "4444") if full_chroma else ("yuv422p10le", "hq")
    # ProRes has limited range only.
    color = replace(video_color(like, size), range="limited")
    options = {"profile": profile, "vendor": "apl0"}
    return EncodePlan("prores_ks", pix_fmt, color, False, options)


def _stored_as_rgb(like: FootageInfo) -> ColorTags:
    return ColorTags("gbr", "full", like.color.primaries, like.color.transfer)


def _ffv1(like: FootageInfo) -> EncodePlan:
    pix_fmt = "gbrp16le" if like.bit_depth > 8 else "bgr0"
    options = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
    return EncodePlan("ffv1", pix_fmt, _stored_as_rgb(like), True, options)


def _h264_lossless(like: FootageInfo, preset: Preset) -> EncodePlan:
    notes = [
        "lossless H.264 stores RGB (High 4:4:4), which editors support but many players do not"
    ]
    if like.bit_depth > 8:
        notes.append("lossless H.264 stores 8 bits; use ffv1 to keep more")
    options = {"crf": "0", "preset": preset}
    return EncodePlan("libx264rgb", "rgb24", _stored_as_rgb(like), True, options, notes)


def audio_problem(suffix: str, tracks: Sequence[str]) -> str | None:
    """A message if a container does not support audio codecs; None if it does."""
    unfit = sorted({codec for codec in tracks if not carries_audio(suffix, codec)})
    if not unfit:
        return None
    return f"{suffix} does not support {', '.join(unfit)} audio; use .mkv"
