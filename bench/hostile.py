"""Open hostile and damaged faceset files in every possible way.

    python bench/hostile.py [--count 1000] [--seed 0] [--kept FOLDER]

Random damage (`count` files) and all known attacks (see `hostile_files.py`) are opened in processes
with 3 GiB of address space: faces are read and decoded with their masks and listed with an index,
packs and zip files are unpacked and imported, metadata is restored. Each must work or end in one
`FaceloomError` with a one-line message. Counted as failures: other exceptions, dead processes,
started programs, files written outside the folder, more than two seconds of CPU time, excessive
memory. `--kept` keeps the files that failed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from hostile_files import CANARY, KINDS, Made, good_face, good_files, mutated, purposeful

ADDRESS_SPACE = 3 << 30
MOST_SECONDS = 2.0
BATCH = 100
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.")


# --- in the process under attack


def open_everything(folder: Path, kind: str, data: bytes) -> tuple[list[str], float]:
    """Open one file in every way; returns the `FaceloomError`s and the seconds of the slowest way.

    Any other exception goes on.
    """
    met: list[str] = []
    seconds = [_met(action, met) for action in _actions(folder, kind, data)]
    return met, max(seconds)


def _met(action: Callable[[], Any], met: list[str]) -> float:
    from faceloom.core import FaceloomError

    began = time.process_time()
    try:
        action()
    except FaceloomError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000, "no error of one line"
        met.append(type(error).__name__)
    return time.process_time() - began


def _actions(folder: Path, kind: str, data: bytes) -> list[Callable[[], Any]]:
    from faceloom.faces import read_face, read_record
    from faceloom.faces.files.dfl_form import dfl_form

    folder.mkdir()
    if kind in ("jpg", "png"):
        path = folder / f"a.{kind}"
        path.write_bytes(data)
        return [
            lambda: read_record(path),
            lambda: _with_masks(*read_face(path)),
            lambda: dfl_form(data),
            lambda: _list(folder),
        ]
    if kind in ("pak", "zip"):
        path = folder / ("faceset.pak" if kind == "pak" else "a.zip")
        path.write_bytes(data)
        return [lambda: _list(folder), lambda: _import(path), lambda: _unpack(path)]
    if kind == "index":
        (folder / "00000_0.jpg").write_bytes(good_face())
        os.utime(folder / "00000_0.jpg", (1e9, 1e9))
        (folder / ".faceloom-index.sqlite").write_bytes(data)
        return [lambda: _list(folder)]
    (folder / "00000_0.jpg").write_bytes(good_face())
    path = folder / ("meta.dat" if kind == "meta.dat" else "faceloom_meta.jsonl")
    path.write_bytes(data)
    return [lambda: _restore(folder)]


def _with_masks(image: np.ndarray, record: Any) -> None:
    from faceloom.faces import face_mask, polygon_mask

    face_mask(record, image.shape[:2])
    polygon_mask(record.seg_ie_polys, image.shape[:2])


def _list(folder: Path) -> None:
    from faceloom.faces import Faceset, read_face

    for path, _ in islice(Faceset(folder), 20):
        _with_masks(*read_face(path))


def _stage(run: Callable[..., Any], config: Any) -> None:
    from faceloom.core import Cancel, NullProgress

    for line in run(config, progress=NullProgress(), cancel=Cancel()).lines():
        assert "\n" not in line, "no result of lines"


def _import(path: Path) -> None:
    from faceloom.stages.faceset.config import FacesetImportConfig
    from faceloom.stages.faceset.transfer import run_import

    _stage(run_import, FacesetImportConfig(faceset=str(path.parent / "imported"), source=path))


def _unpack(path: Path) -> None:
    from faceloom.stages.faceset.config import FacesetUnpackConfig
    from faceloom.stages.faceset.pack import run_unpack

    _stage(run_unpack, FacesetUnpackConfig(faceset=str(path.parent / "out"), archive=path))


def _restore(folder: Path) -> None:
    from faceloom.stages.faceset.config import FacesetMetadataRestoreConfig
    from faceloom.stages.faceset.metadata import run_restore

    _stage(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))


def child(work: Path, names: Sequence[str]) -> None:
    """Open these files in `work`; prints one line of JSON per file to stdout."""
    for module in ("metadata", "pack", "transfer"):
        import_module(f"faceloom.stages.faceset.{module}")  # before the limits and the watch
    box = work / "box"
    here = Path.cwd()
    alarms: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_PROGRAMS):
            alarms.append(event)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & 3:
            place = os.path.normpath(here / os.fsdecode(arguments[0]))  # faster than Path
            if not place.startswith((str(box), "/dev/null")):
                alarms.append(f"write {place}")

    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for name in names:
        kind = name.split(" ")[1]
        data = (work / "files" / name).read_bytes()
        alarms.clear()
        before, seconds = _peak(), 0.0
        try:
            met, seconds = open_everything(box / name, kind, data)
            outcome = "error" if met else "opened"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"[:200]
        line = [name, outcome, seconds, _peak() - before, list(alarms)]
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


# --- in the supervising process


def attack(work: Path, made: Sequence[Made]) -> list[dict[str, Any]]:
    """Open all files in batches; returns the outcome of each."""
    (work / "files").mkdir()
    (work / "box").mkdir()
    names: list[str] = []
    for number, (kind, _, data) in enumerate(made):
        names.append(f"{number:05d} {kind}")
        (work / "files" / names[-1]).write_bytes(data)
    found: dict[str, dict[str, Any]] = {}
    waiting = list(names)
    while waiting:
        batch = waiting[:BATCH]
        command = [sys.executable, __file__, "--child", str(work), *batch]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=work / "box", env=environment, capture_output=True, text=True, timeout=900
        )
        for line in done.stdout.splitlines():
            name, outcome, seconds, grown, alarms = json.loads(line)
            found[name] = {"outcome": outcome, "s": seconds, "bytes": grown, "alarms": alarms}
        left = [name for name in batch if name not in found]
        if left:
            reason = f"died ({done.returncode}): {done.stderr[-300:]}"
            found[left[0]] = {"outcome": reason, "s": 0.0, "bytes": 0, "alarms": []}
        waiting = [name for name in waiting if name not in found]
    return [
        {"kind": kind, "what": what, **found[name]}
        for name, (kind, what, _) in zip(names, made, strict=True)
    ]


def failures(work: Path, results: Sequence[dict[str, Any]]) -> list[str]:
    """One line per failure; an empty list is the goal."""
    wrong: list[str] = []
    for number, one in enumerate(results):
        label = f"{number:05d} {one['kind']} ({one['what']})"
        if one["outcome"] not in ("opened", "error"):
            wrong.append(f"{label}: {one['outcome']}")
        wrong += [f"{label}: {alarm}" for alarm in one["alarms"]]
        if one["s"] > MOST_SECONDS:
            wrong.append(f"{label}: {one['s']:.1f} s")
    wrong += [f"canary: {path}" for path in work.rglob(f"{CANARY}*")]
    strays = {path.name for path in work.iterdir()} - {"files", "box"}
    strays |= {path.name for path in (work / "box").iterdir()} - {
        path.name for path in (work / "files").iterdir()
    }
    return wrong + [f"stray file: {name}" for name in sorted(strays)]


def table(results: Sequence[dict[str, Any]]) -> str:
    """Outcomes by kind."""
    rows = ["kind      files  opened  refused  other  slowest s  most MB more"]
    for kind in (*KINDS, "all"):
        some = [one for one in results if kind in (one["kind"], "all")]
        if some:
            outcomes = Counter(one["outcome"] for one in some)
            slowest = max(one["s"] for one in some)
            grown = max(one["bytes"] for one in some) / 1e6
            opened, refused = outcomes.pop("opened", 0), outcomes.pop("error", 0)
            rows.append(
                f"{kind:9} {len(some):5}  {opened:6}  {refused:7}  {sum(outcomes.values()):5}  "
                f"{slowest:9.2f}  {grown:12.0f}"
            )
    return "\n".join(rows)


def chosen_files(count: int, seed: int, *, attacks: int | None = None) -> list[Made]:
    """`count` randomly damaged files, and all or some of the named attacks."""
    rng = np.random.default_rng(seed)
    good = good_files()
    named = list(purposeful(good))
    if attacks is not None:
        named = [named[i] for i in sorted(rng.permutation(len(named))[:attacks])]
    return [*named, *islice(mutated(good, rng), count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--child", nargs="+")
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), options.child[1:])
        return
    made = chosen_files(options.count, options.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        results = attack(work, made)
        wrong = failures(work, results)
        if options.kept:
            options.kept.mkdir(parents=True, exist_ok=True)
            for line in wrong:
                source = next((work / "files").glob(f"{line[:5]} *"), None)
                if source is not None:
                    (options.kept / source.name).write_bytes(source.read_bytes())
    print(table(results))
    print(f"\n{len(wrong)} wrong")
    for line in wrong[:50]:
        print(line)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
