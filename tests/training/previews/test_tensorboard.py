"""TensorBoard's log, read back with its own reader."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.checkpoints import ModelFolder
from faceloom.core import InputError
from faceloom.training.previews.preview import Preview
from faceloom.training.previews.tensorboard import Board, board_folder, open_board


def preview(level: int) -> Preview:
    plain = np.full((20, 30, 3), level, np.uint8)
    plain[:, :10] = (255, 0, 0)
    return Preview(plain, plain // 2)


def test_curves_and_pictures_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = ModelFolder(tmp_path / "x_SAEHD")
    with open_board(folder) as board:
        for iteration in (1, 2, 3, 4):
            board.scalars(iteration, {"loss/src": 1 / iteration, "loss/dst": 2 / iteration})
        board.images(4, preview(80))
    # A later session that goes on from iteration 2: what was beyond is not shown any more.
    with open_board(folder, iteration=2) as board:
        board.scalars(3, {"loss/src": 0.25})
    log = EventAccumulator(str(board_folder(folder)))
    log.Reload()
    src = [(event.step, event.value) for event in log.Scalars("loss/src")]
    assert src == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert [event.step for event in log.Scalars("loss/dst")] == [1, 2]
    other = EventAccumulator(str(sorted(board_folder(folder).iterdir())[0]))
    other.Reload()
    assert set(other.Tags()["images"]) == {"preview/plain", "preview/masked"}
    (picture,) = other.Images("preview/plain")
    decoded = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), 1)
    assert np.array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), preview(80).plain)


def test_without_the_extra_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'faceloom\[tensorboard\]'"):
        open_board(ModelFolder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_end_a_training() -> None:
    class Full:
        calls = 0

        def add_scalar(self, *_: object) -> None:
            self.calls += 1
            raise OSError(28, "No space left on device")

    writer = Full()
    board = Board(writer)
    for iteration in range(3):
        board.scalars(iteration, {"loss/src": 1.0})
    board.close()
    assert writer.calls == 1
