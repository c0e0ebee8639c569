"""Reading pictures of every kind upright, refusing hostile ones, writing whole files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import MediaError
from faceloom.media import read_image, write_image
from faceloom.media.images import is_cut_off, read_picture, stored_size
from faceloom.media.orientation import (
    apply_orientation,
    display_matrix_orientation,
    swaps_sides,
)
from media_clips import picture

# What EXIF says of the stored picture: where its row 0 and column 0 lie on the upright one.
UPRIGHT_BY_NUMPY = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_with_exif(image: np.ndarray, orientation: int, order: str = "<") -> bytes:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    block = b"Exif\0\0" + exif(orientation, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    body = kind + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation(tmp_path, orientation, order):
    image = picture(5, (40, 60))
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(image, orientation, order))
    (tmp_path / "b.jpg").write_bytes(jpeg_with_exif(image, 1))
    upright = UPRIGHT_BY_NUMPY[orientation](read_image(tmp_path / "b.jpg")[0])
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg")[0], upright)
    assert swaps_sides(orientation) == (upright.shape[:2] == (60, 40))


def test_png_and_tiff_orientation(tmp_path):
    image = picture(5, (40, 60))
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    (tmp_path / "a.png").write_bytes(data[:33] + png_chunk(b"eXIf", exif(6)) + data[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], UPRIGHT_BY_NUMPY[6](image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_display_matrix_agrees_with_exif(orientation):
    """The matrix maps stored (x, y) to shown (x, y): so must the orientation."""
    one = 1 << 16
    matrices = {
        1: (one, 0, 0, one),
        2: (-one, 0, 0, one),
        3: (-one, 0, 0, -one),
        4: (one, 0, 0, -one),
        5: (0, one, one, 0),
        6: (0, one, -one, 0),
        7: (0, -one, -one, 0),
        8: (0, -one, one, 0),
    }
    a, b, c, d = matrices[orientation]
    packed = struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    found = display_matrix_orientation(packed)
    assert found == orientation
    stored = np.arange(6).reshape(2, 3, 1).astype(np.uint8)
    shown = apply_orientation(stored, found).reshape(-1)
    places = {}
    for y in range(2):
        for x in range(3):
            places[(a * x + c * y) // one, (b * x + d * y) // one] = int(stored[y, x, 0])
    order = sorted(places, key=lambda p: (p[1], p[0]))
    assert [places[p] for p in order] == shown.tolist()


def test_depths_and_channels(tmp_path):
    deep = (picture(1).astype(np.uint16) * 257) ^ 5
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", native=True)[0], deep)
    shallow, alpha = read_image(tmp_path / "deep.png")
    assert shallow.dtype == np.uint8
    assert alpha is None
    np.testing.assert_array_equal(shallow, np.rint(deep / 257).astype(np.uint8))

    gray = picture(2)[..., 0]
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    np.testing.assert_array_equal(
        read_image(tmp_path / "gray.png")[0], np.repeat(gray[..., None], 3, 2)
    )
    cover = np.dstack([picture(3)[..., ::-1], gray])
    cv2.imwrite(str(tmp_path / "alpha.png"), cover)
    image, alpha = read_image(tmp_path / "alpha.png")
    np.testing.assert_array_equal(image, picture(3))
    np.testing.assert_array_equal(alpha, gray)
    cv2.imwrite(str(tmp_path / "float.tiff"), (picture(4)[..., ::-1] / 255).astype(np.float32))
    np.testing.assert_array_equal(read_image(tmp_path / "float.tiff")[0], picture(4))


@pytest.mark.parametrize("name", ["bild läuft 女人 é.png", "a.bmp", "a.tif", "a.TIFF"])
def test_lossless_formats_round_trip(tmp_path, name):
    path = tmp_path / "neuer Ordner ü" / name
    written = write_image(path, picture(6))
    assert written == path.stat().st_size
    np.testing.assert_array_equal(read_image(path)[0], picture(6))
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_sixteen_bits_alpha_and_masks_round_trip(tmp_path):
    deep = picture(7).astype(np.uint16) * 257 ^ 3
    alpha = picture(8)[..., 0]
    write_image(tmp_path / "a.png", deep, alpha=alpha)
    image, cover = read_image(tmp_path / "a.png", native=True)
    np.testing.assert_array_equal(image, deep)
    np.testing.assert_array_equal(cover, alpha)
    write_image(tmp_path / "mask.png", alpha)
    assert cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED).shape == alpha.shape


def test_jpeg_quality_counts(tmp_path):
    small = write_image(tmp_path / "a.jpg", picture(1), jpeg_quality=20)
    assert small < write_image(tmp_path / "b.jpg", picture(1), jpeg_quality=95)
    error = read_image(tmp_path / "b.jpg")[0].astype(int) - picture(1)
    assert np.abs(error).mean() < 2


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x07\0\0\0\x05\x08\x02\0\0\0", (5, 7)),
        (b"BM" + bytes(16) + struct.pack("<ii", 7, -5), (5, 7)),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x06\0\0\x04\0\0", (5, 7)),
        (b"\xff\xd8\xff\xc0\0\x11\x08\0\x05\0\x07\x03", (5, 7)),
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x11\x08\0\x05\0\x07", (5, 7)),
        (b"nothing", None),
        (b"\x89PNG", None),
    ],
)
def test_sizes_from_headers(data, size):
    assert stored_size(data) == size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_sizes_of_real_files(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", picture(1, (33, 57)))
    assert stored_size((tmp_path / f"a{suffix}").read_bytes()) == (33, 57)


def test_huge_pictures_are_refused_before_decoding(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IEND", b""))
    with pytest.raises(MediaError, match="60000x60000 pixels; the limit is 300 megapixels") as told:
        read_image(tmp_path / "bomb.png")
    assert "\n" not in str(told.value)


def test_unreadable_pictures_are_told_in_one_line(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not a picture at all, whatever its name says")
    for name, reason in [
        ("empty.jpg", "empty"),
        ("text.png", "not a readable picture"),
        ("no.png", "No such"),
    ]:
        with pytest.raises(MediaError, match=reason) as told:
            read_image(tmp_path / name)
        assert "\n" not in str(told.value)


def test_cut_jpeg_gives_what_decodes_and_says_so(tmp_path):
    whole = cv2.imencode(".jpg", picture(1, (256, 256))[..., ::-1])[1].tobytes()
    cut = whole[: int(len(whole) * 0.6)]
    assert is_cut_off(cut)
    assert not is_cut_off(whole)
    (tmp_path / "cut.jpg").write_bytes(cut)
    found = read_picture(tmp_path / "cut.jpg")
    assert found.notes
    error = np.abs(found.image[:64].astype(int) - picture(1, (256, 256))[:64])
    assert error.mean() < 4


def test_writing_says_why_it_cannot(tmp_path):
    with pytest.raises(MediaError, match=r"cannot write \.xyz pictures"):
        write_image(tmp_path / "a.xyz", picture(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError):
        write_image(tmp_path / "file" / "a.png", picture(1))


def test_real_orientations_agree(media: Path):
    """The four copies of one photo, stored turned, are the same picture."""
    folder = media / "awkward"
    straight = read_image(media / "photos" / "woman_glasses_street.jpg")[0].astype(int)
    for turned in (3, 6, 8):
        image = read_image(folder / f"exif_orientation_{turned}.jpg")[0]
        assert image.shape == straight.shape
        assert np.abs(image - straight).mean() < 4


def test_real_kinds_show_the_same_photo(media: Path):
    """CMYK, WebP and progressive copies look alike; grey has its luma."""
    folder = media / "awkward"
    straight = read_image(media / "photos" / "woman_glasses_street.jpg")[0].astype(int)
    for name in ("cmyk.jpg", "lossy.webp", "progressive.jpg"):
        image = read_image(folder / name)[0]
        assert np.abs(image - straight).mean() < 8, name
    luma = straight @ [0.299, 0.587, 0.114]
    assert np.abs(read_image(folder / "gray.jpg")[0][..., 0] - luma).mean() < 4
    assert read_image(folder / "rgb16.png", native=True)[0].dtype == np.uint16
    assert read_image(folder / "rgba.png")[1] is not None
