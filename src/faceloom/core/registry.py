"""Names to things, filled where the thing is defined and read by whoever looks up by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from faceloom.core.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from the field's own words to implementations, with an error that lists them."""

    def __init__(self, kind: str, entries: dict[str, T]) -> None:
        self._kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(sorted(self._entries))
            raise InputError(f"unknown {self._kind} {name!r}; known: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries
