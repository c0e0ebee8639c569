"""Configuration: frozen pydantic models with a docstring a field.

A field's docstring is the one source for CLI help, the studio's form and the docs' table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from faceloom.core.errors import InputError, UsageError

S = TypeVar("S", bound="Settings")

_LONGEST_VALUE = 60
"""Characters of a value that does not fit, as far as an error shows it."""
_KIND = re.compile(r"constrained-\w+|literal\[.*\]")


class Settings(BaseModel):
    """Base of every configuration: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


def validate(kind: type[S], values: dict[str, Any], *, where: str) -> S:
    """Build `kind` from plain values; `InputError` in one line when a value does not fit."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_reason(kind, error)}") from None


def _reason(kind: type[Settings], error: ValidationError) -> str:
    """The first thing that does not fit, in one line without pydantic's own words."""
    errors = error.errors(include_url=False)
    # A misspelt key before what is missing for it.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    # Of a value that may be of several kinds pydantic names the kind last, which is no key.
    loc = [part for part in first["loc"] if not _KIND.fullmatch(str(part))] or first["loc"]
    key = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden" and len(loc) > 1:
        return f"unknown setting {_cut(key)!r}"
    if first["type"] == "extra_forbidden":
        return f"unknown setting {_cut(key)!r}; known: {', '.join(sorted(kind.model_fields))}"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    if not key:
        return message
    got = _cut(repr(first["input"]))
    told = first["type"] == "missing" or got in message
    return f"{key}: {message}" if told else f"{key}: {message} (got {got})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def apply_overrides(settings: S, overrides: Iterable[str]) -> S:
    """Return `settings` with `key=value` texts applied, as `--set` gives them.

    Raises `UsageError` on an unknown key, a value that does not fit, or a text without `=`.
    """
    values = {**settings.model_dump(), **override_values(overrides)}
    try:
        return validate(type(settings), values, where="--set")
    except InputError as error:
        raise UsageError(str(error)) from None


def override_values(overrides: Iterable[str]) -> dict[str, Any]:
    """Keys and values of `key=value` texts; `UsageError` for a text without `=`."""
    values: dict[str, Any] = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--set {_cut(text)!r}: expected key=value")
        values[key.strip()] = _plain(value.strip())
    return values


def validate_with(
    kind: type[S], values: dict[str, Any], overrides: Iterable[str], *, where: str
) -> S:
    """Build `kind` from plain values and `key=value` texts, which win.

    The values alone need not fit, where a text mends them. Raises `InputError` naming `where` when
    it is the values' fault, `UsageError` when it is the texts'.
    """
    given = override_values(overrides)
    try:
        return validate(kind, {**values, **given}, where="--set" if given else where)
    except InputError as error:
        if not given:
            raise
        validate(kind, values, where=where)
        raise UsageError(str(error)) from None


def _plain(text: str) -> Any:
    """A text from the command line as pydantic should see it: only null and y/n are special."""
    lowered = text.lower()
    if lowered in {"none", "null"}:
        # `none` is a legal word of several options (ct_mode, colour transfer): keep it a string.
        return text if lowered == "none" else None
    return text


def settings_table(kind: type[Settings]) -> list[tuple[str, str, str, str]]:
    """Rows (key, type, default, description) of a configuration, for help and docs."""
    rows: list[tuple[str, str, str, str]] = []
    for name, field in kind.model_fields.items():
        annotation = str(field.annotation).replace("typing.", "")
        if isinstance(field.annotation, type):
            annotation = field.annotation.__name__
        rows.append((name, annotation, repr(field.default), field.description or ""))
    return rows
