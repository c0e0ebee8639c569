"""Configuration: frozen pydantic models with a docstring per field.

An option is declared once, as a field. Its name, type, range, default and docstring become the
flag and its help on the command line, the key of `--set` and `faceloom.toml`, the argument of the
Python API, and the row in the docs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from faceloom.core.errors import InputError, UsageError

S = TypeVar("S", bound="Settings")

_LONGEST_VALUE = 60
"""Characters of a value that does not fit, as far as an error shows it."""
_KIND = re.compile(r"constrained-\w+|literal\[.*\]")


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line, where its name and type do not say it all.

    Stands in the field's annotation: `side: Annotated[Side, Option(positional=True)]`.
    """

    positional: bool = False
    """Given by its place, without a flag."""
    flag: str | None = None
    """Another flag than the field's name with dashes."""
    short: str | None = None
    """A one-letter form, such as `-w`."""
    hidden: bool = False
    """Not a flag: given with `--set`, and listed by `faceloom settings`."""


class Settings(BaseModel):
    """Base of every configuration: frozen, and a misspelt key is an error.

    Words of a `Literal` are accepted in any case.
    """

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Other names of fields that are accepted as well, such as DeepFaceLab's."""
    FOREIGN: ClassVar[str | None] = None
    """Field that receives the `--set` texts whose key is no field: settings of something else, such
    as of the model that a stage trains."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_other_words(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given: dict[str, Any] = {}
        for name, value in cast("dict[str, Any]", values).items():
            key = cls.ALIASES.get(name, name)
            field = cls.model_fields.get(key)
            given[key] = _usual_case(value, field) if field is not None else value
        return given


class WorkspaceSettings(Settings):
    """Base of the configuration of every stage that works on a workspace."""

    workspace: Annotated[Path, Option(short="-w")] = Path()
    """The workspace folder."""


class ThreadSettings(Settings):
    """Mixin of stages that compute in threads."""

    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads; 0: one per core."""


class DeviceSettings(Settings):
    """Mixin of stages that run networks."""

    device: str = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1 … or mps."""


def option_of(field: FieldInfo) -> Option:
    """The `Option` in a field's annotation; the default one where there is none."""
    return next((one for one in field.metadata if isinstance(one, Option)), Option())


def choices(annotation: Any) -> Iterator[str]:
    """The words of every `Literal` in a type, however it is nested."""
    if get_origin(annotation) is Literal:
        yield from (word for word in get_args(annotation) if isinstance(word, str))
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from choices(part)


def _usual_case(value: Any, field: FieldInfo) -> Any:
    """A word of a `Literal` as it is declared, when it was given in another case."""
    if not isinstance(value, str):
        return value
    return next(
        (word for word in choices(field.annotation) if word.lower() == value.lower()), value
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
        return (
            f"unknown setting {_cut(key)!r}; {suggestion(key, (*kind.model_fields, *kind.ALIASES))}"
        )
    if not key:
        return _message(first)
    field = kind.model_fields.get(str(next(iter(loc), "")))
    words = list(choices(field.annotation)) if field is not None and len(loc) == 1 else []
    got = _cut(repr(first["input"]))
    if words and isinstance(first["input"], str) and first["type"] != "value_error":
        lowered = {word.lower(): word for word in words}
        if close := get_close_matches(first["input"].lower(), lowered, n=1):
            return f"{key}: unknown value {got}; did you mean {lowered[close[0]]!r}?"
        kinds = (_message(one) for one in errors if one["type"] in {*_EXPECTED, *_BOUNDS})
        expected = [kind.removeprefix("must be ") for kind in kinds]
        return f"{key}: must be {' or '.join(dict.fromkeys([*expected, *words]))} (got {got})"
    message = _message(first)
    told = first["type"] == "missing" or got in message
    return f"{key}: {message}" if told else f"{key}: {message} (got {got})"


_EXPECTED = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def _message(error: Mapping[str, Any]) -> str:
    """What does not fit, in a user's words rather than pydantic's."""
    if error["type"] in _EXPECTED:
        return f"must be {_EXPECTED[error['type']]}"
    if error["type"] in _BOUNDS:
        name, words = _BOUNDS[error["type"]]
        return f"must be {words} {error['ctx'][name]}"
    return " ".join(error["msg"].removeprefix("Value error, ").split())


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    names = sorted(known)
    close = get_close_matches(word.lower(), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def apply_overrides(settings: S, overrides: Iterable[str]) -> S:
    """Return `settings` with `key=value` texts applied, as `--set` gives them.

    Raises `UsageError` on an unknown key, a value that does not fit, or a text without `=`.
    """
    texts, kind = list(overrides), type(settings)
    values = settings.model_dump()
    if kind.FOREIGN is not None:
        known = {*kind.model_fields, *kind.ALIASES, ""}
        foreign = [text for text in texts if _key(text) not in known and "=" in text]
        values[kind.FOREIGN] = (*values[kind.FOREIGN], *foreign)
        texts = [text for text in texts if text not in foreign]
    try:
        return validate(kind, {**values, **override_values(texts)}, where="--set")
    except InputError as error:
        raise UsageError(str(error)) from None


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


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
