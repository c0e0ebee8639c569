"""Carrying renames out, step by step, and telling after a kill which of them are done."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faceloom.core import Progress
from faceloom.faces.moves_journal import Step, note_target
from faceloom.faces.moves_plan import free_name

_BATCH: Final = 64
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)


@dataclass
class Outcome:
    """Where the faces of an operation are now."""

    at: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    """Path now → path before, of every face that was moved."""
    renamed: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """(planned, given): targets taken since they were planned."""
    missing: list[str] = field(default_factory=lambda: list[str]())
    failed: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())

    def moved(self) -> list[tuple[str, str]]:
        """(before, now) of the faces that are elsewhere than before."""
        return [(before, now) for now, before in self.at.items() if before != now]


def carry_out(
    root: Path,
    journal: Path,
    steps: Sequence[Step],
    elsewhere: Mapping[int, str],
    done: int,
    progress: Progress,
) -> Outcome:
    """Do `steps`, of which the first `done` were done before; report where everything is.

    `elsewhere` holds the steps that had to lead to another target than planned. A step whose
    file is gone or cannot be moved is left out; the others are done all the same.
    """
    outcome = Outcome()
    given: dict[str, str] = {}
    for i, step in enumerate(steps):
        # A step aside may itself have had to take another name.
        source = given.pop(step.source, step.source)
        before = outcome.at.pop(source, source)
        target = elsewhere.get(i, step.target)
        if i >= done:
            target = _do(root, journal, i, source, target, outcome)
        if target is not None:
            if target != step.target:
                given[step.target] = target
                outcome.renamed.append((step.target, target))
            outcome.at[target] = before
        elif source != before:
            outcome.at[source] = before
        if i % _BATCH == _BATCH - 1:
            progress.advance(_BATCH)
    progress.advance(len(steps) % _BATCH)
    return outcome


def _do(
    root: Path, journal: Path, number: int, source: str, target: str, outcome: Outcome
) -> str | None:
    """One rename: where the file went, or None when it stays or is gone."""
    wanted = target
    while True:
        try:
            rename_free(os.path.join(root, source), os.path.join(root, target))  # noqa: PTH118
        except FileExistsError:
            target = free_name(wanted, lambda path: os.path.lexists(root / path))
            note_target(journal, number, target)
        except FileNotFoundError:
            outcome.missing.append(source)
            return None
        except OSError as error:
            outcome.failed.append((source, error.strerror or str(error)))
            return None
        else:
            return target


def rename_free(source: str, target: str) -> None:
    """Rename a file onto a name that is free; `FileExistsError` when it is not.

    A plain rename would replace the target on most systems. A second name for the file cannot.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)  # noqa: PTH104
        return
    os.unlink(source)  # noqa: PTH108


def steps_done(root: Path, steps: Sequence[Step], elsewhere: Mapping[int, str]) -> int:
    """How many of the steps were done before a kill; one that was half done is finished.

    Steps go in order, so all before the last one that shows in the folder are done. A file is
    known by its inode; where none is found again (the folder was copied since), by its stamp.
    """
    sources: list[os.stat_result | None] = []
    targets: list[os.stat_result | None] = []
    paths: list[str] = []
    given: dict[str, str] = {}
    for i, step in enumerate(steps):
        paths.append(given.pop(step.source, step.source))
        target = elsewhere.get(i, step.target)
        if target != step.target:
            given[step.target] = target
        sources.append(_stat(root / paths[-1]))
        targets.append(_stat(root / target))
    same = [_is(stat, step) for stat, step in zip(targets, steps, strict=True)]
    if not any(same) and not any(map(_is, sources, steps)):
        same = [
            stat is not None and (stat.st_size, stat.st_mtime_ns) == (step.size, step.mtime_ns)
            for stat, step in zip(targets, steps, strict=True)
        ]
    done = max((i + 1 for i, there in enumerate(same) if there), default=0)
    source, target = (sources[done - 1], targets[done - 1]) if done else (None, None)
    if source is not None and target is not None and os.path.samestat(source, target):
        (root / paths[done - 1]).unlink()
    return done


def _is(stat: os.stat_result | None, step: Step) -> bool:
    return stat is not None and stat.st_ino == step.inode


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except OSError:
        return None
