"""Enhancing a faceset: what is written, what is kept, stopping and going on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import Cancel, CancelledError, NullProgress
from faceloom.enhance import CompactSR, Enhancer
from faceloom.faces import Faceset, read_face
from faceloom.faces.moves.moves import undo_moves
from faceloom.stages.faceset import enhance as faceset_enhance
from faceloom.stages.faceset.config import FacesetEnhanceConfig
from faceloom.stages.faceset.enhance import run
from synthetic_faces import write_faceset


class CountingEnhancer(Enhancer):
    """The real one with a small network, counting its pictures."""

    seen = 0
    stop_after: int | None = None
    cancel = Cancel()

    def __init__(self, **_: object) -> None:
        torch.manual_seed(0)
        super().__init__(CompactSR(features=4, convolutions=1), precision="fp32")

    def enhance(self, image, **options):  # type: ignore[no-untyped-def]
        type(self).seen += 1
        if type(self).seen == type(self).stop_after:
            type(self).cancel.set()
        return super().enhance(image, **options)


@pytest.fixture
def enhancer(monkeypatch):
    CountingEnhancer.seen, CountingEnhancer.stop_after = 0, None
    CountingEnhancer.cancel = Cancel()
    monkeypatch.setattr(faceset_enhance, "Enhancer", CountingEnhancer)
    return CountingEnhancer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "aligned"
    write_faceset(target, 6, size=64)
    return target


def enhance(folder: Path, cancel: Cancel | None = None, **settings: object):
    config = FacesetEnhanceConfig(faceset=str(folder), device="cpu", threads=1, **settings)  # type: ignore[arg-type]
    return run(config, progress=NullProgress(), cancel=cancel or Cancel())


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".jpg", ".png")}


def test_faces_are_replaced_and_the_old_ones_kept_and_undone(folder: Path, enhancer) -> None:
    before = contents(folder)
    result = enhance(folder)
    assert (result.enhanced, result.failed) == (6, 0)
    assert contents(folder.with_name("aligned_original")) == before
    after = contents(folder)
    assert after.keys() == before.keys() and all(after[n] != before[n] for n in before)
    assert not folder.with_name("aligned_enhanced").exists()
    undo_moves(folder)
    assert contents(folder) == before


def test_metadata_follow_the_picture_to_its_new_size(folder: Path, enhancer) -> None:
    name = Faceset(folder).paths[0].name
    _, old = read_face(folder / name)
    enhance(folder, scale=2)
    image, new = read_face(folder / name)
    assert image.shape == (128, 128, 3)
    # The frame's landmarks, through the new matrix, are the new landmarks.
    matrix = new.image_to_face_mat
    assert matrix is not None
    mapped = cv2.transform(old.source_landmarks[None], matrix)[0]
    assert np.abs(mapped - new.landmarks).max() < 1e-2
    assert new.source_filename == old.source_filename
    assert new.own is not None and new.own.unknown["enhanced"] == 1.0


def test_what_was_enhanced_is_not_enhanced_again_unless_asked(folder: Path, enhancer) -> None:
    enhance(folder)
    assert enhance(folder).before == 6
    assert enhancer.seen == 6
    assert enhance(folder, again=True).enhanced == 6


def test_a_stopped_run_goes_on_and_changes_nothing_before_it_is_done(folder, enhancer) -> None:
    before = contents(folder)
    enhancer.stop_after = 3
    with pytest.raises(CancelledError):
        enhance(folder, enhancer.cancel)
    assert contents(folder) == before
    done = len(contents(folder.with_name("aligned_enhanced")))
    assert 1 <= done < 6
    seen, enhancer.stop_after = enhancer.seen, None
    assert enhance(folder).enhanced == 6
    assert enhancer.seen == seen + 6 - done


def test_a_damaged_face_is_told_and_left(folder: Path, enhancer) -> None:
    path = Faceset(folder).paths[2]
    data = path.read_bytes()
    start = data.index(b"IDAT") + 6
    path.write_bytes(data[:start] + bytes(100) + data[start + 100 :])
    progress = NullProgress()
    config = FacesetEnhanceConfig(faceset=str(folder), device="cpu", threads=1)
    result = run(config, progress=progress, cancel=Cancel())
    assert (result.enhanced, result.failed) == (5, 1)
    assert any(path.name in note for note in progress.notes)
