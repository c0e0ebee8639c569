"""The sort methods, told: for `faceloom sort --list` and the docs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from faceloom.curate.orders.order import METHODS


@dataclass(frozen=True)
class ToldMethod:
    """What a user should know of a method."""

    name: str
    aliases: tuple[str, ...]
    origin: str
    first: str
    drops: str
    groups: str


@dataclass(frozen=True)
class MethodList:
    """All methods."""

    methods: tuple[ToldMethod, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {"methods": [asdict(method) for method in self.methods]}

    def lines(self) -> list[str]:
        """For people: a line a method, by origin."""
        width = max(len(method.name) for method in self.methods)
        lines: list[str] = []
        for origin in dict.fromkeys(method.origin for method in self.methods):
            lines.append(f"{origin}:")
            for method in self.methods:
                if method.origin != origin:
                    continue
                also = f" (also {', '.join(method.aliases)})" if method.aliases else ""
                drops = f"; drops {method.drops}" if method.drops else ""
                lines.append(f"  {method.name:{width}}  {method.first}{drops}{also}")
        cuts = ", ".join(method.name for method in self.methods if method.groups)
        lines.append(f"for groups, before a comma in --by: {cuts}")
        return lines


def list_methods() -> MethodList:
    """All sort methods, DFL's first."""
    return MethodList(
        tuple(
            ToldMethod(
                method.name,
                method.aliases,
                method.origin,
                method.first,
                method.drops,
                method.groups,
            )
            for method in METHODS
        )
    )


def methods_table() -> str:
    """The table of docs/sort.md, in Markdown."""
    rows = ["| method | comes first | dropped | groups | of |", "|---|---|---|---|---|"]
    for method in list_methods().methods:
        names = " ".join(f"`{name}`" for name in (method.name, *method.aliases))
        rows.append(
            f"| {names} | {method.first} | {method.drops} | {method.groups} | {method.origin} |"
        )
    return "\n".join(rows)
