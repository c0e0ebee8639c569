"""The list of tracks, on facesets made up so that it is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.curate import FaceTable
from faceloom.curate.tracks import chosen_tracks, list_tracks
from faceloom.faces import OwnMetadata
from synthetic_faces import landmarks68, synthetic_record


def _table(rows: list[tuple[str, str, int | None, int, float]]) -> FaceTable:
    """Faces of (file, frame's name, track, frame, x in the frame)."""
    records = tuple(
        synthetic_record(
            landmarks68(100) + np.float32([x, 0]),
            frame,
            own=OwnMetadata(frame_index=index, time=Fraction(index, 25), track=track),
        )
        for _, frame, track, index, x in rows
    )
    n = len(rows)
    columns = {
        "source_size": np.arange(n, dtype=float) + 100,
        "sharpness": np.array([(i * 7) % 10 for i in range(n)], float),
        "presence": np.full(n, 5.0),
    }
    return FaceTable(Path("f"), tuple(Path("f") / row[0] for row in rows), records, columns)


def test_tracks_are_listed_by_number_with_what_their_faces_say():
    rows = [
        (f"{i + 1:05d}_{k}.jpg", f"{i + 1:05d}.png", 3 - k, i, 0.0)
        for i in range(6)
        for k in (0, 1)
    ]
    table = _table(rows)
    two, three = list_tracks(table)
    assert (two.label, three.label) == ("2", "3")
    assert two.rows.tolist() == [1, 3, 5, 7, 9, 11]
    assert (two.first_frame, two.last_frame) == ("00001.png", "00006.png")
    assert (two.first_time_s, two.last_time_s) == (0.0, 0.2)
    assert two.size_px == pytest.approx(106)
    # Sharpness of rows 1 3 5 7 9 11: 7 1 5 9 3 7.
    assert two.shown == (1, 7, 11, 7) and two.sharpness == pytest.approx(32 / 6)


def test_a_sort_that_renamed_the_faces_changes_nothing():
    rows = [(f"{9 - i:05d}.jpg", f"{i + 1:05d}.png", 0, i, 0.0) for i in range(5)]
    (track,) = list_tracks(_table(rows))
    assert track.label == "0" and track.rows.tolist() == [0, 1, 2, 3, 4]


def test_sources_in_one_folder_are_other_tracks():
    anna = [(f"anna_{i:05d}_0.jpg", f"{i:05d}.png", 0, i - 1, 0.0) for i in (1, 2, 3)]
    cut = [(f"x{i}.jpg", f"take2_{i:05d}.png", 0, i - 1, 0.0) for i in (1, 2)]
    photo = [("grace.jpg", "grace.jpg", None, 0, 0.0)]
    tracks = list_tracks(_table(anna + cut + photo))
    assert [track.label for track in tracks] == ["rest:none", "anna:0", "take2:0"]
    assert [len(track.rows) for track in tracks] == [1, 3, 2]
    assert chosen_tracks(tracks, ["anna:0", "none"]) == [tracks[1], tracks[0]]
    with pytest.raises(InputError, match="several tracks have this name; known: anna:0, take2:0"):
        chosen_tracks(tracks, ["0"])
    with pytest.raises(InputError, match="no such track; known: rest:none"):
        chosen_tracks(tracks, ["7"])


def test_two_clips_that_cannot_be_told_by_name_are_told_by_place():
    # The same names, track and frames: one face stays at the left, one at the right.
    rows = [
        (f"{i:05d}_{k}.jpg", f"{i:05d}.png", 0, i, 500.0 * (k ^ (i % 2)) + i)
        for i in range(1, 7)
        for k in (0, 1)
    ]
    tracks = list_tracks(_table(rows))
    assert [track.label for track in tracks] == ["0", "0.2"]
    for track in tracks:
        places = {rows[row][4] > 250 for row in track.rows}
        assert len(track.rows) == 6 and len(places) == 1
