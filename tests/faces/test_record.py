"""What a record takes, refuses and makes of old and foreign dictionaries."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from face_inputs import SOURCE_LANDMARKS, own, record, same_own, same_record
from faceloom.core import FormatError
from faceloom.faces import OwnMetadata, decode_mask, encode_mask, face_mask
from faceloom.faces.own import own_from_json, own_to_json
from faceloom.faces.record import record_from_dfl, record_to_dfl
from faceloom.geometry import hull_mask, rect_from_landmarks


def dictionary(**changes: Any) -> dict[str, Any]:
    return {**record_to_dfl(record()), **changes}


def test_dictionary_and_back():
    same_record(record_from_dfl(dictionary(), own()), record())


def test_landmarks_of_the_record_are_float32_and_its_matrix_float64():
    known = record_from_dfl(dictionary())
    assert known.landmarks.dtype == known.source_landmarks.dtype == np.float32
    assert known.image_to_face_mat is not None and known.image_to_face_mat.dtype == np.float64


@pytest.mark.parametrize(
    "rect",
    [
        (353, 272, 643, 590),
        [353.2, 271.6, 643.0, 590.4],
        np.array([353, 272, 643, 590], np.int64),
        np.array([353, 272, 643, 590], np.float32),
        [np.float64(353), np.int64(272), 643, 590],
    ],
)
def test_rect_of_any_type(rect: Any):
    assert record_from_dfl(dictionary(source_rect=rect)).source_rect.tolist() == [
        353,
        272,
        643,
        590,
    ]


def test_flipped_rect_of_a_turned_face_is_kept():
    known = record_from_dfl(dictionary(source_rect=[643, 590, 353, 272]))
    assert known.source_rect.tolist() == [643, 590, 353, 272]


def test_what_old_files_lack_is_filled_in():
    old = dictionary()
    for key in ("face_type", "source_filename", "source_rect", "source_landmarks"):
        del old[key]
    known = record_from_dfl(old)
    assert known.face_type == "full_face" and known.source_filename == ""
    assert known.source_landmarks == pytest.approx(SOURCE_LANDMARKS, abs=1e-3)
    expected = np.rint(rect_from_landmarks(SOURCE_LANDMARKS))
    assert known.source_rect == pytest.approx(expected, abs=1)
    marked = {"face_type": "mark_only", "landmarks": old["landmarks"]}
    assert (record_from_dfl(marked).source_landmarks == known.landmarks).all()


def test_unknown_keys_survive():
    extra = {"fanseg_mask": np.arange(5, dtype=np.uint8), "relighted": False}
    known = record_from_dfl(dictionary(**extra, nothing=None))
    assert set(known.unknown) == set(extra)
    assert record_to_dfl(known)["relighted"] is False
    same_record(record_from_dfl(record_to_dfl(known)), record(own=None, unknown=extra))


def test_both_polygon_dumps_are_read_including_ones_first():
    a, b, c = ([[float(i), 1], [2, 3], [4, 5]] for i in range(3))
    new = {"polys": [{"type": 0, "pts": np.array(a)}, {"type": 1, "pts": b}, {"type": 1, "pts": c}]}
    for dump in (new, [(0, a), (1, b), (1, c)]):
        polygons = record_from_dfl(dictionary(seg_ie_polys=dump)).seg_ie_polys
        assert [p.include for p in polygons] == [True, True, False]
        assert [p.points[0, 0] for p in polygons] == [1, 2, 0]


BAD: dict[str, Any] = {
    "landmarks": ["68 points", [[1, 2]] * 67, [[1, 2, 3]] * 68, [[np.nan, 1]] * 68, {}, 5, [[]]],
    "source_landmarks": [[[1e30, 0]] * 68, [["a", "b"]] * 68, np.zeros((68, 3)), [[1], [2, 3]]],
    "source_rect": [[1, 2, 3], "rect", [1, 2, 3, np.inf], [1, 2, 3, 1e12], None.__class__],
    "image_to_face_mat": [np.zeros((3, 3)), "x", np.full((2, 3), np.nan)],
    "face_type": ["face", 5, "", ["head"]],
    "source_filename": [
        "../../etc/passwd",
        "a/b.png",
        "C:\\x.png",
        "a\0b",
        "..",
        7,
        b"a",
        "x" * 2000,
    ],
    "eyebrows_expand_mod": ["big", np.nan, [1, 2], 1e9],
    "seg_ie_polys": [5, {"polys": 3}, [(2, [[1, 2]])], [(1, [1, 2])], [(1,)], [(1, [["a", 1]])]],
    "xseg_mask": ["mask", 5, np.zeros(4), [1, 2]],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in BAD.items() for v in vs])
def test_impossible_values_are_one_clear_error(key: str, value: Any):
    with pytest.raises(FormatError, match=r"^face metadata: ") as caught:
        record_from_dfl(dictionary(**{key: value}))
    assert key.split("_")[0] in str(caught.value) or "source file name" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_is_no_face_is_said_so():
    for raw in (None, [], "text", {}, {"face_type": "head"}):
        with pytest.raises(FormatError, match="no face metadata"):
            record_from_dfl(raw)
    spot = dictionary(source_landmarks=np.ones((68, 2)))
    del spot["source_rect"]
    with pytest.raises(FormatError, match="coincide"):
        record_from_dfl(spot)
    flat = dictionary(image_to_face_mat=np.zeros((2, 3)))
    del flat["source_landmarks"]
    with pytest.raises(FormatError, match="no inverse"):
        record_from_dfl(flat)


def test_own_block_and_back():
    same_own(own_from_json(own_to_json(own())), own())
    same_own(own_from_json(own_to_json(OwnMetadata())), OwnMetadata())
    assert json.loads(own_to_json(OwnMetadata())) == {
        "version": 1,
        "pixel_aspect": 1.0,
        "turn_deg": 0,
    }


def test_own_block_takes_numpy_numbers_and_exact_times():
    made = own(score=np.float32(0.5), track=np.int64(3), time=Fraction(-(10**15) - 1, 90000))
    known = own_from_json(own_to_json(made))
    assert known.score == 0.5 and known.track == 3 and type(known.track) is int
    assert known.time == Fraction(-(10**15) - 1, 90000)


def test_newer_blocks_are_read_and_kept():
    text = b'{"version":7,"frame_index":3,"mood":"happy","nested":{"a":[1.5,null]}}'
    known = own_from_json(text)
    assert known.version == 7 and known.frame_index == 3
    assert json.loads(own_to_json(known)).items() >= json.loads(text).items()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{" * 60_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"frame_index":1.5}',
        b'{"frame_index":true}',
        b'{"track":"a"}',
        b'{"frame_index":' + b"9" * 400 + b"}",
        b'{"frame_index":' + b"9" * 9000 + b"}",
        b'{"score":NaN}',
        b'{"score":1e999}',
        b'{"time":"1/0"}',
        b'{"time":1.5}',
        b'{"time":"1.5"}',
        b'{"time":"1/' + b"9" * 100 + b'"}',
        b'{"pose":[1,2]}',
        b'{"pose":[1,2,null]}',
        b'{"pixel_aspect":0}',
        b'{"embedding":"!!"}',
        b'{"embedding":"AAA="}',
        b'{"embedding":[1,2]}',
        b'{"embedding":"AADAfw=="}',
        b'{"detector":{}}',
        b'{"detector":"' + b"x" * 5000 + b'"}',
    ],
)
def test_damaged_own_blocks_are_one_clear_error(text: bytes):
    with pytest.raises(FormatError, match="damaged Faceloom metadata: "):
        own_from_json(text)


def test_own_block_refuses_what_json_cannot_hold():
    for changes in ({"score": float("nan")}, {"unknown": {"x": object()}}):
        with pytest.raises(FormatError, match="cannot be stored"):
            own_to_json(own(**changes))


# --- masks


def test_mask_goes_through_png_exactly():
    mask = (np.arange(256 * 256).reshape(256, 256) % 256 / 255).astype(np.float32)
    data = encode_mask(mask)
    assert data[1:4] == b"PNG"
    assert decode_mask(data) == pytest.approx(mask, abs=1 / 255)


def test_large_masks_become_jpeg_below_the_limit():
    noise = np.random.default_rng(0).uniform(size=(400, 400))
    data = encode_mask(noise)
    assert data[:2] == b"\xff\xd8" and len(data) <= 50_000
    assert decode_mask(data).shape == (400, 400)


def test_face_mask_is_the_stored_one_else_the_hull():
    size = (200, 200)
    face = record(eyebrows_expand_mod=0.5)
    assert (face_mask(face, size) == hull_mask(face.landmarks, size, 0.5)).all()
    half = np.zeros((64, 64), np.float32)
    half[:, 32:] = 1
    mask = face_mask(record(xseg_mask=encode_mask(half)), size)
    assert mask.shape == size and mask.dtype == np.float32
    assert mask.min() == 0 and mask.max() == 1
    assert mask[:, :90].max() < 0.01 and mask[:, 110:].min() > 0.99
    same = face_mask(record(xseg_mask=encode_mask(half)), (64, 64))
    assert (same == half).all()


@pytest.mark.parametrize(
    "data", [b"", b"GIF", b"\x89PNG\r\n\x1a\n", encode_mask(np.ones((9, 9)))[:40]]
)
def test_damaged_masks_are_one_clear_error(data: bytes):
    with pytest.raises(FormatError, match=r"face mask of .00017\.png."):
        face_mask(record(xseg_mask=data), (64, 64))


def test_mask_bombs_are_not_decoded():
    bomb = bytearray(encode_mask(np.ones((9, 9))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(FormatError, match="at most 33554432 are decoded"):
        decode_mask(bytes(bomb))
