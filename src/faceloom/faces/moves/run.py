"""Carrying out renames step by step, and finding out after a kill which are done."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faceloom.core import Progress
from faceloom.faces.moves.journal import Step, note_target
from faceloom.faces.moves.plan import free_name

_BATCH: Final = 64
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)


@dataclass
class Outcome:
    """The current paths of an operation's faces."""

    at: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    """Current path → old path of every moved face."""
    renamed: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """(planned, given): targets that came into use after planning."""
    missing: list[str] = field(default_factory=lambda: list[str]())
    failed: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())

    def moved(self) -> list[tuple[str, str]]:
        """(old, current) paths of the faces whose path changed."""
        return [(before, now) for now, before in self.at.items() if before != now]


def carry_out(
    root: Path,
    journal: Path,
    steps: Sequence[Step],
    elsewhere: Mapping[int, str],
    done: int,
    progress: Progress,
    *,
    recovering: bool = False,
) -> Outcome:
    """Do `steps`, of which the first `done` are done already; report where everything is.

    `elsewhere` has the targets of steps that could not go as planned. A step whose file is gone or
    cannot be moved is skipped; the others are done all the same. When `recovering`, a step is also
    skipped if its file is not the one in the journal: it was put there since, or the journal
    belongs to another faceset.
    """
    outcome = Outcome()
    given: dict[str, str] = {}
    for i, step in enumerate(steps):
        # A temporary name may itself have been in use.
        source = given.pop(step.source, step.source)
        before = outcome.at.pop(source, source)
        target = elsewhere.get(i, step.target)
        if i >= done and recovering and not _is(_stat(root / source), step, inode=False):
            outcome.missing.append(source)
            target = None
        elif i >= done:
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
    """One rename: the new path, or None if the file stays or is gone."""
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
    """Rename a file to a free name; `FileExistsError` if it is not free.

    A plain rename would replace the target on most systems; a hard link does not.
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
    try:
        os.unlink(source)  # noqa: PTH108
    except FileNotFoundError:
        return  # removed by another process; the target is the file's only name now
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)  # noqa: PTH108
        raise


def steps_done(root: Path, steps: Sequence[Step], elsewhere: Mapping[int, str]) -> int:
    """How many of the steps were done before a kill; a half-done one is finished.

    Steps are done in order, so the folder looks as after some number of them, apart from changes
    by hand since: we take the number that leaves the fewest files out of place. A file is
    identified by inode, size and time stamp; if no inode is found again (the folder was copied, or
    the file system has none), by size and time stamp. Hard links do no harm.
    """
    ways = _ways(steps, elsewhere)
    found = {path: _stat(root / path) for way in ways for path in way}
    inode = any(
        _is(found[path], step, inode=True)
        for way, step in zip(ways, steps, strict=True)
        for path in way
    )
    done = misplaced = fewest = 0
    for i, ((source, target), step) in enumerate(zip(ways, steps, strict=True)):
        # Before the step its file is at the source and nothing at the target; afterwards it is the
        # other way round.
        before = (not _is(found[source], step, inode=inode)) + (found[target] is not None)
        after = (found[source] is not None) + (not _is(found[target], step, inode=inode))
        misplaced += after - before
        if misplaced < fewest:
            done, fewest = i + 1, misplaced
    if done < len(steps) and _is_half_done(found, ways[done], steps[done]):
        (root / ways[done][0]).unlink()
        done += 1
    return done


def _ways(steps: Sequence[Step], elsewhere: Mapping[int, str]) -> list[tuple[str, str]]:
    """The actual source and target of each step."""
    ways: list[tuple[str, str]] = []
    given: dict[str, str] = {}
    for i, step in enumerate(steps):
        target = elsewhere.get(i, step.target)
        ways.append((given.pop(step.source, step.source), target))
        if target != step.target:
            given[step.target] = target
    return ways


def _is_half_done(
    found: Mapping[str, os.stat_result | None], way: tuple[str, str], step: Step
) -> bool:
    """Whether the step's file has both names."""
    source, target = found[way[0]], found[way[1]]
    if source is None or target is None or not _is(source, step, inode=False):
        return False
    return os.path.samestat(source, target)


def _is(stat: os.stat_result | None, step: Step, *, inode: bool) -> bool:
    if stat is None or (stat.st_size, stat.st_mtime_ns) != (step.size, step.mtime_ns):
        return False
    return not inode or stat.st_ino == step.inode


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except OSError:
        return None
