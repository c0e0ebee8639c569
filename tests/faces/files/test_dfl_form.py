"""Faces for other programs: read by the reference's description of DFL's reader, pixel by pixel."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from face_inputs import dfl_read, own, picture, record, same_record
from faceloom.core import FormatError
from faceloom.faces import encode_face
from faceloom.faces.files.dfl_form import dfl_form
from faceloom.faces.files.face_file import decode_picture, record_from_bytes, with_blocks
from faceloom.faces.files.jpeg import APP15, header_segments, replace_segments, segment_bytes
from faceloom.faces.files.png import chunk_bytes
from faceloom.faces.record import record_to_dfl
from faceloom.pickles.writer import dumps


def from_pil(**options: Any) -> bytes:
    """The face's picture as another encoder stores it, with the metadata put in."""
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, options.pop("kind", "JPEG"), **options)
    return with_blocks(buffer.getvalue(), dumps(record_to_dfl(record())), None)


def with_restarts() -> bytes:
    options = [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]
    data = cv2.imencode(".jpg", picture()[..., ::-1], options)[1].tobytes()
    assert any(s.marker == 0xDD for s in header_segments(data))
    return with_blocks(data, dumps(record_to_dfl(record())), None)


def exif_only() -> bytes:
    data = encode_face(picture(), record())
    header = header_segments(data)[0]
    exif = segment_bytes(0xE1, b"Exif\0\0" + bytes(40))
    return data[:2] + exif + data[header.end :]


def plain() -> bytes:
    return encode_face(picture(), record())


def second_header() -> bytes:
    data = plain()
    end = header_segments(data)[0].end
    return data[:end] + segment_bytes(0xE0, b"JFXX\0\x10") + data[end:]


def padded() -> bytes:
    data = plain()
    scan = header_segments(data)[-1].end
    return data[:scan] + b"\xff\xff" + data[scan:]


SOURCES = {
    "ours": (plain, False),
    "progressive": (lambda: from_pil(progressive=True, quality=95), False),
    "exif only": (exif_only, False),
    "exif before": (lambda: from_pil(exif=b"Exif\0\0" + bytes(30), quality=95), False),
    "second header": (second_header, False),
    "grey metadata": (lambda: from_pil(quality=95, comment=b"by hand"), False),
    "restarts": (with_restarts, True),
    "bytes behind": (lambda: plain() + b"\0appended", True),
    "padding": (padded, True),
    "png": (lambda: encode_face(picture(), record(), ".png"), True),
    "foreign png": (lambda: from_pil(kind="PNG"), True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_dfl_parses_what_comes_out(name: str):
    make, anew = SOURCES[name]
    data = make()
    known = record_from_bytes(data)
    made, encoded = dfl_form(data)
    assert encoded is anew
    values, shape, markers = dfl_read(made)
    assert shape == (128, 128, 3) and markers[1] == 0xE0 and markers.count(0xE0) == 1
    assert values["face_type"] == known.face_type
    assert values["source_rect"].dtype.kind == "i"
    same_record(record_from_bytes(made), known)
    before, after = decode_picture(data), decode_picture(made)
    if anew:
        assert np.abs(before.astype(int) - after).mean() < 1
    else:
        assert (before == after).all()
    assert dfl_form(made) == (made, False)


def test_our_block_may_stay_here():
    data = encode_face(picture(), record(own=own(track=5)))
    made, _ = dfl_form(data, own=False)
    assert record_from_bytes(made).own is None and b"Faceloom" not in made
    assert b"Faceloom" in dfl_form(data)[0]


def test_old_metadata_become_what_dfls_tools_expect():
    values = record_to_dfl(record())
    del values["face_type"]
    values["source_rect"] = (353.0, 272.0, 643.0, 590.0)
    values["xseg_mask"] = b"mask"
    values["eyebrows_expand_mod"] = None
    values["relighted"] = True
    data = replace_segments(plain(), [(APP15, b"")], segment_bytes(APP15, pickle.dumps(values, 4)))
    known, _, _ = dfl_read(dfl_form(data)[0])
    assert known["face_type"] == "full_face" and known["relighted"] is True
    assert known["source_rect"].tolist() == [353, 272, 643, 590]
    assert known["xseg_mask"].dtype == np.uint8 and "eyebrows_expand_mod" not in known


def test_old_png_faces_of_all_kinds_open():
    """A chunk before IEND, with the keys of its time, and no face type."""
    values = record_to_dfl(record())
    del values["face_type"]
    values |= {"yaw_value": 0.25, "pitch_value": -0.5, "ie_polys": [(1, [[1, 2], [3, 4], [5, 9]])]}
    for options in ({}, {"interlace": True}):
        buffer = io.BytesIO()
        mode = Image.fromarray(picture()).convert("RGBA" if not options else "RGB")
        mode.save(buffer, "PNG")
        png = buffer.getvalue()
        data = png[:-12] + chunk_bytes(b"fcWp", pickle.dumps(values, 3)) + png[-12:]
        known = record_from_bytes(data)
        assert known.face_type == "full_face"
        assert set(known.unknown) == {"yaw_value", "pitch_value", "ie_polys"}
        assert (decode_picture(data) == picture()).all()
        again, _, _ = dfl_read(dfl_form(data)[0])
        assert again["yaw_value"] == 0.25 and again["ie_polys"] == values["ie_polys"]


def test_flipped_rectangles_stay_flipped():
    rect = np.array([643, 590, 353, 272])
    values, _, _ = dfl_read(dfl_form(encode_face(picture(), record(source_rect=rect)))[0])
    assert values["source_rect"].tolist() == rect.tolist()


def test_the_last_of_several_blocks_counts():
    first = segment_bytes(APP15, dumps(record_to_dfl(record(source_filename="wrong.png"))))
    data = plain()
    assert record_from_bytes(data[:2] + first + data[2:]).source_filename == "00017.png"


def test_what_is_no_face_is_refused():
    for data in (b"", b"\xff\xd8\xff\xd9", cv2.imencode(".jpg", picture())[1].tobytes()):
        with pytest.raises(FormatError):
            dfl_form(data)


def test_colours_of_unmarked_rgb_files_are_not_changed():
    """A JPEG without headers whose components are called R, G, B holds RGB as it is."""
    data = bytearray(cv2.imencode(".jpg", picture())[1].tobytes())
    header = header_segments(bytes(data))[0]
    bare = bytearray(data[:2] + data[header.end :])
    frame = next(s for s in header_segments(bytes(bare)) if s.marker == 0xC0)
    for i, sign in enumerate(b"RGB"):
        bare[frame.payload + 6 + 3 * i] = sign
    scan = header_segments(bytes(bare))[-1].end
    (length,) = struct.unpack_from(">H", bare, scan + 2)
    for i, sign in enumerate(b"RGB"):
        bare[scan + 5 + 2 * i] = sign
    assert length >= 12
    marked = with_blocks(bytes(bare), dumps(record_to_dfl(record())), None)
    made, anew = dfl_form(marked)
    assert not anew and (decode_picture(made) == decode_picture(marked)).all()
    assert dfl_read(made)[2][1] == APP15
