"""Decoded samples to RGB and back, against the formulas of the standards in float64."""

from __future__ import annotations

import numpy as np
import pytest
from av import VideoFrame

from faceloom.media.colorimetry import decide_tags, guess_matrix, rgb_to_ycc
from faceloom.media.types import ColorTags
from faceloom.media.yuv import FrameConverter, layout_of, planes_of, rgb_to_frame, upsample

COEFFICIENTS = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}
CASES = [(m, r) for m in COEFFICIENTS for r in ("limited", "full")]


def to_codes(rgb: np.ndarray, matrix: str, range_: str, bits: int) -> np.ndarray:
    """RGB in [0, 1] to (Y, Cb, Cr) codes, by H.273 with Kr and Kb."""
    kr, kb = COEFFICIENTS[matrix]
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    unit = 2 ** (bits - 8)
    if range_ == "full":
        top = 2**bits - 1
        return np.stack([luma * top, cb * top + 128 * unit, cr * top + 128 * unit], -1)
    return np.stack([16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr], -1) * unit


def frame_of(codes: np.ndarray, pix_fmt: str) -> VideoFrame:
    """A 4:4:4 frame with these codes."""
    frame = VideoFrame(codes.shape[1], codes.shape[0], pix_fmt)
    for view, plane in zip(planes_of(frame), np.moveaxis(codes, -1, 0), strict=True):
        view[...] = np.clip(np.rint(plane), 0, np.iinfo(view.dtype).max)
    return frame


def colours(count: int = 64) -> np.ndarray:
    corners = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)], float)
    inside = np.random.default_rng(1).random((count * count - 8, 3))
    return np.concatenate([corners, inside]).reshape(count, count, 3)


@pytest.mark.parametrize(("matrix", "range_"), CASES)
@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv444p", 8), ("yuv444p10le", 10)])
def test_decoding_follows_the_standard(matrix, range_, pix_fmt, bits):
    rgb = colours()
    codes = np.clip(np.rint(to_codes(rgb, matrix, range_, bits)), 0, 2**bits - 1)
    tags = ColorTags(matrix, range_)
    image = FrameConverter(tags).to_rgb(frame_of(codes, pix_fmt), deep=bits > 8)
    top = 255 if bits == 8 else 65535
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    # Half a code of rounding in Y, Cb and Cr is all that may differ.
    limit = 1.8 * top / (2**bits - 1) + 0.5
    error = image.astype(float) - rgb * top
    assert np.abs(error).max() <= limit * 1.2
    assert np.abs(error.mean((0, 1))).max() < 0.1 * limit


@pytest.mark.parametrize(("matrix", "range_"), CASES)
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le", "yuv422p10le", "yuv420p"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_encoding_follows_the_standard(matrix, range_, pix_fmt, dtype):
    top = np.iinfo(dtype).max
    flat = np.random.default_rng(2).integers(0, top + 1, (24, 3), dtype=dtype)
    bits = layout_of(pix_fmt).bits
    for colour in flat:
        image = np.full((16, 16, 3), colour, dtype)
        frame = rgb_to_frame(image, pix_fmt, ColorTags(matrix, range_), "left")
        expected = to_codes(colour / top, matrix, range_, bits)
        for view, code in zip(planes_of(frame), expected, strict=True):
            assert np.ptp(view) == 0
            assert abs(float(view[0, 0]) - code) <= 0.51


def test_black_and_white_are_exact_at_ten_bits():
    for range_, black, white in (("limited", 64, 940), ("full", 0, 1023)):
        codes = np.full((4, 8, 3), 512.0)
        codes[:2, :, 0], codes[2:, :, 0] = black, white
        frame = frame_of(codes, "yuv444p10le")
        image = FrameConverter(ColorTags("bt709", range_)).to_rgb(frame, deep=True)
        assert (image[:2] == 0).all()
        assert (image[2:] == 65535).all()
        assert (
            FrameConverter(ColorTags("bt709", range_)).to_rgb(frame, deep=False)[2:] == 255
        ).all()


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize("siting", ["left", "center"])
def test_there_and_back_again_does_not_drift(range_, siting):
    """Ten generations through 4:2:0: no colour shift builds up, chroma does not wander."""
    from media_clips import picture

    tags = ColorTags("bt709", range_)
    first = image = picture(3, (96, 128))
    converter = FrameConverter(tags, siting)
    for _ in range(10):
        image = converter.to_rgb(rgb_to_frame(image, "yuv420p", tags, siting), deep=False)
    error = image.astype(float) - first
    assert np.abs(error.mean((0, 1))).max() < 0.7
    assert np.abs(error).mean() < 3.0


def test_chroma_lies_where_it_is_sited():
    """A ramp sampled at the sites comes back as the same ramp, away from the border."""
    layout = layout_of("yuv420p")
    x = np.arange(64, dtype=np.float64)
    for siting, sites in (("left", x[::2]), ("center", x[::2] + 0.5)):
        plane = np.tile((sites * 3).astype(np.uint16), (8, 1))
        wide = upsample(plane, (16, 64), layout, siting)
        assert np.abs(wide[4, 4:-4] - 3 * x[4:-4]).max() <= 1.0, siting


@pytest.mark.parametrize("pix_fmt", ["nv12", "yuyv422", "yuvj420p", "p010le", "yuv411p", "yuv410p"])
def test_every_packing_gives_the_same_colour(pix_fmt):
    colour = np.array([180, 90, 40], np.uint8)
    plain = VideoFrame.from_ndarray(np.full((32, 64, 3), colour), format="rgb24")
    full = pix_fmt == "yuvj420p"
    frame = plain.reformat(
        format=pix_fmt,
        src_colorspace=1,
        dst_colorspace=1,
        src_color_range=2,
        dst_color_range=2 if full else 1,
    )
    tags = ColorTags("bt709", "full" if full else "limited")
    image = FrameConverter(tags).to_rgb(frame, deep=False)
    assert image.shape == (32, 64, 3)
    assert np.abs(image.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr0", "gbrp", "rgba", "gbrp16le", "rgb48le"])
def test_rgb_formats_are_exact(pix_fmt):
    from media_clips import picture

    image = picture(1, (31, 53))
    deep = "16" in pix_fmt or "48" in pix_fmt
    if deep:
        source = VideoFrame.from_ndarray(image.astype(np.uint16) * 257, format=pix_fmt)
    else:
        source = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
    got = FrameConverter(ColorTags("gbr", "full")).to_rgb(source, deep=False)
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize("size", [(5, 7), (479, 853), (1, 1), (2, 3)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray"])
def test_odd_sizes_decode_whole(size, pix_fmt):
    frame = VideoFrame(size[1], size[0], pix_fmt)
    for view in planes_of(frame):
        view[...] = 128
    image = FrameConverter(ColorTags("bt709", "full")).to_rgb(frame, deep=False)
    assert image.shape == (*size, 3)
    assert (np.abs(image.astype(int) - 128) <= 1).all()


def test_gray_honours_its_range():
    frame = VideoFrame(8, 4, "gray")
    planes_of(frame)[0][...] = 16
    assert FrameConverter(ColorTags("bt709", "limited")).to_rgb(frame, deep=False).max() == 0
    assert FrameConverter(ColorTags("bt709", "full")).to_rgb(frame, deep=False).max() == 16


def test_matrices_map_white_to_white():
    for name in ("bt709", "smpte170m", "bt470bg", "smpte240m", "fcc", "bt2020nc", "ycgco"):
        np.testing.assert_allclose(rgb_to_ycc(name) @ [1, 1, 1], [1, 0, 0], atol=1e-12)


def test_untagged_footage_is_guessed_by_size():
    assert guess_matrix((1080, 1920)) == "bt709"
    assert guess_matrix((720, 576)) == "bt709"
    assert guess_matrix((576, 720)) == "bt470bg"
    assert guess_matrix((480, 720)) == "smpte170m"
    tags = decide_tags((2, 0, 2, 2), size=(480, 854), pix_fmt="yuv420p", is_rgb=False)
    assert (tags.matrix, tags.range, tags.guessed) == ("smpte170m", "limited", True)
    tags = decide_tags((9, 2, 9, 16), size=(720, 1280), pix_fmt="yuv420p10le", is_rgb=False)
    assert tags == ColorTags("bt2020nc", "full", "bt2020", "smpte2084")
