"""Previews: what is where in the grid, and the files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.checkpoints import choose_device, choose_precision, computing
from faceloom.core import InputError
from faceloom.media import open_footage
from faceloom.models import Reconstruction, SaehdSettings
from faceloom.samples import SampleStore
from faceloom.training import (
    Preview,
    choose_faces,
    make_preview,
    write_curve,
    write_page,
    write_preview,
)
from faceloom.training.previews.timelapse import write_timelapse

Stores = tuple[SampleStore, SampleStore]


class Painter:
    """A model that paints each of its outputs in one grey."""

    def __init__(self, resolution: int, face_type: str = "full_face") -> None:
        self.settings = SaehdSettings(resolution=resolution, face_type=face_type)  # type: ignore[arg-type]

    def reconstruct(self, src: torch.Tensor, dst: torch.Tensor) -> Reconstruction:
        def grey(like: torch.Tensor, value: float) -> torch.Tensor:
            return torch.full_like(like, value)

        half = torch.full_like(src[:, :1], 0.5)
        return Reconstruction(
            grey(src, 0.2), half, grey(dst, 0.4), half, grey(dst, 0.8), torch.ones_like(half)
        )


def cell(image: np.ndarray, row: int, column: int) -> np.ndarray:
    side = image.shape[1] // 5
    top = image.shape[0] - 4 * side
    return image[top + row * side : top + (row + 1) * side, column * side : (column + 1) * side]


def test_grid_shows_five_columns_and_masks(stores: Stores) -> None:
    faces = choose_faces(*stores, resolution=64)
    assert faces.src.target.shape == (4, 3, 64, 64)
    losses = np.ones((10, 2), np.float32)
    preview = make_preview(Painter(64), faces, losses, iteration=10)  # type: ignore[arg-type]
    side = preview.plain.shape[1] // 5
    expected = faces.dst.target[2].permute(1, 2, 0).mul(255).round().byte().numpy()
    expected = cv2.resize(expected, (side, side), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(cell(preview.plain, 2, 2), expected)
    greys = [int(cell(preview.plain, 1, column)[5, 5, 0]) for column in (1, 3, 4)]
    assert greys == [51, 102, 204]
    masked = [int(cell(preview.masked, 1, column)[5, 5, 0]) for column in (1, 3, 4)]
    assert masked == [26, 51, 102]
    head = make_preview(Painter(64, "head"), faces, losses, iteration=10)  # type: ignore[arg-type]
    assert int(cell(head.masked, 1, 4)[5, 5, 0]) == 204, "a head's swap has its own mask alone"
    assert int(cell(preview.masked, 0, 0)[2, side - 3].max()) == 0, "outside src's mask"


def test_preview_faces_are_fixed_and_spread_over_yaw(stores: Stores) -> None:
    first, second = (choose_faces(*stores, resolution=64) for _ in range(2))
    assert torch.equal(first.src.target, second.src.target)
    planes = stores[0].planes[:, :3].float() / 255
    chosen = [int((planes - face).abs().sum((1, 2, 3)).argmin()) for face in first.src.target]
    assert len(set(chosen)) == 4
    assert sorted(stores[0].yaw_rad[chosen]) == list(stores[0].yaw_rad[chosen])


def test_large_pictures_are_shown_smaller(stores: Stores) -> None:
    faces = choose_faces(*stores, resolution=64)
    big = torch.nn.functional.interpolate(faces.src.target, (512, 512))
    from dataclasses import replace

    large = replace(faces.src, target=big, mask=big[:, :1])
    preview = make_preview(
        Painter(512), replace(faces, src=large, dst=large), np.ones((1, 2), np.float32), iteration=1
    )  # type: ignore[arg-type]
    assert preview.plain.shape[1] == 5 * 384


def test_files_and_timelapse(tmp_path: Path) -> None:
    for iteration in (1, 20, 300):
        image = np.full((121, 201, 3), min(iteration, 255), np.uint8)
        write_preview(tmp_path, Preview(image, image), iteration=iteration, history=True)
    page = write_page(tmp_path)
    assert {"last.jpg", "last_masked.jpg", "../loss.png"} <= set(page.read_text().split('"'))
    count = write_timelapse(tmp_path, tmp_path / "lapse.mp4", fps=4, hold_s=1)
    footage = open_footage(tmp_path / "lapse.mp4")
    frames = [frame.image for frame in footage.frames()]
    assert len(frames) == count == 6
    assert frames[0].shape == (120, 200, 3)
    greys = [float(frame.mean()) for frame in frames]
    assert greys[0] < 6
    assert greys[1] == pytest.approx(20, abs=4)
    assert min(greys[2:]) > 250
    write_curve(tmp_path / "loss.png", np.ones((5, 2), np.float32), ("src", "dst"))
    assert cv2.imread(str(tmp_path / "loss.png")).shape == (480, 1200, 3)
    with pytest.raises(InputError, match="no preview history"):
        write_timelapse(tmp_path / "none", tmp_path / "x.mp4")


def test_devices_and_precision() -> None:
    assert choose_device("cpu").type == "cpu"
    for name in ("gpu", "cuda:99", "meta", "cpux"):
        with pytest.raises(InputError, match="device"):
            choose_device(name)
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    before = torch.get_num_threads()
    with computing(device=cpu, precision="fp32", threads=3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
