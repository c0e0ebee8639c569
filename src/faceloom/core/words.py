"""Words for people: numbers with their nouns."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural but for 1: `1 face`, `0 faces`, `2 faces`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
