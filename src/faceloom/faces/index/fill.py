"""Filling the index of a large faceset with several processes.

Reading metadata is Python code and limited to one core by the interpreter lock. So other processes
read a share of the files each and store what they find in the index. They import this package and
nothing of the calling program. Files they skip, for whatever reason, are read by the caller.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from faceloom.core import Cancel, FaceloomError, Progress
from faceloom.faces.files.face_file import FACE_SUFFIXES, read_record
from faceloom.faces.index.store import Stamp, open_index
from faceloom.faces.record import FaceRecord

# Unknown files from which on it is worth it: starting a process takes as long as reading 2000.
MANY: Final = 8000
STORED_TOGETHER: Final = 1000
"""Faces in one transaction."""
_MOST_PROCESSES = 16
_START = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from faceloom.faces.index.fill import work; work(job)"
)


def look_at(path: Path) -> FaceRecord | str:
    """The file's record, or why it is not a face."""
    if os.path.splitext(path.name)[1].lower() not in FACE_SUFFIXES:  # noqa: PTH122
        return "faces must be JPEG or PNG files"
    try:
        return read_record(path)
    except FaceloomError as error:
        return str(error).removeprefix(f"{path}: ")


def fill_index(
    folder: Path, files: Mapping[str, Stamp], *, progress: Progress, cancel: Cancel
) -> None:
    """Read `files` of `folder` into its index; progress counts them.

    Some may be skipped. Raises `CancelledError`; what was stored by then stays.
    """
    rows = [(name, stamp.size, stamp.mtime_ns) for name, stamp in files.items()]
    count = min(_MOST_PROCESSES, os.cpu_count() or 1, len(rows) // (MANY // 2))
    if count < 2 or not sys.executable or getattr(sys, "frozen", False):
        return
    shares = [rows[i::count] for i in range(count)]
    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(_run, folder, share, progress, cancel) for share in shares]
    for future in futures:
        future.result()
    cancel.check()


def _run(
    folder: Path, rows: Sequence[tuple[str, int, int]], progress: Progress, cancel: Cancel
) -> None:
    """Let one process read a share of the files."""
    job = {"folder": str(folder.absolute()), "files": rows, "path": sys.path}
    try:
        # -P: import nothing from the current folder, which may not be trusted.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except OSError:
        return
    with process:
        assert process.stdin is not None and process.stdout is not None
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process, cancel, ended), daemon=True)
        watcher.start()
        try:
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
            for line in process.stdout:
                progress.advance(int(line))
        except (OSError, ValueError):
            process.kill()
        finally:
            ended.set()


def _watch(process: subprocess.Popen[bytes], cancel: Cancel, ended: threading.Event) -> None:
    while not ended.wait(0.1):
        if cancel.is_set:
            process.kill()
            return


def work(job: Mapping[str, Any]) -> None:
    """In the other process: read files, store the results, print the count after each batch."""
    folder = Path(job["folder"])
    index = open_index(folder)
    if index is None:
        return
    batch: list[tuple[str, Stamp, FaceRecord | str]] = []
    for i, (name, size, mtime_ns) in enumerate(job["files"], 1):
        batch.append((name, Stamp(size, mtime_ns), look_at(folder / name)))
        if len(batch) == STORED_TOGETHER or i == len(job["files"]):
            if not index.store(batch):
                return
            sys.stdout.write(f"{len(batch)}\n")
            sys.stdout.flush()
            batch = []
