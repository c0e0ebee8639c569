from dataclasses import replace

import cv2
import numpy as np
import pytest

from faceloom.animate import ASTRONAUT, Pose, animate, crop_portrait, make_portrait, render
from faceloom.animate.topology import OVAL
from faceloom.core import InputError
from faceloom.detect import mesh_to_68

POSES = [
    Pose(yaw_deg=18, pitch_deg=6, roll_deg=-5, jaw=0.8, blink=0.5),
    Pose(yaw_deg=-18, pitch_deg=-8, roll_deg=5, brow=1, wide=1, gaze_x=1),
    Pose(blink=1, jaw=0.3, wide=-1, gaze_y=-1),
]


def inside(points: np.ndarray, size: tuple[int, int], shrink_px: int) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(points[:, :2]).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((2 * shrink_px + 1,) * 2, np.uint8)) > 0


def test_the_rest_pose_gives_the_picture_back(rig):
    image, mesh = render(rig, Pose())
    face = inside(rig.rest[list(OVAL)], image.shape[:2], 3)
    error = (image.astype(float) - rig.portrait.image)[face]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 38
    assert np.abs(mesh[:, :2] - rig.portrait.mesh[:, :2]).max() < 1e-4


def test_only_the_head_moves(rig):
    image, _ = render(rig, POSES[0])
    far = np.ones(image.shape[:2], bool)
    far[cv2.dilate(rig.matte, np.ones((61, 61), np.uint8)) > 0] = False
    assert far.mean() > 0.1
    assert (image[far] == rig.portrait.image[far]).all()


@pytest.mark.parametrize("pose", POSES)
def test_no_holes_in_the_face(rig, pose):
    # A plate and a picture of plain, different colours: what shines through is a hole.
    flat = replace(rig.portrait, image=np.full_like(rig.portrait.image, 200))
    green = np.zeros_like(rig.plate)
    green[..., 1] = 255
    image, mesh = render(replace(rig, portrait=flat, plate=green), pose)
    face = inside(mesh[list(OVAL)], image.shape[:2], 6)
    shown = image[face].astype(int)
    assert not ((shown[:, 1] - shown[:, 0]) > 60).any()


def test_light_comes_from_its_side(rig):
    image, mesh = render(
        replace(rig, portrait=replace(rig.portrait, image=np.full((640, 512, 3), 128, np.uint8))),
        Pose(light=0.5, light_deg=70),
    )
    left, right = mesh[[50, 280], :2].round().astype(int)
    assert image[right[1], right[0], 0] > image[left[1], left[0], 0] + 8


def test_frames_do_not_depend_on_the_number_of_threads(portrait):
    one = list(animate(portrait, POSES, mesh_to_68, threads=1))
    many = list(animate(portrait, POSES, mesh_to_68, threads=3))
    assert [frame.index for frame in one] == [0, 1, 2]
    for a, b in zip(one, many, strict=True):
        assert (a.image == b.image).all() and (a.landmarks == b.landmarks).all()
        assert a.landmarks.shape == (68, 2) and a.landmarks.dtype == np.float32


def test_a_wrong_mesh_or_picture_is_told():
    with pytest.raises(InputError, match="468"):
        make_portrait(np.zeros((512, 512, 3), np.uint8), np.zeros((468, 3)), ASTRONAUT)
    with pytest.raises(InputError, match="portrait-astronaut"):
        crop_portrait(np.zeros((100, 100, 3), np.uint8), ASTRONAUT)


def test_the_truth_is_where_a_face_finder_sees_it(need_weights):
    path, *_ = need_weights("portrait-astronaut", "yunet", "face-landmarker")
    from faceloom.detect import open_finder
    from faceloom.media import read_image

    finder = open_finder()
    frame = crop_portrait(read_image(path)[0], ASTRONAUT)
    mesh = finder.find(frame)[0].mesh
    assert mesh is not None
    poses = [Pose(yaw_deg=15), Pose(pitch_deg=6, roll_deg=5), Pose(yaw_deg=-12, jaw=0.6)]
    for each in animate(make_portrait(frame, mesh, ASTRONAUT), poses, mesh_to_68):
        found = finder.find(each.image)[0].landmarks
        size = np.sqrt(np.prod(np.ptp(each.landmarks, axis=0)))
        error = np.linalg.norm(found - each.landmarks, axis=1).mean() / size
        assert error < 0.035
