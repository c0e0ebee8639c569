"""Tracks through time, gaps, crossings and cuts; and the state's way through JSON."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from faceloom.detect import SceneCuts, Tracker
from fakes import face

FRAME = Fraction(1, 25)


def tracks(tracker: Tracker, time: Fraction, *places: tuple[float, float]) -> list[int | None]:
    return [found.track for found in tracker.update(time, [face(x, y) for x, y in places])]


def test_faces_keep_their_numbers_whatever_their_order() -> None:
    tracker = Tracker()
    assert tracks(tracker, 0 * FRAME, (50, 50), (100, 50)) == [0, 1]
    assert tracks(tracker, 1 * FRAME, (103, 51), (52, 50)) == [1, 0]
    assert tracks(tracker, 2 * FRAME, (54, 50), (106, 52), (10, 10)) == [0, 1, 2]


def test_the_nearest_pairs_are_joined() -> None:
    tracker = Tracker()
    tracks(tracker, 0 * FRAME, (50, 50), (60, 50))
    assert tracks(tracker, 1 * FRAME, (59, 50), (49, 50)) == [1, 0]


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    tracker = Tracker()
    assert tracks(tracker, Fraction(0), (50, 50)) == [0]
    assert tracks(tracker, Fraction(1, 5)) == []
    assert tracker.seeds() == []
    assert tracks(tracker, Fraction(2, 5), (52, 50)) == [0]
    assert tracks(tracker, Fraction(1), (52, 50)) == [1]


def test_a_jump_or_another_size_is_another_face() -> None:
    tracker = Tracker()
    tracker.update(0 * FRAME, [face(50, 50)])
    (jumped,) = tracker.update(1 * FRAME, [face(70, 50)])
    (grown,) = tracker.update(2 * FRAME, [face(70, 50, size=40)])
    assert (jumped.track, grown.track) == (1, 2)


def test_a_cut_ends_every_track() -> None:
    tracker = Tracker()
    tracker.update(0 * FRAME, [face(50, 50)])
    tracker.cut()
    (found,) = tracker.update(1 * FRAME, [face(50, 50)])
    assert found.track == 1


def test_the_state_survives_json() -> None:
    generator = np.random.default_rng(8)
    whole, resumed = Tracker(), Tracker()
    for step in range(40):
        faces = [
            face(50 + 60 * k + float(generator.normal()), 50 + float(generator.normal()))
            for k in range(3)
            if generator.random() < 0.8
        ]
        time = Fraction(step * 1001, 30000)
        resumed = Tracker.restore(json.loads(json.dumps(resumed.state())))
        expected = [found.track for found in whole.update(time, faces)]
        assert [found.track for found in resumed.update(time, faces)] == expected
        assert resumed.seeds() == whole.seeds()
        assert resumed.state() == whole.state()


@pytest.mark.parametrize("state", [{}, {"next": 1}, {"next": 0, "tracks": [{"number": 1}]}])
def test_a_damaged_state_is_an_error(state) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Tracker.restore(state)


def scene(seed: int) -> np.ndarray:
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(small, np.ones((40, 40, 1), np.uint8))


def test_cuts_are_seen_and_motion_and_exposure_are_not() -> None:
    picture = scene(1)
    cuts = SceneCuts()
    assert not cuts.update(picture)
    assert not cuts.update(np.roll(picture, 6, axis=1))
    brighter = np.clip(picture.astype(int) // 2 + 110, 0, 255).astype(np.uint8)
    darker = np.clip(picture.astype(int) // 2 + 20, 0, 255).astype(np.uint8)
    exposure = SceneCuts()
    exposure.update(darker)
    assert not exposure.update(brighter)
    resumed = SceneCuts(cuts.state())
    assert cuts.update(scene(2))
    assert resumed.update(scene(2))


@pytest.mark.parametrize("seed", range(6))
def test_flashes_and_fast_pans_are_no_cuts(seed: int) -> None:
    picture = scene(seed)
    for other in (
        np.clip(picture.astype(int) * 2, 0, 255),
        np.clip(picture.astype(int) + 90, 0, 255),
        picture * 0.3,
        np.roll(picture, 24, axis=1),
    ):
        cuts = SceneCuts()
        cuts.update(picture)
        assert not cuts.update(other.astype(np.uint8))
    cuts = SceneCuts()
    cuts.update(picture)
    assert cuts.update(np.zeros_like(picture))


def test_cuts_of_real_footage(media) -> None:
    from faceloom.media import open_footage

    found: dict[str, list[int]] = {}
    for name in ("awkward/cuts_face_noface_other_face.mp4", "awkward/variable_frame_rate.mp4"):
        cuts = SceneCuts()
        frames = open_footage(media / name).frames()
        found[name] = [frame.index for frame in frames if cuts.update(np.asarray(frame.image))]
    assert list(found.values()) == [[50, 100], []]
