"""The order of renames in which nothing is ever overwritten."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Plan:
    """Planned renames. Paths are `name`, `sub/name` or `../other_folder/name`, with `/`."""

    steps: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """Renames in order; each target is free when its turn comes."""
    renamed: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """(wanted, given): targets that were in use."""
    moved: int = 0
    """Files that get a new path."""


def plan_moves(pairs: Sequence[tuple[str, str]], present: Iterable[str]) -> Plan:
    """The order of the moves `pairs` (source, target).

    `present` lists every file in the folders of sources and targets; sources are distinct and
    present. A target that stays in use is replaced by another free name. Chains of files are moved
    from the end; a cycle is broken by moving one file to a temporary name with `~moving`. Names
    that differ only in case count as equal, so that the result fits on any file system.
    """
    plan = Plan()
    present = set(present)
    moves = _with_free_targets(pairs, present, plan)
    plan.moved = len(moves)
    used = {path.casefold() for path in (*present, *moves.values())}
    last = _aside_for_case(moves, used, plan)
    done: set[str] = set()
    for source in moves:
        if source not in done:
            plan.steps.extend(_chain(source, moves, done, used))
    plan.steps.extend(last)
    return plan


def free_name(path: str, taken: Callable[[str], bool], mark: str = "~") -> str:
    """`path`, or the first free name with `~2`, `~3` … before its suffix."""
    stem, suffix = posixpath.splitext(path)
    candidate, number = path, 1
    while taken(candidate):
        number += 1
        candidate = f"{stem}{mark}{number}{suffix}"
    return candidate


def _with_free_targets(
    pairs: Sequence[tuple[str, str]], present: set[str], plan: Plan
) -> dict[str, str]:
    """Source → target, with unique targets that no remaining file uses."""
    leaving = {source for source, target in pairs if source != target}
    taken = {path.casefold() for path in present - leaving}
    wanted = {target.casefold() for _, target in pairs}
    moves: dict[str, str] = {}
    for source, target in pairs:
        if source == target:
            continue
        given = target
        if target.casefold() in taken:
            given = free_name(
                target, lambda path: path.casefold() in taken or path.casefold() in wanted
            )
            plan.renamed.append((target, given))
        taken.add(given.casefold())
        if given != source:
            moves[source] = given
    return moves


def _aside_for_case(moves: dict[str, str], used: set[str], plan: Plan) -> list[tuple[str, str]]:
    """Remove moves whose target equals a source except for case, and route them by a third name.

    Their first steps are added to the plan; the second ones, for its end, are returned.
    """
    spelt: dict[str, set[str]] = {}
    for source in moves:
        spelt.setdefault(source.casefold(), set()).add(source)
    last: list[tuple[str, str]] = []
    for source, target in list(moves.items()):
        if spelt.get(target.casefold(), set()) - {target}:
            aside = _aside(source, used)
            plan.steps.append((source, aside))
            last.append((aside, target))
            del moves[source]
    return last


def _chain(
    first: str, moves: dict[str, str], done: set[str], used: set[str]
) -> list[tuple[str, str]]:
    """The steps of a move and of all moves that must precede it."""
    path = [first]
    while (blocker := moves[path[-1]]) in moves and blocker not in done and blocker != first:
        path.append(blocker)
    done.update(path)
    if blocker != first:
        return [(source, moves[source]) for source in reversed(path)]
    aside = _aside(first, used)
    rest = [(source, moves[source]) for source in reversed(path[1:])]
    return [(first, aside), *rest, (aside, moves[first])]


def _aside(source: str, used: set[str]) -> str:
    stem, suffix = posixpath.splitext(source)
    aside = free_name(f"{stem}~moving{suffix}", lambda path: path.casefold() in used)
    used.add(aside.casefold())
    return aside
