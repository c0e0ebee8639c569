"""The loss history file: it grows, survives kills, and is read by the count that was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faceloom.checkpoints import LossHistory, read_history
from faceloom.training import draw_curve, draw_strip


def rows(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2)).astype(np.float32)


def test_extend_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "history.f32"
    history, all_rows = LossHistory(), rows(1000)
    for start in range(0, 1000, 125):
        history.extend(all_rows[start : start + 125])
        history.write(file)
    assert file.stat().st_size == 8000
    assert np.array_equal(read_history(file, 1000).values, all_rows)
    assert np.array_equal(np.fromfile(file, "<f4").reshape(-1, 2), all_rows)


def test_recent_means_pass_over_unknown_losses() -> None:
    """An imported model may lack the last ones."""
    history = LossHistory([[1, 2], [3, 6], [np.nan, np.nan]])
    assert history.recent(3).tolist() == [2, 4]
    assert history.recent(2).tolist() == [3, 6]
    assert np.isnan(history.recent(1)).all()


def test_rows_beyond_the_saved_iteration_do_not_count(tmp_path: Path) -> None:
    """As a kill between history and state leaves it, then another course of events."""
    file = tmp_path / "history.f32"
    LossHistory(rows(20)).write(file)
    resumed = read_history(file, 12)
    assert len(resumed) == 12
    resumed.extend(rows(4, seed=9))
    resumed.write(file)
    expected = np.concatenate([rows(20)[:12], rows(4, seed=9)])
    assert np.array_equal(np.fromfile(file, "<f4").reshape(-1, 2), expected)


def test_a_lost_or_torn_file_leaves_gaps_not_errors(tmp_path: Path) -> None:
    file = tmp_path / "history.f32"
    assert np.isnan(read_history(file, 3).values).all()
    file.write_bytes(rows(5).tobytes()[:-3])
    history = read_history(file, 6)
    assert np.array_equal(history.values[:4], rows(5)[:4])
    assert np.isnan(history.values[4:]).all()
    history.extend(rows(1))
    history.write(file)
    assert file.stat().st_size == 7 * 8


def test_graphs_take_any_history() -> None:
    for values in (rows(0), rows(1), rows(7), rows(5000), np.full((3, 2), np.nan, np.float32)):
        assert draw_strip(values, 640).shape == (100, 640, 3)
        assert draw_curve(values).shape == (480, 1200, 3)


def test_graph_falls_where_the_loss_falls() -> None:
    losses = np.repeat(np.linspace(2, 1, 600, dtype=np.float32)[:, None], 2, 1)
    strip = draw_strip(losses, 600).astype(int)
    bars = strip[:, :, 2] > 200
    middle = [float(np.flatnonzero(bars[:, x]).mean()) for x in (50, 300, 550)]
    assert middle[0] < middle[1] < middle[2]
