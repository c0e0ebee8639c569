import numpy as np

from faceloom.animate import MotionRange, Pose, talking_head


def track(poses: list[Pose], name: str) -> np.ndarray:
    return np.array([getattr(pose, name) for pose in poses])


def test_same_seed_same_motion():
    assert talking_head(50, fps=25, seed=4) == talking_head(50, fps=25, seed=4)
    assert talking_head(50, fps=25, seed=4) != talking_head(50, fps=25, seed=5)


def test_motion_fills_its_range_and_stays_in_it():
    extent = MotionRange(yaw_deg=20, pitch_deg=7, roll_deg=5, jaw=0.6)
    poses = talking_head(200, fps=25, seed=1, extent=extent)
    for name in ("yaw_deg", "pitch_deg", "roll_deg"):
        values = np.abs(track(poses, name))
        assert values.max() <= getattr(extent, name) + 1e-9
        assert values.max() > 0.7 * getattr(extent, name)
    jaw = track(poses, "jaw")
    assert jaw.min() >= 0 and 0.3 < jaw.max() <= 0.6
    blink = track(poses, "blink")
    assert blink.max() > 0.95 and (blink == 0).mean() > 0.5


def test_motion_is_smooth_and_begins_at_rest():
    poses = talking_head(200, fps=25, seed=1)
    assert poses[0] == Pose(blink=poses[0].blink) or abs(poses[0].yaw_deg) < 1e-9
    assert np.abs(np.diff(track(poses, "yaw_deg"))).max() < 3
    assert np.abs(np.diff(track(poses, "jaw"))).max() < 0.45


def test_one_frame_is_possible():
    assert len(talking_head(1, fps=25, seed=0)) == 1
