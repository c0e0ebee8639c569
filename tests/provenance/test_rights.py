"""Rights: what is stored, and everything that must make a stage refuse."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faceloom.core import CancelledError, InputError, RightsError
from faceloom.core.events import Cancel
from faceloom.provenance import (
    RightsRecord,
    Statement,
    describe_footage,
    make_record,
    read_rights,
    require_rights,
    rights_digest,
    write_rights,
)


def record_of(workspace: Path, src: Path, dst: Path) -> RightsRecord:
    return make_record(
        Statement(ground="consent", note="letter é", files=describe_footage(workspace, src)),
        Statement(ground="own", files=describe_footage(workspace, dst)),
        stated_by="me",
        now=datetime(2026, 3, 1, 12, 0, 5, 999, tzinfo=UTC),
    )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    src, dst = tmp_path / "a 女.mp4", tmp_path / "b.mp4"
    src.write_bytes(b"src" * 1000)
    dst.write_bytes(b"dst" * 1000)
    workspace = tmp_path / "cast"
    workspace.mkdir()
    return workspace, src, dst


def test_round_trip_and_digest(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, dst = pair
    record = record_of(*pair)
    digest = write_rights(workspace, record)
    assert read_rights(workspace) == (record, digest)
    assert record.stated_at == "2026-03-01T12:00:05Z"
    # The digest by hand: the stored file without its digest, as canonical JSON.
    stored = json.loads((workspace / "rights.json").read_text())
    assert stored.pop("digest") == digest
    canonical = json.dumps(stored, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest
    assert record.src.files[0].sha256 == hashlib.sha256(src.read_bytes()).hexdigest()
    assert require_rights(workspace, {"src": src, "dst": [dst]}) == digest


def test_refuses_without_record(tmp_path: Path) -> None:
    with pytest.raises(RightsError, match="no rights record") as caught:
        require_rights(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored["src"].update(ground="own"),
        lambda stored: stored["src"].update(note="another"),
        lambda stored: stored["dst"]["files"][0].update(sha256="0" * 64),
        lambda stored: stored.update(stated_at="2020-01-01T00:00:00Z"),
        lambda stored: stored.pop("digest"),
        lambda stored: stored.pop("dst"),
        lambda stored: stored["dst"].pop("ground"),
        lambda stored: stored["dst"].update(ground="because"),
        lambda stored: stored.update(version=2),
    ],
)
def test_refuses_altered_or_incomplete_record(pair: tuple[Path, Path, Path], damage) -> None:
    workspace, _, _ = pair
    write_rights(workspace, record_of(*pair))
    file = workspace / "rights.json"
    stored = json.loads(file.read_text())
    damage(stored)
    file.write_text(json.dumps(stored))
    with pytest.raises(RightsError) as caught:
        require_rights(workspace)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_refuses_what_is_no_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rights.json").write_bytes(content)
    with pytest.raises(RightsError):
        require_rights(tmp_path)


def test_refuses_other_or_changed_footage(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, dst = pair
    write_rights(workspace, record_of(*pair))
    with pytest.raises(RightsError, match="does not cover the src footage"):
        require_rights(workspace, {"src": dst})
    changed = bytearray(dst.read_bytes())
    changed[7] ^= 1
    dst.write_bytes(changed)
    with pytest.raises(RightsError, match="does not cover the dst footage"):
        require_rights(workspace, {"dst": dst})
    with pytest.raises(InputError, match="no such file"):
        require_rights(workspace, {"src": src.with_name("gone.mp4")})


def test_same_footage_in_another_place_is_accepted(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, _ = pair
    write_rights(workspace, record_of(*pair))
    moved = src.rename(workspace / "data_src.mp4")
    require_rights(workspace, {"src": moved})


def test_folder_of_pictures_is_one_entry(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.jpg"):
        (folder / name).write_bytes(name.encode())
    (folder / "notes.txt").write_bytes(b"not footage")
    (file,) = describe_footage(tmp_path, folder)
    lines = "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a.jpg", "b.png")
    )
    assert (file.name, file.count, file.size_bytes) == ("photos", 2, 10)
    assert file.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    (folder / "c.png").write_bytes(b"one more")
    assert describe_footage(tmp_path, folder)[0].sha256 != file.sha256


def test_hash_cache_may_be_lost_or_broken(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, _ = pair
    first = describe_footage(workspace, src)
    cache = workspace / ".faceloom" / "hashes.json"
    for content in (b"broken", b"[]", b'{"x": 3}'):
        cache.write_bytes(content)
        assert describe_footage(workspace, src) == first


def test_hashing_can_be_cancelled(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, dst = pair
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        describe_footage(workspace, [src, dst], cancel=cancel)


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="needs byte file names")
def test_file_name_that_is_not_unicode(tmp_path: Path) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    source.write_bytes(b"x")
    (file,) = describe_footage(tmp_path, source)
    assert file.name == "\\udcff.mp4"
    record = make_record(
        Statement(ground="own", files=(file,)), Statement(ground="own", files=(file,))
    )
    write_rights(tmp_path, record)
    assert require_rights(tmp_path, {"src": source}) == rights_digest(record)


def test_nothing_is_written_outside_state_folder(pair: tuple[Path, Path, Path]) -> None:
    workspace, src, _ = pair
    describe_footage(workspace, src)
    assert sorted(entry.name for entry in workspace.iterdir()) == [".faceloom"]
    result = subprocess.run(
        ["git", "init", "-q", "."], cwd=workspace, capture_output=True, check=False
    )
    if result.returncode == 0:
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=workspace, capture_output=True, check=True
        )
        assert b".faceloom" not in status.stdout
