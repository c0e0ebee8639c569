"""Keeping count of what a damaged file did not give."""

from __future__ import annotations

from collections.abc import Iterable


class Losses:
    """Numbers of frames that are missing or damaged, told once however often they are met."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._said: list[str] = []
        self._lost: set[int] = set()
        self._damaged: set[int] = set()

    def say(self, line: str) -> None:
        """A loss in words."""
        if line not in self._said:
            self._said.append(line)

    def lost(self, indices: Iterable[int]) -> None:
        """Frames that did not decode."""
        self._lost.update(indices)

    def damaged(self, index: int) -> None:
        """A frame that decoded with errors."""
        self._damaged.add(index)

    def lines(self) -> list[str]:
        """What was lost, one line a kind; empty when nothing was."""
        lines = list(self._said)
        if self._lost:
            lines.append(
                f"{len(self._lost)} of {self._total} frames could not be decoded and are left out: "
                f"{spell_ranges(self._lost)}"
            )
        if self._damaged:
            lines.append(
                f"{len(self._damaged)} of {self._total} frames decoded with errors: "
                f"{spell_ranges(self._damaged)}"
            )
        return lines


def spell_ranges(indices: Iterable[int], most: int = 8) -> str:
    """Frame numbers counted from 1 as `3, 7-9`, cut after `most` runs."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in runs[:most]]
    more = f" and {len(runs) - most} more places" if len(runs) > most else ""
    return ", ".join(words) + more
