"""What a stage returns: plain data for JSON, and lines for people."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, cast


class Result:
    """Base of every stage's result, which is a frozen dataclass."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data that JSON can hold."""
        return cast("dict[str, Any]", plain(self))

    def failure(self) -> str | None:
        """Why the command ends with exit code 1 although the stage has run; None: it succeeded."""
        return None

    def json_lines(self) -> list[dict[str, Any]]:
        """The lines of `--json`: one object, unless the result is a list of things."""
        return [self.as_dict()]

    def lines(self) -> list[str]:
        """The text for people, by default a line per field that has a value."""
        return [
            f"{key.replace('_', ' ')}: {_text(value)}"
            for key, value in self.as_dict().items()
            if value is not None and value != [] and value != {}
        ]


def plain(value: Any) -> Any:
    """`value` as JSON can hold it.

    Dataclasses and settings become objects, fractions `"a/b"`, arrays lists, paths and anything
    else text; NaN and infinity become None.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "model_dump"):
        # A pydantic model, without importing pydantic.
        return plain(value.model_dump())
    for converter in ("tolist", "isoformat"):
        if hasattr(value, converter):
            return plain(getattr(value, converter)())
    if isinstance(value, Iterable):
        return [plain(item) for item in cast("Iterable[Any]", value)]
    return str(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return ", ".join(f"{key} {_text(item)}" for key, item in items)
    return str(value)
