"""S3FD's boxes against a slow implementation, cell by cell and box by box."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import WeightsError
from faceloom.detect import DETECTORS
from faceloom.detect.networks import s3fd_network
from faceloom.detect.networks.s3fd import S3fd, chosen, decode, finished, input_size
from faceloom.detect.networks.s3fd_network import S3fdNetwork
from foreign_files import randomised, s3fd_forward, write_dfl


def slow_boxes(levels, factor: float, least_px: int = 40) -> list[tuple[list[int], float]]:
    """Decoding, NMS and post-processing as the reference words them."""
    rows = []
    for i, (face, loc) in enumerate(levels):
        s = (4, 8, 16, 32, 64, 128)[i]
        for y in range(face.shape[0]):
            for x in range(face.shape[1]):
                p = float(face[y, x])
                if p <= 0.05:
                    continue
                a, b, c, d = (float(v) for v in loc[:, y, x])
                cx = (x + 0.5) * s + 0.1 * 4 * s * a
                cy = (y + 0.5) * s + 0.1 * 4 * s * b
                w, h = 4 * s * math.exp(0.2 * c), 4 * s * math.exp(0.2 * d)
                rows.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, p))
    rows.sort(key=lambda r: -r[4])
    kept = []
    for r in rows:
        for k in kept:
            iw = min(r[2], k[2]) - max(r[0], k[0]) + 1
            ih = min(r[3], k[3]) - max(r[1], k[1]) + 1
            inter = max(0, iw) * max(0, ih)
            areas = [(q[2] - q[0] + 1) * (q[3] - q[1] + 1) for q in (r, k)]
            if inter / (sum(areas) - inter) > 0.3:
                break
        else:
            kept.append(r)
    out = []
    for r in kept:
        if r[4] < 0.5:
            continue
        left, top, right, bottom = (int(v) * factor for v in r[:4])
        if min(right - left, bottom - top) < least_px:
            continue
        bottom += 0.1 * (bottom - top)
        out.append(([int(left), int(top), int(right), int(bottom)], r[4]))
    out.sort(key=lambda o: -(o[0][2] - o[0][0]) * (o[0][3] - o[0][1]))
    return out


def random_levels(seed: int, size: tuple[int, int] = (192, 256)):
    rng = np.random.default_rng(seed)
    levels = []
    for level in range(6):
        h, w = (max(1, math.ceil(n / (4 << level))) for n in size)
        face = np.where(rng.random((h, w)) < 0.1, rng.random((h, w)), 0.0).astype(np.float32)
        levels.append((face, rng.normal(0, 1.5, (4, h, w)).astype(np.float32)))
    return levels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("factor", [1.0, 2.0, 3.17])
def test_boxes_are_those_of_the_reference(seed: int, factor: float) -> None:
    levels = random_levels(seed)
    boxes, scores = finished(*chosen(decode(levels)), factor, 40)
    expected = slow_boxes(levels, factor)
    assert len(expected) > 3
    assert boxes.tolist() == [box for box, _ in expected]
    np.testing.assert_allclose(scores, [score for _, score in expected])


def test_no_cell_gives_no_box() -> None:
    levels = [(face * 0, loc) for face, loc in random_levels(1)]
    boxes, scores = finished(*chosen(decode(levels)), 2.0, 40)
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1080, 1920), (360, 640)),  # HD and 4K at 640
        ((2160, 3840), (360, 640)),
        ((720, 1280), (360, 640)),
        ((1278, 719), (639, 359)),  # smaller ones at half
        ((576, 720), (288, 360)),
        ((256, 256), (128, 128)),
        ((90, 100), (57, 64)),  # never below 64
    ],
)
def test_pictures_are_scaled_as_in_the_reference(size, expected) -> None:
    assert input_size(size)[0] == expected
    assert input_size(size)[1] == max(size) / max(expected)


def picture() -> np.ndarray:
    image = np.random.default_rng(12).integers(0, 256, (180, 300, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)


def network_input(image: np.ndarray) -> torch.Tensor:
    """A picture of 300 by 180 at half its size, less the means."""
    resized = cv2.resize(image, (150, 90), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return torch.from_numpy(resized - np.array([104, 117, 123], np.float32)).permute(2, 0, 1)[None]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A small network takes the place of the real one; its random weights are in a file."""
    state = randomised(S3fdNetwork(16), 11)
    # So that about one cell in twenty of each level is a face.
    with torch.inference_mode():
        answers = s3fd_forward(state, network_input(picture()))
    heads = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
    for name, (scores, _) in zip(heads, answers, strict=True):
        margin = scores[0, -1] - scores[0, :-1].max(dim=0).values
        state[f"{name}_mbox_conf.bias"][-1] -= torch.quantile(margin, 0.95)
    write_dfl(tmp_path / "S3FD.npy", state)
    monkeypatch.setattr(s3fd_network, "S3fdNetwork", lambda: S3fdNetwork(16))
    return state


def test_a_picture_goes_through_all_of_it(small, tmp_path: Path) -> None:
    image = picture()
    levels = []
    with torch.inference_mode():
        for scores, loc in s3fd_forward(small, network_input(image)):
            background = scores[0, :-1].max(dim=0).values
            face = torch.stack([background, scores[0, -1]]).softmax(dim=0)[1]
            levels.append((face.numpy(), loc[0].numpy()))
    expected = slow_boxes(levels, 2.0)
    assert expected
    detector = S3fd(tmp_path / "S3FD.npy")
    found = detector.detect([image])[0]
    assert [list(d.rect) for d in found] == [box for box, _ in expected]
    np.testing.assert_allclose([d.score for d in found], [s for _, s in expected], rtol=1e-4)
    for d in found:
        left, top, right, bottom = d.rect
        eyes, mouth = d.points[:2, 1], d.points[3:, 1]
        assert top < eyes.min() and eyes.max() < d.points[2, 1] < mouth.min() < bottom
        assert (d.points[:, 0] > left).all() and (d.points[:, 0] < right).all()
    assert detector.detect([image[:20, :60]]) == [[]]


def test_without_a_file_one_line_says_how_to_add_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACELOOM_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        DETECTORS["s3fd"](640, "auto", None)
    for part in ("S3FD.npy", "s3fd-619a316812.pth", "faceloom weights add FILE --as s3fd"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
