"""Where the folders beside a faceset lie, however the faceset was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceloom.workspace.faceset import sibling


def test_it_is_named_as_the_faceset_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_src" / "aligned").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert sibling(Path("data_src/aligned"), "trash") == Path("data_src/aligned_trash")
    assert sibling(tmp_path / "data_src/aligned", "trash") == tmp_path / "data_src/aligned_trash"


@pytest.mark.parametrize("name", [".", "..", "../aligned/inner/.."])
def test_a_folder_without_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inner = tmp_path / "aligned" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner if name == ".." else inner.parent)
    assert sibling(Path(name), "trash").resolve() == (tmp_path / "aligned_trash").resolve()


def test_beside_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk" / "faces").mkdir(parents=True)
    (tmp_path / "aligned").symlink_to(tmp_path / "disk" / "faces")
    expected = (tmp_path / "disk" / "faces_trash").resolve()
    assert sibling(tmp_path / "aligned", "trash").resolve() == expected
