"""Saved metadata: meta.dat both ways against CPython's pickle, ours bit for bit, and restoring."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from face_inputs import AllowList, dfl_read, own, picture, record, same_record
from faceloom.core import FormatError, InputError
from faceloom.faces import SegPolygon, encode_face, read_face, read_record
from faceloom.faces.archives.plain_names import is_plain_name
from faceloom.faces.files.face_file import metadata_blocks
from faceloom.faces.files.jpeg import APP15, replace_segments, segment_bytes
from faceloom.faces.metadata import (
    SavedFace,
    read_saved,
    restore_face,
    restored,
    saved_face,
    write_meta_dat,
    write_saved,
)
from faceloom.faces.record import record_to_dfl

POLYGONS = (SegPolygon(True, np.array([[10, 20], [100, 24], [60, 90]], np.float32)),)


def dfl_dictionary(**changes: Any) -> dict[str, Any]:
    """As another program's pickle has it, with keys of all ages."""
    return {
        **record_to_dfl(record(seg_ie_polys=POLYGONS, xseg_mask=b"mask")),
        "source_rect": np.array([353, 272, 643, 590]),
        "eyebrows_expand_mod": np.float64(1.25),
        "pitch_yaw_roll": (0.5, -0.25, 0.0),
        "fanseg_mask": np.arange(30, dtype=np.uint8),
        "relighted": True,
        **changes,
    }


def foreign(**changes: Any) -> bytes:
    """A face that DFL wrote."""
    plain = encode_face(picture(), record(own=None))
    block = pickle.dumps(dfl_dictionary(**changes), 3).replace(b"numpy._core", b"numpy.core")
    return replace_segments(plain, [(APP15, b"")], segment_bytes(APP15, block))


def stripped(data: bytes) -> bytes:
    """What an editor leaves that drops metadata and encodes again."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.imencode(".jpg", image // 2, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()


@pytest.fixture
def faces(tmp_path: Path) -> list[Path]:
    contents = {
        "00001_0.jpg": encode_face(picture(), record(seg_ie_polys=POLYGONS)),
        "00002_0.jpg": foreign(),
        "女.png": encode_face(picture(), record(own=own(track=9)), ".png"),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in contents]


def saved(paths: list[Path]) -> list[tuple[str, SavedFace]]:
    return [(path.name, saved_face(path)) for path in paths]


def test_ours_gives_back_every_bit(faces: list[Path], tmp_path: Path):
    file = tmp_path / "faceloom_meta.jsonl"
    write_saved(file, saved(faces))
    assert dict(read_saved(file)) == dict(saved(faces))
    before = [path.read_bytes() for path in faces]
    for path in faces:
        data = path.read_bytes()
        path.write_bytes(stripped(data) if path.suffix == ".jpg" else data)
    for path, (name, face) in zip(faces, read_saved(file), strict=True):
        assert path.name == name
        assert restore_face(path, face, keep_size=False) is (path.suffix == ".jpg")
        assert restore_face(path, face, keep_size=False) is False
    for path, data in zip(faces, before, strict=True):
        assert metadata_blocks(path.read_bytes()) == metadata_blocks(data)


def test_dfl_reads_our_meta_dat(faces: list[Path], tmp_path: Path):
    file = tmp_path / "meta.dat"
    write_meta_dat(file, saved(faces))
    assert file.read_bytes()[:2] == b"\x80\x03"
    with file.open("rb") as handle:
        table = AllowList(handle).load()
    assert list(table) == [path.name for path in faces]
    for path in faces[:2]:
        shape, values = table[path.name]
        expected, true_shape, _ = dfl_read(path.read_bytes())
        assert shape == true_shape and list(values) == list(expected)
        for key, value in expected.items():
            assert type(values[key]) is type(value)
            assert pickle.dumps(values[key]) == pickle.dumps(value), key


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_dfls_meta_dat_is_restored(tmp_path: Path, protocol: int):
    table = {f"{i:05d}_0.jpg": ((128, 128, 3), dfl_dictionary()) for i in range(3)}
    file = tmp_path / "meta.dat"
    file.write_bytes(pickle.dumps(table, protocol))
    path = tmp_path / "00001_0.jpg"
    path.write_bytes(stripped(foreign()))
    with pytest.raises(FormatError):
        read_record(path)
    found = dict(read_saved(file))
    assert list(found) == list(table)
    restore_face(path, found[path.name], keep_size=False)
    values, _, markers = dfl_read(path.read_bytes())
    assert list(values) == list(dfl_dictionary())
    assert values["pitch_yaw_roll"] == (0.5, -0.25, 0.0)
    assert values["source_rect"].dtype == np.int64 and values["eyebrows_expand_mod"] == 1.25
    assert (values["fanseg_mask"] == np.arange(30)).all()
    assert markers[1] == 0xE0


def test_metadata_of_a_dfl_jpeg_are_bit_for_bit_the_same_after_all_of_it(tmp_path: Path):
    path, file = tmp_path / "a.jpg", tmp_path / "m.jsonl"
    path.write_bytes(foreign())
    block = metadata_blocks(path.read_bytes())[0]
    write_saved(file, saved([path]))
    path.write_bytes(stripped(foreign()))
    restore_face(path, dict(read_saved(file))["a.jpg"], keep_size=False)
    assert metadata_blocks(path.read_bytes())[0] == block


def resized(data: bytes, w: int, h: int, suffix: str = ".jpg") -> bytes:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_resized_picture_is_brought_back(tmp_path: Path, suffix: str):
    data = foreign()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    face = saved_face(path)
    path.write_bytes(resized(data, 192, 192, suffix))
    restore_face(path, face, keep_size=False)
    image, known = read_face(path)
    assert image.shape == (128, 128, 3)
    assert np.abs(image.astype(int) - picture()).mean() < 3
    same_record(known, read_record_of(data))
    assert metadata_blocks(path.read_bytes())[0] == metadata_blocks(data)[0]


def read_record_of(data: bytes) -> Any:
    from faceloom.faces.files.face_file import record_from_bytes

    return record_from_bytes(data)


def test_a_resized_picture_may_keep_its_size(tmp_path: Path):
    data = encode_face(picture(), record(seg_ie_polys=POLYGONS))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    face = saved_face(path)
    enhanced = resized(data, 512, 512)
    path.write_bytes(enhanced)
    restore_face(path, face, keep_size=True)
    image, known = read_face(path)
    assert image.shape == (512, 512, 3)
    before = read_record_of(data)
    np.testing.assert_allclose(known.landmarks, before.landmarks * 4, rtol=1e-6)
    np.testing.assert_allclose(known.seg_ie_polys[0].points, POLYGONS[0].points * 4)
    np.testing.assert_allclose(known.image_to_face_mat, before.image_to_face_mat * 4)
    assert (known.source_landmarks == before.source_landmarks).all()
    assert known.own is not None and known.own.track == before.own.track
    # The pixels are the editor's: only metadata came in.
    plain = replace_segments(path.read_bytes(), [(APP15, b""), (0xE9, b"Faceloom\0")], b"")
    assert plain == enhanced


@pytest.mark.parametrize("keep_size", [False, True])
def test_a_cut_picture_is_refused(keep_size: bool):
    data = encode_face(picture(), record())
    face = SavedFace((128, 128), *metadata_blocks(data))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="cropped, not only resized"):
        restored(resized(data, 128, 100), face, keep_size=keep_size)


def test_our_block_in_the_picture_stays_where_none_was_saved():
    data = encode_face(picture(), record())
    dfl, ours = metadata_blocks(data)
    assert dfl is not None and ours is not None
    again = restored(data, SavedFace((128, 128), dfl, None), keep_size=False)
    assert metadata_blocks(again) == (dfl, ours)


def test_thousands_of_faces_are_a_stream(tmp_path: Path):
    face = SavedFace((128, 128), pickle.dumps(dfl_dictionary(), 3), None)
    file = tmp_path / "meta.dat"
    write_meta_dat(file, ((f"{i}.jpg", face) for i in range(1205)))
    assert [name for name, _ in read_saved(file)] == [f"{i}.jpg" for i in range(1205)]
    with file.open("rb") as handle:
        assert len(AllowList(handle).load()) == 1205


def damaged(tmp: Path) -> dict[str, bytes]:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp}/pwned",)

    good = json.dumps({"format": "faceloom metadata", "version": 1}).encode() + b"\n"

    def line(**values: Any) -> bytes:
        return (
            good
            + json.dumps({"name": "a.jpg", "size": [8, 8], "dfl": "", **values}).encode()
            + b"\n"
        )

    return {
        "empty": b"",
        "text": b"hello",
        "list": pickle.dumps([1, 2]),
        "numbers": pickle.dumps({"a.jpg": 3}),
        "no dictionary": pickle.dumps({"a.jpg": ((8, 8, 3), [1])}),
        "no size": pickle.dumps({"a.jpg": ((), {})}),
        "huge": pickle.dumps({"a.jpg": ((1 << 40, 8, 3), {})}),
        "system": pickle.dumps({"a.jpg": ((8, 8, 3), Evil())}),
        "late system": pickle.dumps({"a.jpg": ((8, 8, 3), {}), "b": Evil()}),
        "parent": pickle.dumps({"../a.jpg": ((8, 8, 3), {})}),
        "cut": pickle.dumps({"a.jpg": ((8, 8, 3), dfl_dictionary())})[:-40],
        "other json": b'{"a": 1}\n',
        "version": b'{"format": "faceloom metadata", "version": 2}\n',
        "no json": good + b"nothing\n",
        "deep json": good + b"[" * 100_000 + b"\n",
        "cut json": line()[:-1],
        "json parent": line(name="../a.jpg"),
        "json name": line(name=3),
        "json size": line(size=[0, 8]),
        "json block": line(dfl="***"),
        "json block kind": line(dfl=[1]),
    }


@pytest.mark.parametrize("case", damaged(Path()))
def test_damaged_metadata_are_one_clear_line(case: str, tmp_path: Path):
    file = tmp_path / "meta.dat"
    file.write_bytes(damaged(tmp_path)[case])
    with pytest.raises(FormatError) as caught:
        list(read_saved(file))
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["meta.dat"]
    with pytest.raises(InputError):
        list(read_saved(tmp_path / "missing"))


def test_damaged_blocks_are_refused_on_the_way_back(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(stripped(foreign()))
    before = path.read_bytes()
    for block in (b"", b"cos\nsystem\n(X\2\0\0\0idtR.", pickle.dumps({"landmarks": [1]})):
        with pytest.raises(FormatError, match=r"a\.jpg: "):
            restore_face(path, SavedFace((128, 128), block, None), keep_size=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("00001_0.jpg", True),
        ("läuft 女.jpg", True),
        ("a..b.jpg", True),
        ("", False),
        (".", False),
        ("..", False),
        (".hidden.jpg", False),
        ("a/b", False),
        ("a\\b", False),
        ("c:x", False),
        ("nul.jpg", False),
        ("a\0", False),
        ("a\x1b[31m.jpg", False),
        ("a\u202egpj.exe", False),
        (" a.jpg", False),
        ("a" * 300, False),
        ("\ud800", False),
        (7, False),
        (None, False),
    ],
)
def test_plain_names(name: object, plain: bool):
    assert is_plain_name(name) is plain
