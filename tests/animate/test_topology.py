import cv2
import numpy as np

from faceloom.animate.topology import EYES, OVAL, delaunay, signed_areas


def test_delaunay_has_empty_circumcircles_and_covers_the_hull():
    points = np.random.default_rng(3).uniform(0, 200, (60, 2))
    points = np.round(points * 64) / 64
    triangles = delaunay(points)
    areas = signed_areas(points[triangles])
    assert (areas > 0).all()
    hull = cv2.contourArea(cv2.convexHull(points.astype(np.float32)))
    # Subdiv2D may leave out slivers along the hull, which its far virtual corners swallow.
    assert 0.99 * hull < areas.sum() / 2 <= hull * (1 + 1e-5)
    for corners in points[triangles]:
        a, b, c = corners
        system = 2 * np.array([b - a, c - a])
        centre = np.linalg.solve(system, [b @ b - a @ a, c @ c - a @ a])
        radius = np.linalg.norm(a - centre)
        assert (np.linalg.norm(points - centre, axis=1) > radius - 1e-6).all()


def test_points_that_coincide_count_once():
    points = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [0, 0]], float)
    assert set(delaunay(points).ravel().tolist()) == {0, 1, 2, 3}


def test_named_points_lie_where_their_names_say(portrait):
    mesh = portrait.mesh[:, :2]
    oval = mesh[list(OVAL)].astype(np.float32)
    assert cv2.isContourConvex(np.round(oval * 4).astype(np.int32)) or cv2.contourArea(oval) > 0
    for eye in EYES:
        lids = mesh[list(eye.contour)].astype(np.float32)
        pupil = mesh[eye.iris[0]]
        assert cv2.pointPolygonTest(lids, (float(pupil[0]), float(pupil[1])), False) > 0
        assert cv2.pointPolygonTest(oval, (float(pupil[0]), float(pupil[1])), False) > 0
        for upper, lower in zip(eye.upper, eye.lower, strict=True):
            assert mesh[upper, 1] < mesh[lower, 1]
            assert abs(mesh[upper, 0] - mesh[lower, 0]) < 8
