"""FAN's crops, landmarks and second pass against a slow implementation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import WeightsError
from faceloom.detect import LANDMARKERS, Detection, Region, Seed
from faceloom.detect.networks import fan_network
from faceloom.detect.networks.fan import FanLandmarker, crop_of, cut_out, decode
from faceloom.detect.networks.fan_network import FanNetwork
from faceloom.detect.points import points_in_box
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, invert_affine, transform_points
from foreign_files import fan_forward, randomised, write_dfl


def slow_crop(image: np.ndarray, center, scale: float) -> np.ndarray:
    """Torch's 1-based crop, pixel by pixel."""
    h, w = image.shape[:2]

    def frame_of(q: float) -> list[int]:
        return [int(c + 200 * scale * (q / 256 - 0.5)) for c in center]

    ul, br = frame_of(1), frame_of(256)
    canvas = np.zeros((br[1] - ul[1], br[0] - ul[0], 3), np.uint8)
    new_y, old_y = range(max(1, -ul[1] + 1), min(br[1], h) - ul[1] + 1), max(1, ul[1] + 1)
    new_x, old_x = range(max(1, -ul[0] + 1), min(br[0], w) - ul[0] + 1), max(1, ul[0] + 1)
    for i, y in enumerate(new_y):
        for j, x in enumerate(new_x):
            canvas[y - 1, x - 1] = image[old_y + i - 1, old_x + j - 1]
    return cv2.resize(canvas, (256, 256), interpolation=cv2.INTER_LINEAR)


def slow_points(maps: np.ndarray, center, scale: float) -> np.ndarray:
    out = []
    for heat in maps:
        best, px, py = -np.inf, 0, 0
        for y in range(64):
            for x in range(64):
                if heat[y, x] > best:
                    best, px, py = heat[y, x], x, y
        fx, fy = float(px), float(py)
        if 0 < px < 63 and 0 < py < 63:
            fx += 0.25 * np.sign(heat[py, px + 1] - heat[py, px - 1])
            fy += 0.25 * np.sign(heat[py + 1, px] - heat[py - 1, px])
        out.append(
            [
                c + 200 * scale * ((p + 0.5) / 64 - 0.5)
                for c, p in zip(center, (fx, fy), strict=True)
            ]
        )
    return np.array(out)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 2)


@pytest.mark.parametrize(
    "rect",
    [
        (60, 40, 130, 120),
        (0, 0, 60, 70),
        (-20.5, 90, 40, 150.25),
        (150, 20, 199, 90),
        (5, 5, 250, 240),
    ],
)
def test_crops_are_torchs_to_the_pixel(rect) -> None:
    image = noise(1, 140, 200)
    scale = (rect[2] - rect[0] + rect[3] - rect[1]) / 195
    center = ((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2)
    middle, side_px = crop_of(rect)
    assert side_px == pytest.approx(200 * scale) and middle.tolist() == list(center)
    np.testing.assert_array_equal(cut_out(image, middle, side_px), slow_crop(image, center, scale))


def test_points_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(2)
    maps = rng.random((68, 64, 64)).astype(np.float32)
    for number, (y, x) in enumerate([(0, 5), (63, 5), (5, 0), (5, 63), (0, 0), (63, 63), (1, 62)]):
        maps[number, y, x] = 2
    maps[10] = 0  # no peak at all
    center, scale = (123.25, 77.5), 0.73
    points = decode(maps, np.array(center), 200 * scale)
    np.testing.assert_allclose(points, slow_points(maps, center, scale), atol=1e-9)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, torch.Tensor]]:
    state = randomised(FanNetwork(8), 21)
    monkeypatch.setattr(fan_network, "FanNetwork", lambda: FanNetwork(8))
    return write_dfl(tmp_path / "2DFAN.npy", state), state


def reference(state, image: np.ndarray, rect, shifts=((0, 0),)) -> np.ndarray:
    """One or several crops through the network implemented independently, averaged."""
    scale = (rect[2] - rect[0] + rect[3] - rect[1]) / 195
    found = []
    for dx, dy in shifts:
        center = ((rect[0] + rect[2]) / 2 + dx, (rect[1] + rect[3]) / 2 + dy)
        x = torch.from_numpy(slow_crop(image, center, scale)).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            found.append(slow_points(fan_forward(state, x)[0].numpy(), center, scale))
    return np.mean(found, axis=0)


def agree(a: np.ndarray, b: np.ndarray, cell_px: float) -> None:
    """The same, up to a rare tie of two peaks that float arithmetic breaks either way."""
    close = np.abs(a - b).max(axis=1) < 0.01 * cell_px
    assert close.mean() > 0.95, close.mean()


def test_a_face_goes_through_all_of_it(small) -> None:
    path, state = small
    image, rect = noise(3, 150, 220), (70.0, 30.0, 140.0, 120.0)
    (marks,) = FanLandmarker("2dfan", path).landmarks(
        image, [Detection(rect, points_in_box(rect), 0.9)]
    )
    assert marks.points.shape == (68, 2) and marks.mesh is None
    agree(marks.points, reference(state, image, rect), crop_of(rect)[1] / 64)


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_lying_face_is_turned_upright(small, turn_deg: int) -> None:
    path, _ = small
    landmarker = FanLandmarker("2dfan", path)
    image, rect = noise(4, 150, 220), (70, 30, 140, 120)
    (upright,) = landmarker.landmarks(image, [Detection(rect, points_in_box(rect), 0.9)])
    turned = np.ascontiguousarray(np.rot90(image, turn_deg // 90))
    grid = np.zeros(image.shape[:2])
    grid[30, 70], grid[120, 140] = 1, 2
    grid = np.rot90(grid, turn_deg // 90)
    ends = np.array([np.argwhere(grid == v)[0][::-1] for v in (1, 2)])
    box = (*ends.min(axis=0).tolist(), *ends.max(axis=0).tolist())
    # np.rot90 turns counterclockwise: the clockwise turn of the same size puts it upright again.
    (found,) = landmarker.landmarks(
        turned, [Detection(box, points_in_box(box, turn_deg), 0.9, turn_deg)]
    )
    code = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    for number in (0, 30, 60):
        dot = np.zeros(image.shape[:2], np.uint8)
        x, y = np.round(upright.points[number]).astype(int)
        if not (0 <= x < 220 and 0 <= y < 150):
            continue
        dot[y, x] = 1
        place = np.argwhere(cv2.rotate(dot, code[turn_deg]))[0][::-1]
        assert np.abs(found.points[number] - place).max() <= 1.01


class OneBox:
    """A detector that sees the same boxes in every crop."""

    name = "one"

    def __init__(self, *rects) -> None:
        self.rects = rects
        self.seen: list[np.ndarray] = []

    def detect(self, images):
        self.seen.extend(images)
        return [[Detection(r, points_in_box(r), 0.9) for r in self.rects] for _ in images]


def plausible(path: Path, monkeypatch: pytest.MonkeyPatch, second: OneBox, image, rect):
    """The landmarker, its first pass replaced by points that make a face."""
    landmarker = FanLandmarker("3dfan", path, second=second)
    first = MODEL_POINTS_3D[:, :2] * 0.5 + [105, 75]
    look = landmarker._pass

    def staged(picture, box, *, samples=1):
        return (first, 0.5) if samples == 1 else look(picture, box, samples=samples)

    monkeypatch.setattr(landmarker, "_pass", staged)
    (marks,) = landmarker.landmarks(image, [Detection(rect, points_in_box(rect), 0.9)])
    return first, marks


def test_the_second_pass_is_that_of_the_reference(small, monkeypatch) -> None:
    path, state = small
    image, rect = noise(5, 150, 220), (70.0, 30.0, 140.0, 120.0)
    second = OneBox((60.0, 50.0, 190.0, 220.0))
    first, marks = plausible(path, monkeypatch, second, image, rect)
    matrix = frame_to_face(first, 256, "full_face")
    crop = cv2.warpAffine(image, matrix, (256, 256), flags=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(second.seen[0], crop)
    shifts = [(0, 0), (-1, -1), (1, -1), (1, 1), (-1, 1)]
    closer = reference(state, crop, second.rects[0], shifts)
    cell_px = crop_of(second.rects[0])[1] / 64
    agree(transform_points(marks.points, matrix), closer, cell_px)
    back = transform_points(closer, invert_affine(matrix))
    assert np.median(np.abs(back - marks.points)) < 0.01


@pytest.mark.parametrize("rects", [(), ((9, 9, 90, 90), (100, 100, 200, 200))])
def test_without_exactly_one_face_the_first_pass_stays(small, monkeypatch, rects) -> None:
    path, _ = small
    first, marks = plausible(
        path, monkeypatch, OneBox(*rects), noise(6, 150, 220), (70, 30, 140, 120)
    )
    np.testing.assert_allclose(marks.points, first, atol=1e-4)
    assert marks.presence == pytest.approx(16)


def test_a_tracked_face_is_found_at_its_place(small) -> None:
    path, _ = small
    seed = Seed((0, 0, 1, 1), Region(105, 75, 1.5 * 80, 0.02))
    (marks,) = FanLandmarker("2dfan", path).landmarks(noise(3, 150, 220), [seed])
    box = (65, 35, 145, 115)
    (same,) = FanLandmarker("2dfan", path).landmarks(
        noise(3, 150, 220), [Detection(box, points_in_box(box), 0.9)]
    )
    np.testing.assert_allclose(marks.points, same.points, atol=1e-3)


@pytest.mark.parametrize("name", ["2dfan", "3dfan"])
def test_without_a_file_one_line_says_how_to_add_one(tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.setenv("FACELOOM_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        LANDMARKERS[name]("auto", None)
    assert f"{name[0]}DFAN.npy" in str(caught.value)
    assert f"faceloom weights add FILE --as {name}" in str(caught.value)
