"""Zip files of faces: both ways against Python's own reader, and what hostile ones try."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from face_inputs import picture, record
from faceloom.core import FormatError, InputError
from faceloom.faces import encode_face
from faceloom.faces.archives.archive import open_archive
from faceloom.faces.archives.pack_writer import PackFace
from faceloom.faces.archives.zipped import open_zip, write_zip

FACE = encode_face(picture(64), record())


def loose(folder: Path, *names: str) -> list[PackFace]:
    faces: list[PackFace] = []
    for i, name in enumerate(names):
        path = folder / f"{i}.jpg"
        path.write_bytes(encode_face(picture(64, seed=i), record()))
        person, _, plain = name.rpartition("/")
        faces.append(PackFace(path, plain, person or None))
    return faces


@pytest.mark.parametrize("names", [("a.jpg", "b.png", "女.jpg"), ("x/a.jpg", "y/a.jpg", "b.jpg")])
def test_any_program_reads_our_zip_and_so_do_we(tmp_path: Path, names: tuple[str, ...]):
    faces = loose(tmp_path, *names)
    path = tmp_path / "faces.zip"
    assert write_zip(path, faces) == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == list(names) and archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        for face in faces:
            assert archive.read(face.packed) == face.path.read_bytes()
    with open_archive(path) as found:
        assert found.names == tuple(sorted(names)) and found.ignored == ()
        for face in faces:
            assert found.read(face.packed) == face.path.read_bytes()
    again = tmp_path / "again.zip"
    write_zip(again, faces)
    assert again.read_bytes() == path.read_bytes()


def test_what_people_zip_opens(tmp_path: Path):
    path = tmp_path / "mac.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("my faces")
        archive.mkdir("my faces/aligned")
        for i in range(3):
            archive.writestr(f"my faces/aligned/0000{i}_0.jpg", FACE)
        archive.writestr("__MACOSX/my faces/aligned/._00000_0.jpg", b"x")
        archive.writestr("my faces/.DS_Store", b"x")
        archive.writestr("my faces/aligned/notes.txt", b"x")
    with open_zip(path) as found:
        assert found.names == ("00000_0.jpg", "00001_0.jpg", "00002_0.jpg")
        assert len(found.ignored) == 3
        assert found.read("00001_0.jpg") == FACE


def test_a_zip_behind_other_bytes_opens(tmp_path: Path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.jpg", FACE)
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK" + bytes(1000) + inner.getvalue())
    with open_zip(path) as found:
        assert found.read("a.jpg") == FACE


def zipped(*members: tuple[str, bytes], **changes: int) -> bytes:
    """A zip file; `changes` to each member's entry in the list."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = changes.get("compress_type", zipfile.ZIP_DEFLATED)
            info.external_attr = changes.get("external_attr", 0)
            archive.writestr(info, data)
    return buffer.getvalue()


def patched(data: bytes, place: int, form: str, value: int, *, entry: int = 0) -> bytes:
    """With a field of an entry in the list of members changed."""
    at = -1
    for _ in range(entry + 1):
        at = data.index(b"PK\1\2", at + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, at + place, value)
    return bytes(changed)


def hostile() -> dict[str, tuple[bytes, str]]:
    two = zipped(("a.jpg", FACE), ("b.jpg", FACE))
    link = (stat.S_IFLNK | 0o777) << 16
    return {
        "parent": (zipped(("../a.jpg", FACE)), "leads out"),
        "deep parent": (zipped(("x/../../a.jpg", FACE)), "leads out"),
        "absolute": (zipped(("/etc/a.jpg", FACE)), "leads out"),
        "backslash": (zipped(("..\\a.jpg", FACE)), "leads out"),
        "drive": (zipped(("C:a.jpg", FACE)), "cannot be the name"),
        "device": (zipped(("con.jpg", FACE)), "cannot be the name"),
        "newline": (zipped(("a\nb.jpg", FACE)), "cannot be the name"),
        "twice": (zipped(("a.jpg", FACE), ("A.JPG", FACE)), "two members"),
        "link": (zipped(("a.jpg", b"/etc/passwd"), external_attr=link), "link or device"),
        "bomb": (zipped(("a.jpg", bytes(50 << 20))), "expands to far more"),
        "encrypted": (patched(two, 8, "<H", 1), "encrypted"),
        "odd method": (
            zipped(("a.jpg", FACE), compress_type=zipfile.ZIP_BZIP2),
            "unusual compression",
        ),
        "declared huge": (patched(two, 24, "<L", 1 << 31), "larger than 256 MiB"),
        "overlap": (patched(two, 42, "<L", 0, entry=1), "overlaps"),
        "beyond": (patched(two, 20, "<L", 1 << 28), "beyond its end|overlaps|far more"),
        "cut": (two[:-30], "not a zip file"),
        "half": (two[len(two) // 2 :], "zip file"),
        "empty": (b"", "not a zip file"),
        "nothing": (b"PK", "not a zip file"),
        "long list": (
            two[:-10] + struct.pack("<L", 1 << 30) + two[-6:],
            "list of members|damaged zip",
        ),
    }


@pytest.mark.parametrize("case", hostile())
def test_hostile_zips_are_one_clear_line(case: str, tmp_path: Path):
    data, message = hostile()[case]
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught, open_zip(path):
        pass
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_members_that_lie_about_their_size_or_content_are_refused(tmp_path: Path):
    path = tmp_path / "a.zip"
    plain = zipped(("a.jpg", FACE))
    for data in (
        patched(plain, 24, "<L", len(FACE) - 5),  # shorter: the checksum is that of all
        patched(plain, 24, "<L", len(FACE) + 5),
        patched(plain, 16, "<L", 7),
        plain[:60] + b"\xff" + plain[61:],
    ):
        path.write_bytes(data)
        with (
            open_zip(path) as found,
            pytest.raises(FormatError, match=r"damaged|does not have its declared size"),
        ):
            found.read("a.jpg")


def test_too_many_members_are_counted_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from faceloom.faces.archives import zipped as module

    monkeypatch.setattr(module, "MAX_MEMBERS", 20)
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(*((f"{i}.jpg", b"") for i in range(21))))
    with pytest.raises(FormatError, match="more than 20 members"), open_zip(path):
        pass


def test_names_that_cannot_be_in_a_zip_are_refused(tmp_path: Path):
    faces = loose(tmp_path, "a.jpg", "b.jpg")
    for names in (("a.jpg", "A.jpg"), ("a/b.jpg", "x.jpg"), ("..", "x.jpg")):
        given = [PackFace(f.path, name) for f, name in zip(faces, names, strict=True)]
        with pytest.raises(InputError):
            write_zip(tmp_path / "out.zip", given)
    assert not (tmp_path / "out.zip").exists()


def test_errors_of_whoever_uses_a_zip_stay_theirs(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(("a.jpg", FACE)))
    with pytest.raises(OSError, match="disk full"), open_zip(path):
        raise OSError("disk full")
