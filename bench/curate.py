"""Time each sort method on a folder of faces, and show both ends of its result.

    python bench/curate.py FOLDER [--sheets DIR] [--only NAME …] [--count 2000] [--take N]

All measures are taken first, or read from the folder's index; that time is reported once. Then
each method sorts the table, and its time and the peak memory are reported. `--sheets` writes one
picture per method: its first and last 20 faces, and 20 of those it drops. Nothing is moved or
renamed; the folder gets an index if it is writable.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from faceloom.core import Cancel, FaceloomError, NullProgress
from faceloom.curate.orders import METHODS, SortContext, columns_needed, parse_keys, sort_faces
from faceloom.media import write_image
from faceloom.stages.curate.sort import sort_sheet
from faceloom.stages.measure import measure_faces


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--take", type=int, default=0)
    options = parser.parse_args()
    names = options.only or [method.name for method in METHODS if method.name != "person"]
    every = {name: parse_keys(name) for name in names}
    columns = set().union(*(columns_needed(keys) for keys in every.values()))
    start = time.perf_counter()
    table = measure_faces(options.folder, columns, progress=NullProgress(), cancel=Cancel())
    print(f"measures of {len(table)} faces: {time.perf_counter() - start:.1f} s, {peak_mib()} MiB")
    if options.take:
        chosen = np.linspace(0, len(table) - 1, min(options.take, len(table))).round()
        table = table.take(chosen.astype(np.intp))
    for name, keys in every.items():
        context = SortContext(count=options.count)
        start = time.perf_counter()
        try:
            done = sort_faces(table, keys, context)
        except FaceloomError as error:
            print(f"{name:22} {error}")
            continue
        took = time.perf_counter() - start
        ordering = done.ordering
        print(
            f"{name:22} {took:7.2f} s  {peak_mib():5} MiB  {len(ordering.trash):5} dropped  "
            f"{len(ordering.unknown):4} unknown  {ordering.note}",
            flush=True,
        )
        if options.sheets is not None:
            picture = sort_sheet(table, done, title=name)
            write_image(options.sheets / f"{name.replace(':', '-')}.png", picture)


if __name__ == "__main__":
    main()
