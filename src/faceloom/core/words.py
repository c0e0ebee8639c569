"""Words for people: numbers with their nouns, and the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural but for 1: `1 face`, `0 faces`, `2 faces`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that `word` was probably meant to be, in any case; None: none is close."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), names, n=1, cutoff=cutoff)
    return names[found[0]] if found else None
