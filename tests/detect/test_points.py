"""The mapping from mesh to 68 points, regions and overlaps: plain geometry."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.detect import MESH_TO_68, Detection, mesh_to_68
from faceloom.detect.points import bounds, overlap, region_of_detection, region_of_mesh

# From the reference's table: iBUG index → mesh indices.
SPOT_CHECKS = {
    0: {127},
    3: {58, 132},
    8: {152},
    16: {356},
    17: {46, 70},
    26: {276, 300},
    27: {168},
    30: {4},
    35: {460},
    36: {33},
    45: {263},
    48: {61},
    54: {291},
    60: {78},
    64: {308},
    67: {178},
}


def test_the_table_is_the_references() -> None:
    assert MESH_TO_68.shape == (68, 2)
    assert {index: set(MESH_TO_68[index].tolist()) for index in SPOT_CHECKS} == SPOT_CHECKS


def test_two_indices_mean_their_average() -> None:
    mesh = np.random.default_rng(3).normal(size=(478, 3)).astype(np.float32)
    points = mesh_to_68(mesh)
    assert points.shape == (68, 2) and points.dtype == np.float32
    np.testing.assert_allclose(points[3], (mesh[58, :2] + mesh[132, :2]) / 2, atol=1e-6)
    np.testing.assert_array_equal(points[30], mesh[4, :2])


def test_a_region_follows_a_turn() -> None:
    mesh = np.random.default_rng(4).uniform(-50, 50, size=(478, 3)).astype(np.float32)
    mesh[33, :2], mesh[263, :2] = (-30, -10), (30, -10)
    upright = region_of_mesh(mesh)
    assert upright.angle_rad == pytest.approx(0)
    assert upright.side_px == pytest.approx(150, rel=0.02)
    turned = mesh.copy()
    turned[:, 0], turned[:, 1] = -mesh[:, 1] + 7, mesh[:, 0]
    region = region_of_mesh(turned)
    assert region.angle_rad == pytest.approx(np.pi / 2)
    assert region.center_x == pytest.approx(7 - upright.center_y, abs=1e-3)


def test_the_region_of_a_detection() -> None:
    points = np.array([[-15, 4], [5, 4], [-5, 10], [-12, 16], [2, 16]], dtype=np.float32)
    detection = Detection((0, 0, 20, 30), points, 0.9)
    region = region_of_detection(detection)
    assert (region.center_x, region.center_y, region.side_px) == (10, 15, 45)
    assert region_of_detection(detection, around_points=True).center_x == pytest.approx(-5)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),
        ((0, 0, 2, 2), (5, 5, 6, 6), 0.0),
        ((0, 0, 4, 4), (1, 1, 2, 2), 1 / 16),
    ],
)
def test_overlap(a, b, expected: float) -> None:
    assert overlap(a, b) == pytest.approx(expected)
    assert overlap(b, a) == pytest.approx(expected)


def test_bounds() -> None:
    points = np.array([[3, 9], [-1, 4], [2, 11]], dtype=np.float32)
    assert bounds(points) == (-1, 4, 3, 11)
