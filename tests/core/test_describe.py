"""Settings described for people: what a declaration allows, said in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from faceloom.core.config import Option, Settings
from faceloom.core.describe import describe


class Every(Settings):
    ALIASES: ClassVar[dict[str, str]] = {"sz": "size"}

    side: Annotated[Literal["src", "dst"], Option(positional=True)]
    """Which side."""
    size: Annotated[int, Field(ge=64, le=2048)] | Literal["estimated"] | None = None
    """Side in
    pixels."""
    power: float = Field(default=0.5, gt=0)
    turns: Literal["auto"] | tuple[Literal[0, 90], ...] = "auto"
    folder: Path = Path("x")
    join: bool = True
    table: Annotated[dict[str, Any], Option(hidden=True)] = Field(default_factory=dict)


SETTINGS = {one.key: one for one in describe(Every)}


@pytest.mark.parametrize(
    ("key", "values", "default", "flag"),
    [
        ("side", "src, dst", "required", "SIDE"),
        ("size", "whole number from 64 to 2048 or estimated", "unset", "--size"),
        ("power", "number from 0", "0.5", "--power"),
        ("turns", "list or auto", "auto", "--turns"),
        ("folder", "path", "x", "--folder"),
        ("join", "true or false", "true", "--join"),
        ("table", "table", "empty", None),
    ],
)
def test_a_declaration_in_words(key: str, values: str, default: str, flag: str | None) -> None:
    one = SETTINGS[key]
    assert (one.values, one.default_text, one.flag) == (values, default, flag)


def test_help_and_other_names() -> None:
    assert SETTINGS["size"].help == "Side in pixels."
    assert SETTINGS["size"].aliases == ("sz",)
    assert Every(side="SRC", sz=70).size == 70
