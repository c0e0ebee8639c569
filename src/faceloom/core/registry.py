"""Things that are looked up by name, such as detectors and model classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from faceloom.core.errors import InputError
from faceloom.core.words import closest

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping of names to implementations; the error for an unknown name says what exists."""

    def __init__(self, kind: str, entries: dict[str, T]) -> None:
        self._kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            close = closest(name, self._entries)
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(self)}"
            raise InputError(f"unknown {self._kind} {name!r}; {hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries
