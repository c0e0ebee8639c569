"""Compare selections of N faces: final, final-fast, random, the sharpest, and best.

    python bench/best.py FOLDER [--counts 200 500 1000] [--towards FOLDER] [--seeds 3]
                         [--prefix TEXT …]

Two scores are reported for each selection. The first is the objective that `best` maximises
(curate/best.py), as a fraction of what all faces together reach; best should win it by design. The
second is independent of that objective: how many occupied cells of a plain grid (yaw in 10°,
pitch in 10°, mouth closed, half or wide open, eyes open or closed, smile or none, light from the
left, the middle or the right) contain a selected face, how many contain a sharp one (above the
faceset's median), and the mean sharpness, size and occlusion of the selection.
`--prefix` uses only files whose names start with it: one person of a mixed folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, NullProgress
from faceloom.curate import FaceTable
from faceloom.curate.orders import SortContext, columns_needed, parse_keys, sort_faces
from faceloom.curate.orders.best import make_problem
from faceloom.stages.measure import measure_faces

METHODS = ("best", "final", "final-fast", "final-no-blur", "sharpness")


def grid(table: FaceTable) -> NDArray[np.int64]:
    """The cell of each face, n x 6 whole numbers."""
    shapes = table.column("blendshapes")
    parts = [
        np.floor(table.column("yaw_deg") / 10 + 0.5),
        np.floor(table.column("pitch_deg") / 10 + 0.5),
        np.digitize(table.column("mouth_open"), [0.15, 0.5]),
        np.digitize(table.column("eyes_closed"), [0.5]),
        np.digitize(shapes[:, 44:46].mean(1), [0.4]),
        np.digitize(table.column("light")[:, 0], [-0.2, 0.2]),
    ]
    return np.nan_to_num(np.stack(parts, 1), nan=-99).astype(np.int64)


def report(name: str, table: FaceTable, rows: Any, share: float, seconds: float) -> None:
    cells = grid(table)
    sharp = np.nan_to_num(table.column("sharpness"))
    above = sharp > np.median(sharp)
    every = {tuple(cell) for cell in cells}
    with_sharp = {tuple(cell) for cell in cells[above]}
    hit = {tuple(cell) for cell in cells[rows]}
    hit_sharp = {tuple(cell) for cell in cells[[row for row in rows if above[row]]]}
    size, hidden = table.column("source_size")[rows], table.column("occlusion")[rows]
    print(
        f"{name:15} {len(rows):5} faces  objective {100 * share:5.1f} %  "
        f"cells {len(hit):4}/{len(every)}  with a sharp one {len(hit_sharp):4}/{len(with_sharp)}  "
        f"sharpness {sharp[rows].mean():.3f}  size {np.nanmean(size):4.0f} px  "
        f"hidden {np.nanmean(hidden):.2f}  {seconds:5.2f} s",
        flush=True,
    )


def measured(folder: Path, prefixes: list[str]) -> FaceTable:
    keys = [parse_keys(name) for name in METHODS]
    columns = set().union(*(columns_needed(key) for key in keys))
    table = measure_faces(folder, columns, progress=NullProgress(), cancel=Cancel())
    if not prefixes:
        return table
    rows = [k for k, path in enumerate(table.paths) if path.name.startswith(tuple(prefixes))]
    return table.take(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 500, 1000])
    parser.add_argument("--towards", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prefix", nargs="+", default=[])
    options = parser.parse_args()
    table = measured(options.folder, options.prefix)
    towards = None if options.towards is None else measured(options.towards, [])
    problem = make_problem(table, towards)
    everything = problem.value(np.arange(len(table)))
    print(f"{len(table)} faces, all together worth {everything:.4f}")
    for count in options.counts:
        for name in METHODS:
            start = time.perf_counter()
            context = SortContext(count=count, towards=towards)
            try:
                rows = sort_faces(table, parse_keys(name), context).ordering.rows[:count]
            except FaceloomError as error:
                print(f"{name:15} {error}")
                continue
            took = time.perf_counter() - start
            report(name, table, rows, problem.value(rows) / everything, took)
            if name.startswith("final") and len(rows) != count:
                # The final methods rarely keep exactly the requested number: compare equal counts.
                same = sort_faces(
                    table, parse_keys("best"), SortContext(count=len(rows), towards=towards)
                ).ordering.rows
                report("  best of as many", table, same, problem.value(same) / everything, 0)
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            rows = rng.permutation(len(table))[:count]
            report(f"chance {seed}", table, rows, problem.value(rows) / everything, 0)


if __name__ == "__main__":
    main()
