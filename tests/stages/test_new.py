"""`new`: what it writes, what it leaves alone, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceloom.core import Cancel, FaceloomError, InputError, NullProgress
from faceloom.media import write_image
from faceloom.provenance import file_sha256, read_ledger, read_rights, require_rights
from faceloom.stages.config import NewConfig
from faceloom.stages.new import NewResult, run
from faceloom.workspace.layout import Workspace
from tiny_clips import write_clip


def new(workspace: Path, **values) -> NewResult:
    config = NewConfig(
        **{"src_rights": "consent", "dst_rights": "own", "workspace": workspace, **values}
    )
    return run(config, progress=NullProgress(), cancel=Cancel())


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    src, dst = tmp_path / "anna 女.mp4", tmp_path / "ben.MKV"
    return write_clip(src, 3), write_clip(dst, 4)


def test_by_reference(tmp_path: Path, clips: tuple[Path, Path]) -> None:
    src, dst = clips
    result = new(tmp_path / "cast", src=src, dst=dst, note="letters", src_name="Anna")
    workspace = Workspace.open(tmp_path / "cast")
    assert workspace.footage("src") == src and workspace.footage("dst") == dst
    found = read_rights(workspace.folder)
    assert found == (result.rights, result.rights_digest)
    assert found[0].src.files[0].sha256 == file_sha256(src)
    assert (found[0].src.subject, found[0].dst.subject) == ("Anna", "")
    footage = {"src": src, "dst": dst}
    assert require_rights(workspace.folder, footage) == result.rights_digest
    assert [entry.event for entry in read_ledger(workspace.folder)] == ["rights"]
    assert not list(workspace.folder.glob("data_*.*"))


def test_copied_in(tmp_path: Path, clips: tuple[Path, Path]) -> None:
    _, dst = clips
    photos = tmp_path / "photos"
    photos.mkdir()
    write_image(photos / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    write_image(photos / "b.png", np.full((8, 8, 3), 9, np.uint8))
    content = (photos / "b.png").read_bytes()
    new(tmp_path / "cast", src=photos, dst=dst, copy_footage=True)
    workspace = Workspace.open(tmp_path / "cast")
    assert workspace.footage("dst") == workspace.folder / "data_dst.mkv"
    assert workspace.footage("src") == workspace.data_src
    assert (workspace.data_src / "b.png").read_bytes() == content
    # Again, as after a kill half-way: what is there stays.
    (workspace.data_src / "b.png").unlink()
    workspace.file.unlink()
    new(tmp_path / "cast", src=photos, dst=dst, copy_footage=True)
    assert (workspace.data_src / "b.png").read_bytes() == content
    (workspace.data_src / "b.png").write_bytes(b"other")
    workspace.file.unlink()
    with pytest.raises(InputError, match="a different file has this name"):
        new(tmp_path / "cast", src=photos, dst=dst, copy_footage=True)


def test_dfl_workspace_gets_its_record(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    (root / "data_src" / "aligned").mkdir(parents=True)
    write_clip(root / "data_src.mp4", 2)
    (root / "data_dst").mkdir()
    write_image(root / "data_dst" / "00001.png", np.zeros((8, 8, 3), np.uint8))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    new(root)
    assert {path: path.read_bytes() for path in before} == before
    workspace = Workspace.open(root)
    require_rights(root, {"src": workspace.footage("src"), "dst": workspace.footage("dst")})


def test_same_again_is_allowed_and_other_footage_refused(
    tmp_path: Path, clips: tuple[Path, Path]
) -> None:
    src, dst = clips
    first = new(tmp_path / "cast", src=src, dst=dst)
    second = new(tmp_path / "cast", src=src, dst=dst, src_rights="licence")
    assert first.rights_digest != second.rights_digest
    assert new(tmp_path / "cast").rights.src.files == first.rights.src.files
    with pytest.raises(InputError, match="the src footage is"):
        new(tmp_path / "cast", src=dst, dst=dst)
    assert Workspace.open(tmp_path / "cast").footage("src") == src


def test_refuses_before_it_makes_anything(tmp_path: Path, clips: tuple[Path, Path]) -> None:
    src, _ = clips
    target = tmp_path / "cast"
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    (tmp_path / "empty").mkdir()
    for values, message in (
        ({"src": src}, "pass --dst"),
        ({"src": src, "dst": tmp_path / "no.mp4"}, "no such file"),
        ({"src": text, "dst": src}, "not a video"),
        ({"src": src.parent / "empty", "dst": src}, "neither videos nor pictures"),
    ):
        with pytest.raises(FaceloomError, match=message):
            new(target, **values)
        assert not target.exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        new(tmp_path / "file", src=src, dst=src)
