"""Exact conversion between decoded video frames and RGB arrays.

The scaler of FFmpeg shifts colours: its fast paths by up to one code value, its full-range paths
by half a chroma code, and its 16-bit output ends at 65283. One matrix in OpenCV is exact up to
rounding and four times faster than the scaler's accurate mode, so the scaler only unpacks formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter

from faceloom.media.colorimetry import Matrix, code_scale, rgb_to_ycc
from faceloom.media.types import ColorTags, Image, Siting

Plane = npt.NDArray[Any]
FULL, LIMITED = 2, 1


@dataclass(frozen=True)
class Layout:
    """How a pixel format is read: the planar format to unpack to, its bits and subsampling."""

    unpacked: str
    bits: int
    kind: str
    """`yuv`, `gray`, or `rgb`."""
    step_x: int = 1
    step_y: int = 1
    float_samples: bool = False


@cache
def layout_of(pix_fmt: str) -> Layout:
    """The layout of FFmpeg's pixel format `pix_fmt`."""
    form = VideoFormat(pix_fmt)
    bits = max((component.bits for component in form.components), default=8)
    is_float = "f32" in pix_fmt or "f16" in pix_fmt
    if form.is_rgb or form.has_palette or pix_fmt.startswith(("pal8", "mono", "bayer", "xyz")):
        if bits > 8:
            return Layout("gbrp16le", 16, "rgb", float_samples=is_float)
        return Layout("rgb24", 8, "rgb")
    if len([c for c in form.components if not c.is_alpha]) == 1:
        return Layout("gray" if bits <= 8 else f"gray{_known_bits(bits)}le", max(bits, 8), "gray")
    step_x, step_y = 256 // form.chroma_width(256), 256 // form.chroma_height(256)
    name = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440", (4, 1): "411"}
    sampling = name.get((step_x, step_y))
    if sampling is None:
        return Layout("yuv444p", 8, "yuv")
    known = _known_bits(bits)
    depth = "" if known == 8 else f"{known}le"
    return Layout(f"yuv{sampling}p{depth}", known, "yuv", step_x, step_y)


def _known_bits(bits: int) -> int:
    """The next depth that FFmpeg has planar formats for."""
    return next(known for known in (8, 9, 10, 12, 14, 16) if known >= min(bits, 16))


def planes_of(frame: VideoFrame) -> list[Plane]:
    """Views `h w` of a planar frame's samples, without padding; they keep the frame alive."""
    views: list[Plane] = []
    for plane in frame.planes:
        deep = plane.line_size // max(plane.width, 1) >= 2 and "le" in frame.format.name
        dtype = np.uint16 if deep else np.uint8
        rows = np.frombuffer(cast(Any, plane), dtype)
        rows = rows.reshape(plane.height, plane.line_size // dtype().itemsize)
        views.append(rows[:, : plane.width])
    return views


class FrameConverter:
    """Converts decoded frames to RGB. Not thread-safe: use one per thread."""

    def __init__(self, color: ColorTags, siting: Siting = "left") -> None:
        self._color = color
        self._siting: Siting = siting
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: VideoFrame, *, deep: bool) -> Image:
        """`h w 3` RGB in storage orientation: uint16 full scale if `deep`, else uint8."""
        layout = layout_of(frame.format.name)
        if layout.kind == "rgb":
            return self._from_rgb(frame, layout, deep)
        planes = planes_of(self._unpack(frame, layout))
        if layout.kind == "gray":
            return _gray_to_rgb(planes[0], layout.bits, self._color, deep)
        bits = layout.bits
        if bits == 8 and (deep or layout.step_x * layout.step_y > 1):
            # Interpolated chroma rounded to 8 bits would be biased upwards by an eighth of a code.
            planes = [np.left_shift(plane, 8, dtype=np.uint16) for plane in planes]
            bits = 16
        size = (planes[0].shape[0], planes[0].shape[1])
        chroma = [upsample(plane, size, layout, self._siting) for plane in planes[1:3]]
        ycc = cv2.merge([planes[0], *chroma])
        scale, offset = code_scale(layout.bits, self._color.range == "full")
        unit = float(1 << (bits - layout.bits))
        return _ycc_to_rgb(ycc, scale * unit, offset * unit, self._color.matrix, deep)

    def _unpack(self, frame: VideoFrame, layout: Layout) -> VideoFrame:
        name = frame.format.name
        if name == layout.unpacked or name == layout.unpacked.replace("yuv", "yuvj"):
            return frame
        range_ = FULL if self._color.range == "full" else LIMITED
        return self._reformatter.reformat(
            frame, format=layout.unpacked, src_color_range=range_, dst_color_range=range_
        )

    def _from_rgb(self, frame: VideoFrame, layout: Layout, deep: bool) -> Image:
        if layout.bits == 8:
            image = _packed(self._reformatter.reformat(frame, format="rgb24", dst_color_range=FULL))
            return _scaled_up(image) if deep else image
        name = frame.format.name
        bits = max(component.bits for component in frame.format.components)
        if not (name.startswith("gbr") and name.endswith("le") and not layout.float_samples):
            frame = self._reformatter.reformat(frame, format="gbrp16le", dst_color_range=FULL)
            bits = 16
        green, blue, red = planes_of(frame)[:3]
        image = cv2.merge([red, green, blue])
        if bits < 16:
            scale = 65535 / ((1 << bits) - 1)
            image = cv2.addWeighted(image, scale, image, 0.0, 0.0)
        return image if deep else to_uint8(image)


def _packed(frame: VideoFrame) -> Image:
    """The `h w 3` array of an rgb24 frame; a view of its memory if that has no padding."""
    plane = frame.planes[0]
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width * 3]).reshape(plane.height, plane.width, 3)


def _gray_to_rgb(plane: Plane, bits: int, color: ColorTags, deep: bool) -> Image:
    scale, offset = code_scale(bits, color.range == "full")
    top = 65535.0 if bits > 8 else 255.0
    factor = top / scale[0]
    gray = cv2.addWeighted(np.ascontiguousarray(plane), factor, plane, 0.0, -offset[0] * factor)
    return _as_depth(cv2.merge([gray, gray, gray]), deep)


def _ycc_to_rgb(ycc: Plane, scale: Matrix, offset: Matrix, matrix: str, deep: bool) -> Image:
    top = 255.0 if ycc.dtype == np.uint8 else 65535.0
    inverse = np.linalg.inv(rgb_to_ycc(matrix)) @ np.diag(top / scale)
    return _as_depth(cv2.transform(ycc, np.column_stack([inverse, -inverse @ offset])), deep)


def _as_depth(image: Image, deep: bool) -> Image:
    if deep:
        return image if image.dtype == np.uint16 else _scaled_up(image)
    return image if image.dtype == np.uint8 else to_uint8(image)


def _scaled_up(image: Image) -> Image:
    return image.astype(np.uint16) * np.uint16(257)


def to_uint8(image: Image) -> Image:
    """uint16 full scale to uint8, rounded; uint8 is returned unchanged."""
    if image.dtype == np.uint8:
        return image
    return cv2.convertScaleAbs(image, alpha=1 / 257)


def upsample(plane: Plane, size: tuple[int, int], layout: Layout, siting: Siting) -> Plane:
    """A chroma plane at the luma plane's `size` (h, w), linear, respecting the sample siting."""
    height, width = size
    if layout.step_x == 1 and layout.step_y == 1:
        return plane
    if layout.step_x == 2 and siting == "left":
        wide = np.empty((plane.shape[0], plane.shape[1] * 2), plane.dtype)
        plane = np.ascontiguousarray(plane)
        wide[:, 0::2] = plane
        right = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
        wide[:, 1::2] = cv2.addWeighted(plane, 0.5, right, 0.5, 0.0)
        plane = wide
    # A subsampled plane covers whole steps: one pixel more than an odd width or height.
    covered = (
        plane.shape[1] * (1 if plane.shape[1] >= width else layout.step_x),
        plane.shape[0] * layout.step_y,
    )
    if covered != (plane.shape[1], plane.shape[0]):
        plane = cv2.resize(plane, covered, interpolation=cv2.INTER_LINEAR)
    return plane[:height, :width]


def downsample(plane: Plane, step_x: int, step_y: int, siting: Siting) -> Plane:
    """A chroma plane averaged by the steps (each 1 or 2); its sides must be multiples."""
    height, width = plane.shape
    small = (width // step_x, height // step_y)
    if (step_x, step_y) == (1, 1):
        return plane
    box = cv2.resize(plane, small, interpolation=cv2.INTER_AREA)
    if step_x == 1 or siting == "center":
        return box
    # [1 2 1]/4 around the left pixel is the mean of the boxes to its right and to its left.
    shifted = np.concatenate([plane[:, :1], plane[:, :-1]], axis=1)
    left_box = cv2.resize(shifted, small, interpolation=cv2.INTER_AREA)
    return cv2.addWeighted(box, 0.5, left_box, 0.5, 0.0)


def rgb_to_frame(image: Image, pix_fmt: str, color: ColorTags, siting: Siting) -> VideoFrame:
    """A video frame of the planar YUV format `pix_fmt` from RGB uint8 or uint16 full scale.

    Sides must be multiples of the chroma steps. Exact up to the rounding of the codes.
    """
    layout = layout_of(pix_fmt)
    scale, offset = code_scale(layout.bits, color.range == "full")
    spare = 16 - layout.bits
    unit = float(1 << spare)
    forward = np.diag(scale * unit / (255.0 if image.dtype == np.uint8 else 65535.0))
    forward = forward @ rgb_to_ycc(color.matrix)
    # Half a code is added here, so that the shift below rounds.
    matrix = np.column_stack([forward, (offset + 0.5) * unit])
    luma, *chroma = cv2.split(cv2.transform(image.astype(np.uint16, copy=False), matrix))
    chroma = [downsample(plane, layout.step_x, layout.step_y, siting) for plane in chroma]
    height, width = image.shape[:2]
    frame = VideoFrame(width, height, pix_fmt)
    for view, plane in zip(planes_of(frame), [luma, *chroma], strict=False):
        np.right_shift(plane, spare, out=view, casting="unsafe")
    return frame
