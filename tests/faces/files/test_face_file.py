"""Faces as files: accepted by DFL's reader, kept whole on edits, safe against damage."""

from __future__ import annotations

import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from face_inputs import SIZE, dfl_read, own, picture, record, same_record
from faceloom.core import FaceloomError, FormatError, InputError, MediaError
from faceloom.faces import (
    FaceRecord,
    SegPolygon,
    encode_face,
    read_face,
    read_record,
    update_record,
    write_face,
)
from faceloom.faces.files.jpeg import header_segments, replace_segments, segment_bytes
from faceloom.faces.files.png import chunks
from faceloom.pickles.writer import dumps

POLYGONS = (
    SegPolygon(True, np.array([[1, 2], [30, 4], [20, 40]], np.float32)),
    SegPolygon(False, np.array([[5, 5], [6, 9], [9, 6]], np.float32)),
)


def full_record() -> FaceRecord:
    return record(
        eyebrows_expand_mod=1.5,
        seg_ie_polys=POLYGONS,
        xseg_mask=bytes(range(256)) * 20,
        unknown={"fanseg_mask": np.arange(9, dtype=np.uint8), "relighted": True},
    )


@pytest.fixture(params=[".jpg", ".png"])
def face(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"00017_0{request.param}"
    write_face(path, picture(), full_record())
    return path


def scan_of(data: bytes) -> bytes:
    """Everything of a file that makes its pixels."""
    if data[:2] == b"\xff\xd8":
        return data[header_segments(data)[-1].end :]
    return b"".join(data[start:end] for kind, start, end in chunks(data) if kind == b"IDAT")


def test_everything_comes_back(face: Path):
    same_record(read_record(face), full_record())
    image, again = read_face(face)
    same_record(again, full_record())
    assert image.dtype == np.uint8 and image.shape == (SIZE, SIZE, 3)
    error = np.abs(image.astype(int) - picture()).mean()
    assert error == 0 if face.suffix == ".png" else error < 2


def test_written_size_is_returned_and_nothing_temporary_is_left(tmp_path: Path):
    path = tmp_path / "a.jpg"
    assert write_face(path, picture(), record()) == path.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_dfl_reads_our_jpeg():
    values, shape, markers = dfl_read(encode_face(picture(), full_record()))
    expected = full_record()
    assert shape == (SIZE, SIZE, 3)
    assert markers[1] == 0xE0 and markers.count(0xEF) == 1 and markers[-1] == 0xD9
    assert values["face_type"] == "whole_face" and values["source_filename"] == "00017.png"
    assert type(values["landmarks"]) is list and type(values["landmarks"][0][0]) is float
    assert np.array_equal(values["landmarks"], expected.landmarks)
    assert np.array_equal(values["source_landmarks"], expected.source_landmarks)
    assert values["source_rect"][[0, 3]].tolist() == [353, 590]  # DFL's sorter fancy-indexes it
    assert values["source_rect"].dtype == np.int32
    assert np.array_equal(values["image_to_face_mat"], expected.image_to_face_mat)
    assert values["image_to_face_mat"].dtype == np.float64
    assert values["eyebrows_expand_mod"] == 1.5
    assert values["xseg_mask"].dtype == np.uint8 and values["xseg_mask"].ndim == 1
    assert [p["type"] for p in values["seg_ie_polys"]["polys"]] == [1, 0]
    assert values["seg_ie_polys"]["polys"][0]["pts"].dtype == np.float32
    assert values["relighted"] is True
    assert "own" not in values and not any(value is None for value in values.values())


def test_plain_record_omits_what_dfl_omits():
    values, _, _ = dfl_read(encode_face(picture(), record(own=None)))
    assert list(values) == [
        "face_type",
        "landmarks",
        "source_filename",
        "source_rect",
        "source_landmarks",
        "image_to_face_mat",
    ]
    marked, _, _ = dfl_read(
        encode_face(picture(), record(face_type="mark_only", image_to_face_mat=None))
    )
    assert "image_to_face_mat" not in marked


def test_update_changes_metadata_and_never_pixels(face: Path):
    before = face.read_bytes()
    changed = replace(full_record(), face_type="full_face", own=own(track=5), seg_ie_polys=())
    update_record(face, changed)
    after = face.read_bytes()
    assert scan_of(after) == scan_of(before)
    same_record(read_record(face), changed)
    assert (read_face(face)[0] == cv2.imread(str(face))[..., ::-1]).all()
    update_record(face, full_record())
    same_record(read_record(face), full_record())
    assert len(face.read_bytes()) == len(before)
    assert scan_of(face.read_bytes()) == scan_of(before)


def test_update_is_idempotent(face: Path):
    update_record(face, read_record(face))
    once = face.read_bytes()
    update_record(face, read_record(face))
    assert face.read_bytes() == once


def foreign(values: dict[str, Any], *, quality: int = 90) -> bytes:
    """A face of another program: as OpenCV encodes, with `values` in APP15."""
    data = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return replace_segments(data, [], segment_bytes(0xEF, dumps(values)))


def test_update_keeps_other_programs_spelling_of_what_did_not_change(tmp_path: Path):
    points = np.random.default_rng(0).uniform(0, 99, (68, 2))  # float64: not representable in 32
    old = {
        "yaw_value": np.float64(0.1),
        "landmarks": points,
        "source_rect": (1.25, 2, 30, 40),
        "source_landmarks": points.tolist(),
        "source_filename": "a.png",
        "xseg_mask": np.arange(50, dtype=np.uint8)[:, None],
        "seg_ie_polys": [(1, [[1, 2], [3, 4], [5, 7]])],
        "pitch_yaw_roll": (1.0, 2.0, 3.0),
    }
    path = tmp_path / "f.jpg"
    path.write_bytes(foreign(old))
    known = read_record(path)
    assert known.face_type == "full_face" and known.own is None
    assert known.source_rect.tolist() == [1, 2, 30, 40]
    assert set(known.unknown) == {"yaw_value", "pitch_yaw_roll"}
    update_record(path, replace(known, source_filename="b.png"))
    new, _, _ = dfl_read(path.read_bytes())
    assert list(new)[: len(old)] == list(old)
    assert new.pop("source_filename") == "b.png" and new.pop("face_type") == "full_face"
    assert (new["landmarks"] == points).all() and new["source_landmarks"] == points.tolist()
    assert new["xseg_mask"].shape == (50, 1)
    for key in ("yaw_value", "source_rect", "seg_ie_polys", "pitch_yaw_roll"):
        assert new[key] == old[key] and type(new[key]) is type(old[key])


def test_metadata_too_large_leaves_the_file_alone(tmp_path: Path):
    path = tmp_path / "a.jpg"
    write_face(path, picture(), record())
    before = path.read_bytes()
    fat = replace(record(), xseg_mask=bytes(66_000))
    with pytest.raises(FormatError, match=r"a\.jpg: 6\d{4} bytes of metadata"):
        update_record(path, fat)
    with pytest.raises(FormatError, match="65533"):
        write_face(tmp_path / "b.jpg", picture(), fat)
    with pytest.raises(FormatError, match="65533"):
        write_face(path, picture(), record(own=own(unknown={"a": "x" * 66_000})))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    png = tmp_path / "b.png"
    write_face(png, picture(), fat)  # the lossless form has the room
    assert read_record(png).xseg_mask == bytes(66_000)


def test_largest_metadata_fits_exactly(tmp_path: Path):
    overhead = len(dumps(dict(dfl_read(encode_face(picture(), record(xseg_mask=bytes(300))))[0])))
    room = 65_533 - overhead + 300
    data = encode_face(picture(), record(xseg_mask=bytes(room)))
    (tmp_path / "a.jpg").write_bytes(data)
    assert len(read_record(tmp_path / "a.jpg").xseg_mask or b"") == room
    assert len(dfl_read(data)[0]["xseg_mask"]) == room
    with pytest.raises(FormatError, match="65534 bytes"):
        encode_face(picture(), record(xseg_mask=bytes(room + 1)))


@pytest.mark.parametrize(
    "flags",
    [
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    ],
)
def test_other_kinds_of_jpeg(tmp_path: Path, flags: list[int]):
    path = tmp_path / "a.JPEG"
    path.write_bytes(cv2.imencode(".jpg", picture(), flags)[1].tobytes())
    with pytest.raises(FormatError, match=r"a\.JPEG: no face metadata"):
        read_record(path)
    scan = scan_of(path.read_bytes())
    if flags[0] == cv2.IMWRITE_JPEG_RST_INTERVAL:
        assert any(s.marker == 0xDD for s in header_segments(path.read_bytes()))
    update_record(path, record())
    same_record(read_record(path), record())
    assert scan_of(path.read_bytes()) == scan


def test_gray_exif_only_and_padded_jpegs(tmp_path: Path):
    gray = cv2.imencode(".jpg", picture()[..., 0])[1].tobytes()
    exif = b"\xff\xe1\x00\x0aExif\0\0ab"
    # No JFIF header, an Exif one, and padding before a marker.
    data = gray[:2] + exif + b"\xff\xff" + gray[2 + 18 :]
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    update_record(path, record())
    after = path.read_bytes()
    assert after[2:14] == exif
    assert after[14:16] == b"\xff\xe9" and b"\xff\xef" in after
    image, _ = read_face(path)
    assert image.shape == (SIZE, SIZE, 3)


def test_png_chunk_of_old_dfl_is_read_and_its_own_kept(tmp_path: Path):
    path = tmp_path / "old.png"
    values = {"landmarks": record().landmarks.tolist(), "source_filename": "9.png"}
    values["source_landmarks"] = record().source_landmarks.tolist()
    content = dumps({**values, "yaw_value": 0.25})
    chunk = struct.pack(">I", len(content)) + b"fcWp" + content
    chunk += struct.pack(">I", zlib.crc32(b"fcWp" + content))
    plain = cv2.imencode(".png", picture())[1].tobytes()
    path.write_bytes(plain[:-12] + chunk + plain[-12:])
    known = read_record(path)
    assert known.face_type == "full_face" and known.unknown == {"yaw_value": 0.25}
    assert known.source_rect.shape == (4,)  # made from the landmarks
    path.write_bytes(plain[:-12] + chunk[:-1] + b"?" + plain[-12:])
    with pytest.raises(FormatError, match="wrong checksum"):
        read_record(path)


def test_our_png_chunks_are_private_ancillary_and_last(tmp_path: Path):
    path = tmp_path / "a.png"
    write_face(path, picture(), record())
    kinds = [kind for kind, _, _ in chunks(path.read_bytes())]
    assert kinds[-3:] == [b"fcWp", b"flMd", b"IEND"]
    for kind in kinds[-3:-1]:  # case of the letters: ancillary, private, reserved, safe to copy
        assert [chr(c).isupper() for c in kind] == [False, False, True, False]


def test_encoding_is_the_same_in_many_threads():
    expected = [encode_face(picture(seed=i), record(own=own(track=i))) for i in range(8)]
    barrier = threading.Barrier(4)

    def work(i: int) -> bytes:
        if i < 4:
            barrier.wait()
        return encode_face(picture(seed=i % 8), record(own=own(track=i % 8)))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(32))) == expected * 4


def test_files_that_are_no_faces_are_one_clear_line(tmp_path: Path):
    jpg = encode_face(picture(), record())
    png = encode_face(picture(), record(), ".png")
    cases = {
        "empty": b"",
        "text": b"hello, world",
        "gif": b"GIF89a" + bytes(50),
        "soi": jpg[:2],
        "eoi": jpg[:2] + b"\xff\xd9" + bytes(9),
        "cut header": jpg[:300],
        "garbage": jpg[:20] + b"zz" + jpg[20:],
        "zero length": jpg[:20] + b"\xff\xe5\0\0" + jpg[20:],
        "cut png": png[:-20],
        "png header": png[:8],
        "plain": cv2.imencode(".png", picture())[1].tobytes(),
        "no dictionary": replace_segments(
            jpg, [(0xEF, b"")], segment_bytes(0xEF, dumps(["landmarks"]))
        ),
        "own block": replace_segments(
            jpg, [(0xE9, b"")], segment_bytes(0xE9, b"Faceloom\0" + b"[" * 60_000)
        ),
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        for read in (read_record, read_face):
            with pytest.raises(FormatError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert "\n" not in str(caught.value)
    for read in (read_record, read_face):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read(tmp_path / "missing.jpg")


def test_hostile_metadata_is_refused_with_the_files_name(tmp_path: Path):
    path = tmp_path / "a.jpg"
    data = encode_face(picture(), record())
    path.write_bytes(
        replace_segments(data, [(0xEF, b"")], segment_bytes(0xEF, b"cos\nsystem\n(X\2\0\0\0idtR."))
    )
    with pytest.raises(FormatError, match=r"a\.jpg: unsafe or damaged pickle: .*os\.system"):
        read_record(path)
    before = path.read_bytes()
    with pytest.raises(FormatError, match="unsafe"):
        update_record(path, record())
    assert path.read_bytes() == before


def test_pictures_of_absurd_size_are_not_decoded(tmp_path: Path):
    path = tmp_path / "bomb.png"
    data = bytearray(encode_face(picture(), record(), ".png"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="60000x60000"):
        read_face(path)
    jpg = bytearray(encode_face(picture(), record()))
    sof = next(s for s in header_segments(bytes(jpg)) if s.marker == 0xC0)
    jpg[sof.payload + 1 : sof.payload + 5] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(jpg)
    with pytest.raises(MediaError, match="65000x65000"):
        read_face(path)


def test_damaged_pixels_are_a_clear_error_or_a_picture(tmp_path: Path):
    rng = np.random.default_rng(2)
    for suffix in (".jpg", ".png"):
        data = encode_face(picture(), record(), suffix)
        for _ in range(60):
            changed = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                changed[place] = rng.integers(0, 256)
            path = tmp_path / f"a{suffix}"
            path.write_bytes(changed)
            try:
                image, _ = read_face(path)
                assert image.ndim == 3
            except FaceloomError as error:
                assert "\n" not in str(error)


def test_wrong_arguments_are_one_clear_line(tmp_path: Path):
    with pytest.raises(InputError, match=r"written as \.jpg or \.png"):
        write_face(tmp_path / "a.jpeg", picture(), record())
    with pytest.raises(InputError, match="h w 3 uint8"):
        encode_face(picture().astype(np.float32), record())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="h w 3 uint8"):
        encode_face(picture()[..., 0], record())


def test_non_ascii_paths(tmp_path: Path):
    path = tmp_path / "Gesicht 女 é" / "läuft_0.jpg"
    path.parent.mkdir()
    write_face(path, picture(), record(source_filename="läuft 女.png"))
    assert read_record(path).source_filename == "läuft 女.png"
    assert read_record(path).source_stem == "läuft 女"
