"""Packs: DFL's read by us, ours read as DFL reads them, and damage told in one line."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_packs import FACE_TYPES, dfl_config, dfl_open_pack, dfl_pack
from face_inputs import own, picture, record, same_record
from faceloom.core import Cancel, CancelledError, FaceloomError, FormatError, InputError
from faceloom.faces import (
    Faceset,
    SegPolygon,
    encode_face,
    read_face,
    read_record,
    update_record,
    write_face,
)
from faceloom.faces.archives.pack import open_pack, pack_of
from faceloom.faces.archives.pack_writer import PackFace, verify_pack, write_pack
from faceloom.faces.files.face_file import read_blocks

NAMES = ["00001_0.jpg", "00002_0.jpg", "00002_1.jpg", "läuft 女.jpg"]


def jpgs(count: int = 4) -> list[bytes]:
    return [
        encode_face(picture(seed=i), record(source_filename=f"{i:05d}.png", own=own(track=i)))
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A packed faceset, as DFL leaves it."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    (folder / "faceset.pak").write_bytes(dfl_pack([dfl_config(n) for n in NAMES], jpgs()))
    return folder


# --- reading


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("name", ["faceset.pak", "samples.pak"])
def test_packs_of_all_ages_open(tmp_path: Path, name: str, relative: bool, protocol: int):
    changes: list[dict[str, Any]] = [
        {"xseg_mask": np.zeros((64, 64, 1), np.float32)},
        {"ie_polys": [(1, [[3, 4], [8, 9], [2, 7]])], "relighted": True},
        {"xseg_mask_compressed": np.arange(90, dtype=np.uint8)},
        {"eyebrows_expand_mod": np.float64(1.5), "pitch_yaw_roll": (0.1, 0.2, 0.3)},
    ]
    configs = [dfl_config(n, **c) for n, c in zip(NAMES, changes, strict=True)]
    for key in ("seg_ie_polys", "xseg_mask", "xseg_mask_compressed", "eyebrows_expand_mod"):
        del configs[1][key]
    (tmp_path / name).write_bytes(dfl_pack(configs, jpgs(), relative=relative, protocol=protocol))
    faces = Faceset(tmp_path)
    assert faces.paths == tuple(tmp_path / name / n for n in NAMES)
    assert faces.skipped == []
    for i, (path, known) in enumerate(faces):
        assert known.own is not None and known.own.track == i
        same_record(known, read_record(path))
        image, again = read_face(path)
        same_record(known, again)
        assert np.abs(image.astype(int) - picture(seed=i)).mean() < 2
        assert read_blocks(path)[0] is not None


def test_the_picture_is_believed_and_not_the_table(tmp_path: Path):
    files = [encode_face(picture(), record(face_type="full_face"))]
    (tmp_path / "faceset.pak").write_bytes(dfl_pack([dfl_config("a.jpg", "head")], files))
    ((_, known),) = Faceset(tmp_path)
    assert known.face_type == "full_face"


def test_persons_are_folders_in_the_pack(tmp_path: Path):
    people = ["anna", "ben", "ben"]
    configs = [dfl_config(n, person_name=p) for n, p in zip(NAMES[:3], people, strict=True)]
    (tmp_path / "faceset.pak").write_bytes(dfl_pack(configs, jpgs(3)))
    paths = [path for path, _ in Faceset(tmp_path)]
    assert [path.parent.name for path in paths] == people
    assert all(read_record(path).source_filename for path in paths)


def test_loose_files_stand_before_packed_ones_of_the_same_name(folder: Path):
    write_face(folder / NAMES[2], picture(), record(own=own(track=77)))
    write_face(folder / "00000_0.png", picture(), record(own=own(track=78)))
    write_face(folder / "zzz.jpg", picture(), record(own=own(track=79)))
    faces = [(path, known.own.track) for path, known in Faceset(folder) if known.own]
    pak = folder / "faceset.pak"
    assert faces == [
        (folder / "00000_0.png", 78),
        (pak / NAMES[0], 0),
        (pak / NAMES[1], 1),
        (folder / NAMES[2], 77),
        (pak / NAMES[3], 3),
        (folder / "zzz.jpg", 79),
    ]


def test_records_of_a_pack_come_from_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch):
    os.utime(folder / "faceset.pak", (1e9, 1e9))
    first = [known for _, known in Faceset(folder)]
    seen: list[Path] = []
    from faceloom.faces import faceset
    from faceloom.faces.index import fill as index_fill

    for module in (faceset, index_fill):
        monkeypatch.setattr(
            module, "read_record", lambda path: seen.append(path) or read_record(path)
        )
    for a, (_, b) in zip(first, Faceset(folder), strict=True):
        same_record(a, b)
    assert seen == []
    files = jpgs()
    files[0] = encode_face(picture(), record(own=own(track=50)))
    (folder / "faceset.pak").write_bytes(dfl_pack([dfl_config(n) for n in NAMES], files))
    assert next(iter(Faceset(folder)))[1].own.track == 50  # type: ignore[union-attr]
    assert len(seen) >= 4


def test_what_is_packed_cannot_be_written(folder: Path):
    path = folder / "faceset.pak" / NAMES[0]
    before = (folder / "faceset.pak").read_bytes()
    for write in (
        lambda: update_record(path, record()),
        lambda: write_face(path, picture(), record()),
    ):
        with pytest.raises(InputError, match="packed; `faceloom faceset unpack`"):
            write()
    assert (folder / "faceset.pak").read_bytes() == before
    with pytest.raises(InputError, match=r"has no face .other\.jpg."):
        read_face(folder / "faceset.pak" / "other.jpg")


def test_a_folder_called_like_a_pack_is_a_folder(tmp_path: Path):
    path = tmp_path / "old.pak" / "a.jpg"
    path.parent.mkdir()
    write_face(path, picture(), record())
    assert pack_of(path) is None
    same_record(read_record(path), record())


def test_no_more_of_a_pack_is_read_than_wanted(tmp_path: Path):
    tail = os.urandom(3 << 20)  # behind the picture, as other programs append things
    files = [file + tail for file in jpgs(4)]
    path = tmp_path / "faceset.pak"
    path.write_bytes(dfl_pack([dfl_config(n) for n in NAMES], files))
    read: list[int] = []
    pack = open_pack(path)
    limited = type(pack).read

    def watched(self: Any, row: int, limit: int | None = None) -> bytes:
        data = limited(self, row, limit)
        read.append(len(data))
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pack), "read", watched)
        assert len([known for _, known in Faceset(tmp_path, use_index=False)]) == 4
    assert sum(read) < 1 << 20


# --- writing


def full_faces(folder: Path) -> list[PackFace]:
    """Loose faces of several types, with masks, polygons and brows."""
    folder.mkdir(exist_ok=True)
    polygons = (SegPolygon(True, np.array([[1, 2], [30, 4], [20, 40]], np.float32)),)
    faces: list[PackFace] = []
    for i, face_type in enumerate(FACE_TYPES):
        made = record(face_type=face_type, source_filename=f"{i // 2:05d}.png")
        if i % 2:
            made = replace(
                made, seg_ie_polys=polygons, xseg_mask=bytes(range(99)), eyebrows_expand_mod=1.5
            )
        path = folder / f"{i:05d}_0.jpg"
        write_face(path, picture(seed=i), made)
        faces.append(PackFace(path, path.name, "anna" if i > 5 else None))
    return faces


def test_dfl_reads_our_pack(tmp_path: Path):
    faces = full_faces(tmp_path / "loose")
    path = tmp_path / "faceset.pak"
    assert write_pack(path, faces) == path.stat().st_size
    found = dfl_open_pack(path)
    assert len(found) == len(faces)
    for face, (config, data) in zip(faces, found, strict=True):
        truth = read_record(face.path)
        assert data == face.path.read_bytes()
        assert list(config) == list(dfl_config("x"))
        assert config["filename"] == face.name and config["person_name"] == face.person
        assert config["sample_type"] == 1
        assert config["face_type"] == FACE_TYPES[truth.face_type]
        assert config["shape"] == (128, 128, 3)
        assert type(config["landmarks"]) is list
        assert np.array_equal(np.array(config["landmarks"], np.float32), truth.landmarks)
        assert config["eyebrows_expand_mod"] == truth.eyebrows_expand_mod
        assert config["source_filename"] == truth.source_filename
        polygons = config["seg_ie_polys"]["polys"]
        assert [p["type"] for p in polygons] == [int(p.include) for p in truth.seg_ie_polys]
        assert config["xseg_mask"] is None
        mask = config["xseg_mask_compressed"]
        assert (None if mask is None else mask.tobytes()) == truth.xseg_mask
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw, 8)
    assert raw[16:18] == b"\x80\x04" and b"numpy._core" not in raw
    (last,) = struct.unpack_from("<Q", raw, 16 + length + 8 * len(faces))
    assert last == len(raw)  # a position in the file, as DFL writes it
    verify_pack(path, faces)


def test_faces_to_pack_to_faces_to_pack_is_identical(tmp_path: Path):
    faces = full_faces(tmp_path / "loose")
    first, second = tmp_path / "faceset.pak", tmp_path / "second.pak"
    write_pack(first, faces)
    again: list[PackFace] = []
    for packed in open_pack(first).names:
        path = tmp_path / "unpacked" / packed
        path.parent.mkdir(parents=True, exist_ok=True)
        pack = open_pack(first)
        path.write_bytes(pack.read(pack.rows[packed]))
        person = path.parent.name if "/" in packed else None
        again.append(PackFace(path, path.name, person))
    write_pack(second, again)
    assert first.read_bytes() == second.read_bytes()
    write_pack(second, [PackFace(first / face.packed, face.name, face.person) for face in faces])
    assert first.read_bytes() == second.read_bytes()


def test_many_faces_outgrow_a_batch_of_the_table(tmp_path: Path):
    loose = tmp_path / "a.jpg"
    loose.write_bytes(encode_face(picture(16), record(own=None)))
    faces = [PackFace(loose, f"{i:05d}.jpg") for i in range(1203)]
    write_pack(tmp_path / "many.pak", faces)
    assert open_pack(tmp_path / "many.pak").names == tuple(face.name for face in faces)
    assert len(dfl_open_pack(tmp_path / "many.pak")) == 1203


def test_an_empty_pack_opens(tmp_path: Path):
    write_pack(tmp_path / "faceset.pak", [])
    assert len(open_pack(tmp_path / "faceset.pak")) == 0
    assert dfl_open_pack(tmp_path / "faceset.pak") == []


def test_a_pack_is_whole_or_not_there(tmp_path: Path):
    faces = full_faces(tmp_path / "loose")
    broken = tmp_path / "loose" / "broken.jpg"
    broken.write_bytes(b"no picture")
    path = tmp_path / "faceset.pak"
    with pytest.raises(FormatError, match=r"broken\.jpg: neither JPEG nor PNG"):
        write_pack(path, [*faces, PackFace(broken, "broken.jpg")])
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        write_pack(path, faces, cancel=cancel)
    for names in (["a.jpg", "a.jpg"], ["../a.jpg"], ["CON"], ["a\nb.jpg"], [".hidden.jpg"]):
        with pytest.raises(InputError):
            write_pack(path, [PackFace(faces[0].path, name) for name in names])
    assert [p.name for p in tmp_path.iterdir()] == ["loose"]


def test_a_difference_is_found(tmp_path: Path):
    faces = full_faces(tmp_path / "loose")
    path = tmp_path / "faceset.pak"
    write_pack(path, faces)
    update_record(faces[3].path, record())
    with pytest.raises(FormatError, match="differs from"):
        verify_pack(path, faces)


# --- damage


def damaged() -> dict[str, bytes]:
    files = jpgs(3)
    good = dfl_pack([dfl_config(n) for n in NAMES[:3]], files)
    (length,) = struct.unpack_from("<Q", good, 8)
    table = 16 + length

    def offset(row: int, value: int) -> bytes:
        changed = bytearray(good)
        struct.pack_into("<Q", changed, table + 8 * row, value)
        return bytes(changed)

    def named(*names: Any, **changes: Any) -> bytes:
        return dfl_pack(
            [dfl_config("x") | {"filename": n} | changes for n in names], files[: len(names)]
        )

    def plain(value: Any) -> bytes:
        pickled = pickle.dumps(value, 4)
        return struct.pack("<QQ", 1, len(pickled)) + pickled + bytes(8)

    return {
        "empty": b"",
        "short": good[:12],
        "version": struct.pack("<QQ", 2, length) + good[16:],
        "no table": struct.pack("<QQ", 1, 0) + good[16:],
        "long table": struct.pack("<QQ", 1, 1 << 62) + good[16:],
        "table too short": struct.pack("<QQ", 1, length - 9) + good[16:],
        "cut in offsets": good[: table + 9],
        "cut in a face": good[:-100],
        "more behind": good + bytes(10),
        "first offset": offset(0, 7),
        "backwards": offset(1, 0)[:table]
        + struct.pack("<4Q", 0, 900, 20, len(good))
        + good[table + 32 :],
        "far offset": offset(2, 1 << 63),
        "last offset": offset(3, 99),
        "twice": named("a.jpg", "a.jpg"),
        "parent": named("../a.jpg"),
        "absolute": named("/etc/a.jpg"),
        "drive": named("C:a.jpg"),
        "backslash": named("..\\a.jpg"),
        "no name": named(None),
        "number": named(7),
        "surrogate": named("\ud800.jpg"),
        "nul": named("a\0.jpg"),
        "long": named("a" * 5000),
        "person": named("a.jpg", person_name=".."),
        "not a list": plain({"a": 1}),
        "not faces": plain([1, 2]),
        "system": plain([])[:16] + b"",
    }


@pytest.mark.parametrize("case", damaged())
def test_damaged_packs_are_one_clear_line(case: str, tmp_path: Path):
    path = tmp_path / "faceset.pak"
    path.write_bytes(damaged()[case])
    with pytest.raises(FormatError) as caught:
        open_pack(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    with pytest.raises(FormatError):
        Faceset(tmp_path)
    write_face(tmp_path / "loose.jpg", picture(), record())
    faces = Faceset(tmp_path)
    assert [p.name for p in faces.paths] == ["loose.jpg"]
    assert [p for p, _ in faces.skipped] == [path]


def test_code_in_a_table_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("touch pwned",)

    table = pickle.dumps([{"filename": "a.jpg", "person_name": None, "x": Evil()}], 4)
    path = tmp_path / "faceset.pak"
    path.write_bytes(struct.pack("<QQ", 1, len(table)) + table + bytes(16))
    with pytest.raises(FormatError, match=r"system"):
        open_pack(path)
    assert [p.name for p in tmp_path.iterdir()] == ["faceset.pak"]


def test_every_byte_may_change(tmp_path: Path):
    good = dfl_pack([dfl_config(n) for n in NAMES], [b"\xff\xd8" + bytes(50)] * 4)
    rng = np.random.default_rng(8)
    path = tmp_path / "faceset.pak"
    for _ in range(400):
        changed = bytearray(good)
        for place in rng.integers(0, len(good) - 208, 3):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            pack = open_pack(path)
            assert all(len(pack.read(row)) == pack.size(row) for row in range(len(pack)))
        except FaceloomError as error:
            assert "\n" not in str(error)
