"""Damaged and malicious faceset files, made at random from good ones.

Each is a tuple: kind, what was done to it, its bytes. The kinds are all formats that a faceset can
have: faces as JPEG and PNG, packs, zip files, saved metadata of both forms, and an index.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from faceloom.faces import FaceRecord, Faceset, OwnMetadata, encode_face
from faceloom.faces.archives.pack_writer import PackFace, write_pack
from faceloom.faces.files.face_file import with_blocks
from faceloom.faces.files.jpeg import APP15, header_segments, replace_segments, segment_bytes
from faceloom.faces.files.png import chunk_bytes
from faceloom.faces.metadata import SavedFace, write_meta_dat, write_saved
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points

KINDS = ("jpg", "png", "pak", "zip", "meta.dat", "jsonl", "index")
# Code in a hostile file would create a file with this name.
CANARY = "canary"
Made = tuple[str, str, bytes]


def good_face(suffix: str = ".jpg", seed: int = 0) -> bytes:
    """A small face with all metadata that a face can have."""
    rng = np.random.default_rng(seed)
    source = (MODEL_POINTS_3D[:, :2] * 2 + np.array([500, 400])).astype(np.float32)
    matrix = frame_to_face(source, 96, "whole_face")
    record = FaceRecord(
        face_type="whole_face",
        landmarks=transform_points(source, matrix),
        source_filename=f"{seed:05d}.png",
        source_rect=np.array([353, 272, 643, 590], np.int32),
        source_landmarks=source,
        image_to_face_mat=matrix,
        xseg_mask=encode_face(np.zeros((16, 16, 3), np.uint8), _plain(source), ".png"),
        own=OwnMetadata(embedding=rng.normal(size=128).astype(np.float32), track=seed),
    )
    picture = np.kron(rng.integers(0, 256, (12, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return encode_face(picture, record, ".png" if suffix == ".png" else ".jpg")


def _plain(source: np.ndarray) -> FaceRecord:
    return FaceRecord("mark_only", source, "a.png", np.zeros(4, np.int32), source)


def good_files() -> dict[str, bytes]:
    """A good file of every kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faces: list[PackFace] = []
        for i in range(4):
            path = folder / f"{i:05d}_0.jpg"
            path.write_bytes(good_face(seed=i))
            os.utime(path, (1e9, 1e9))
            faces.append(PackFace(path, path.name, "anna" if i == 3 else None))
        saved = [(face.name, SavedFace((96, 96), _block(face.path), b"{}")) for face in faces]
        write_pack(folder / "x.pak", faces)
        write_meta_dat(folder / "meta.dat", saved)
        write_saved(folder / "m.jsonl", saved)
        with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for face in faces:
                archive.write(face.path, face.name)
        list(Faceset(folder))
        index = next(folder.glob(".faceloom-index*"))
        with sqlite3.connect(index) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return {
            "jpg": good_face(),
            "png": good_face(".png"),
            "pak": (folder / "x.pak").read_bytes(),
            "zip": (folder / "x.zip").read_bytes(),
            "meta.dat": (folder / "meta.dat").read_bytes(),
            "jsonl": (folder / "m.jsonl").read_bytes(),
            "index": index.read_bytes(),
        }


def _block(path: Path) -> bytes:
    from faceloom.faces.files.face_file import read_blocks

    return read_blocks(path)[0] or b""


# --- random damage


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 24)):
        data[place] ^= 1 << int(rng.integers(0, 8))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data))) :]


def _splice(data: bytearray, rng: np.random.Generator) -> None:
    start, end = sorted(rng.integers(0, len(data), 2))
    place = int(rng.integers(0, len(data)))
    data[place:place] = data[start : min(end, start + 4096)]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 300))]


def _noise(data: bytearray, rng: np.random.Generator) -> None:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
    data[start : start + length] = rng.bytes(length)


def _extreme(data: bytearray, rng: np.random.Generator) -> None:
    """Replace a possible length or size, anywhere in the file, by an extreme value."""
    width = int(rng.choice([1, 2, 4, 8]))
    value = (0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1))[int(rng.integers(4))]
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, max(1, min(len(data), 2048) - width)))
        data[place : place + width] = value.to_bytes(
            width, "big" if rng.random() < 0.5 else "little"
        )


_MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip,
    _cut,
    _splice,
    _remove,
    _noise,
    _extreme,
)


def mutated(good: dict[str, bytes], rng: np.random.Generator) -> Iterator[Made]:
    """An endless stream of good files, each damaged in one to three ways."""
    while True:
        for kind in KINDS:
            data = bytearray(good[kind])
            chosen = rng.choice(len(_MUTATIONS), int(rng.integers(1, 4)))
            for number in chosen:
                if data:
                    _MUTATIONS[number](data, rng)
            yield kind, "+".join(_MUTATIONS[n].__name__[1:] for n in chosen), bytes(data)


# --- attacks


class _Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def evil_pickles() -> dict[str, bytes]:
    """Pickles that run code or exhaust memory or time if a reader trusts them."""
    touch = f"touch {CANARY}"
    deep = b"]" * 20_000 + b"a" * 19_999 + b"."
    laughs = (
        b"]q\0("
        + b"K\0" * 10
        + b"e"
        + b"".join(
            b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 10 + b"e" for i in range(1, 120)
        )
    )
    array = pickle.dumps({"landmarks": np.zeros((68, 2))}, 3).replace(b"_core", b"core")
    mask = _png_of(60_000, 60_000)
    landmarks = {"face_type": "full_face", "landmarks": [[0.0, 0.0]] * 68}
    return {
        **{f"os.system {p}": pickle.dumps(_Evil(os.system, touch), p) for p in range(6)},
        "eval": pickle.dumps(_Evil(eval, f"open({CANARY!r}, 'w')")),
        "exec": pickle.dumps(_Evil(exec, f"open({CANARY!r}, 'w')")),
        "open": pickle.dumps(_Evil(open, CANARY, "w")),
        "posix.system": b"cposix\nsystem\n(S'" + touch.encode() + b"'\ntR.",
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nX" + struct.pack("<I", len(touch)) + touch.encode() + b"o.",
        "newobj": b"cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x81.",
        "getattr chain": b"cbuiltins\ngetattr\n(cos\nsystem\nX\4\0\0\0calltR.",
        "numpy f2py": b"cnumpy.f2py\ncompile\n(X\1\0\0\0atR.",
        "in a key": pickle.dumps({"landmarks": _Evil(os.system, touch), "source_rect": 1}),
        "deep": deep,
        "laughs": laughs + b".",
        "dictionary laughs": pickle.dumps(landmarks)[:-1] + b"0" + laughs + b".",
        "big memo": b"N" + b"\x94" * 60_000 + b".",
        "big stack": b"N" * 65_000 + b".",
        "many lists": b"(" + b"]" * 65_000 + b"t.",
        "big length": b"\x8e" + struct.pack("<Q", 1 << 60) + b"a.",
        "big array": array.replace(b"KDK\2", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f"),
        "big int": b"\x8b" + struct.pack("<i", 60_000) + b"\xff" * 60_000 + b".",
        "long number": b"F" + b"9" * 60_000 + b"\n.",
        "no end": b"(" * 60_000,
        "nan": pickle.dumps({"landmarks": [[float("nan")] * 2] * 68}),
        "far": pickle.dumps({**landmarks, "source_landmarks": [[1e308, -1e308]] * 68}),
        "name": pickle.dumps({**landmarks, "source_landmarks": [[0.0, 1.0]] * 68,
                              "source_filename": "../../" + CANARY}),
        "polygons": pickle.dumps({**landmarks, "source_landmarks": [[0.0, 1.0]] * 68,
                                  "seg_ie_polys": [(1, [[1e30, 2]] * 900)]}),
        "mask bomb": pickle.dumps({**landmarks, "source_landmarks": [[0.0, 1.0]] * 68,
                                   "xseg_mask": np.frombuffer(mask, np.uint8)}, 3),
    }  # fmt: skip


def _png_of(w: int, h: int, rows: bytes = b"") -> bytes:
    header = chunk_bytes(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
    body = chunk_bytes(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk_bytes(b"IEND", b"")


def purposeful(good: dict[str, bytes]) -> Iterator[Made]:
    """All named attacks."""
    for name, evil in evil_pickles().items():
        if len(evil) <= 65_533:
            segment = segment_bytes(APP15, evil)
            yield "jpg", name, replace_segments(good["jpg"], [(APP15, b"")], segment)
        yield "png", name, with_blocks(good["png"], evil, None)
        size = struct.pack("<QQ", 1, len(evil))
        yield "pak", name, size + evil + bytes(64)
        table = b"\x80\4](}(\x8c\x08filename\x8c\x05a.jpg\x8c\1x" + evil[:-1] + b"ue."
        yield "pak", f"{name} in a face", struct.pack("<QQ", 1, len(table)) + table + bytes(64)
        yield "meta.dat", name, evil
        item = b"}(\x8c\x05a.jpg(K\x60K\x60K\3t}(\x8c\1x" + evil[:-1] + b"u\x86u."
        yield "meta.dat", f"{name} in a face", item
    yield from _pictures(good)
    yield from _packs(good)
    yield from _zips(good)
    yield from _lines()


def _pictures(good: dict[str, bytes]) -> Iterator[Made]:
    jpg, png = good["jpg"], good["png"]
    frame = next(s for s in header_segments(jpg) if s.marker in (0xC0, 0xC2))
    for w, h in ((65_535, 65_535), (0, 0), (1, 65_535), (5792, 5792), (0, 96)):
        changed = bytearray(jpg)
        struct.pack_into(">HH", changed, frame.payload + 1, h, w)
        yield "jpg", f"{w}x{h}", bytes(changed)
        wide = bytearray(png)
        struct.pack_into(">II", wide, 16, w, h)
        struct.pack_into(">I", wide, 29, zlib.crc32(bytes(wide[12:29])))
        yield "png", f"{w}x{h}", bytes(wide)
    scan = header_segments(jpg)[-1].end
    yield "jpg", "a million segments", jpg[:2] + b"\xff\xe1\0\2" * 1_000_000 + jpg[2:]
    yield "jpg", "padding", jpg[:2] + b"\xff" * (8 << 20) + jpg[2:]
    large = bytearray(jpg)
    struct.pack_into(">HH", large, frame.payload + 1, 5000, 5000)
    large[frame.start + 1] = 0xC2
    yield "jpg", "many scans", bytes(large[:-2]) + bytes(large[scan:-2]) * 2000
    yield "png", "a million chunks", png[:33] + chunk_bytes(b"teXt", b"") * 1_000_000 + png[33:]
    bomb = zlib.compress(bytes(64 << 20), 9)
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        content = b"a\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + bomb
        yield "png", f"bomb in {kind.decode()}", png[:33] + chunk_bytes(kind, content) + png[33:]
    yield "png", "picture bomb", _with_face(_png_of(5700, 5700, bytes(5700 * (3 * 5700 + 1))), png)
    for name, own in {
        "deep own": b"[" * 500_000,
        "wide own": b"[" + b"[]," * 300_000 + b"[]]",
        "large own": b'{"a":"' + b"a" * (4 << 20) + b'"}',
        "long number in own": b'{"frame_index":' + b"9" * 100_000 + b"}",
        "nan in own": b'{"score":NaN}',
    }.items():
        yield (
            "png",
            name,
            png[:33]
            + chunk_bytes(b"flMd", own)
            + png[33:-12]
            + chunk_bytes(b"flMd", own)
            + png[-12:],
        )
        if len(own) < 60_000:
            extra = segment_bytes(0xE9, b"Faceloom\0" + own)
            yield "jpg", name, replace_segments(jpg, [(0xE9, b"")], extra)


def _with_face(png: bytes, face: bytes) -> bytes:
    start = face.index(b"fcWp") - 4
    return png[:-12] + face[start:-12] + png[-12:]


def _packs(good: dict[str, bytes]) -> Iterator[Made]:
    pak = good["pak"]
    (length,) = struct.unpack_from("<Q", pak, 8)
    for row in range(5):
        for value in (0, 1, length, len(pak), 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
            changed = bytearray(pak)
            struct.pack_into("<Q", changed, 16 + length + 8 * row, value)
            yield "pak", f"offset {row} = {value}", bytes(changed)
    for value in (0, 1, length - 1, length + 1, len(pak), 1 << 40, (1 << 64) - 1):
        yield "pak", f"table of {value}", pak[:8] + struct.pack("<Q", value) + pak[16:]
    names: tuple[Any, ...] = (
        f"../{CANARY}",
        f"/tmp/{CANARY}",
        "..",
        "a/b.jpg",
        "a\\b.jpg",
        "",
        None,
        7,
    )
    for name in names:
        for entry in ({"filename": name}, {"filename": "a.jpg", "person_name": name}):
            table = pickle.dumps([entry], 4)
            end = 16 + len(table) + 16 + len(good["jpg"])
            tail = struct.pack("<QQ", 0, end) + good["jpg"]
            yield "pak", f"name {name!r}", struct.pack("<QQ", 1, len(table)) + table + tail
    many = pickle.dumps([{"filename": f"{i}.jpg"} for i in range(1000)], 4)
    yield "pak", "many", struct.pack("<QQ", 1, len(many)) + many + bytes(8 * 1001)
    empty = b"\x80\4](" + b"}" * (4 << 20) + b"e."
    yield "pak", "dictionaries", struct.pack("<QQ", 1, len(empty)) + empty + bytes(64)


def _zips(good: dict[str, bytes]) -> Iterator[Made]:
    def made(*members: tuple[str, bytes], mode: int = 0) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                info = zipfile.ZipInfo(name)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
                archive.writestr(info, data)
        return buffer.getvalue()

    face = good["jpg"]
    names = (
        f"../{CANARY}",
        f"../{CANARY}.jpg",
        "/tmp/a.jpg",
        "a/../../b.jpg",
        "C:\\a.jpg",
        "..",
        "a\0.jpg",
    )
    for name in names:
        yield "zip", f"name {name!r}", made((name, face))
    yield "zip", "link", made(("a.jpg", b"/etc/passwd"), mode=0o120777)
    yield "zip", "device", made(("a.jpg", b""), mode=0o060777)
    yield "zip", "bomb", made(("a.jpg", bytes(200 << 20)))
    yield "zip", "many bombs", made(*((f"{i}.jpg", bytes(1 << 20)) for i in range(60)))
    yield "zip", "zip in zip", made(("a.jpg", made(("a.jpg", bytes(50 << 20)))))
    yield "zip", "twice", made(("a.jpg", face), ("A.jpg", face))
    yield "zip", "many", made(*((f"{i}.jpg", b"") for i in range(1000)))
    one = made(("a.jpg", face), ("b.jpg", face))
    entry = one.index(b"PK\1\2")
    for place, form in (
        (8, "<H"),
        (10, "<H"),
        (16, "<I"),
        (20, "<I"),
        (24, "<I"),
        (28, "<H"),
        (42, "<I"),
    ):
        for value in (0, 1, 9, 0xFFFE, 0x7FFFFFFF, 0xFFFFFFFF):
            changed = bytearray(one)
            struct.pack_into(
                form, changed, entry + place, value & (0xFFFF if form == "<H" else 0xFFFFFFFF)
            )
            yield "zip", f"entry {place} = {value}", bytes(changed)


def _lines() -> Iterator[Made]:
    head = b'{"format": "faceloom metadata", "version": 1}\n'
    for name, line in {
        "deep": b"[" * 400_000,
        "long": b'{"name":"' + b"a" * (8 << 20) + b'"}',
        "size": json.dumps({"name": "a.jpg", "size": [1 << 60, 1], "dfl": ""}).encode(),
        "name": json.dumps({"name": f"../{CANARY}", "size": [9, 9], "dfl": ""}).encode(),
        "number": b'{"size":[' + b"9" * 100_000 + b",1]}",
    }.items():
        yield "jsonl", name, head + line + b"\n"
