"""Configuration: frozen pydantic models with a docstring per field.

An option is declared once, as a field. Its name, type, range, default and docstring become a flag
and its help, a key of `--set` and `faceloom.toml`, an argument of the Python API, and a row in the
docs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from faceloom.core.errors import InputError, UsageError
from faceloom.core.words import closest

S = TypeVar("S", bound="Settings")

# An error shows no more characters of a wrong value.
_LONGEST_VALUE = 60
_KIND = re.compile(r"constrained-\w+|literal\[.*\]")


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line, where its name and type are not enough.

    Part of the field's annotation: `side: Annotated[Side, Option(positional=True)]`.
    """

    positional: bool = False
    """An argument without a flag; with `flag` it can be given either way. Optional arguments that
    also have a flag come first and may be left out: `[NAME] STATE`."""
    flag: str | None = None
    """A flag other than the field's name with dashes."""
    short: str | None = None
    """A one-letter form, such as `-w`."""
    metavar: str | None = None
    """What help calls its value; by default by the type: NUMBER, PATH, WORD or TEXT."""
    hidden: bool = False
    """Not a flag: given with `--set`, and listed by `faceloom settings`."""


class Settings(BaseModel):
    """Base of every configuration: frozen, and a misspelt key is an error.

    Words of a `Literal` are accepted in any case.
    """

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Other names that are accepted for fields, such as DeepFaceLab's."""
    FOREIGN: ClassVar[str | None] = None
    """The field that receives the texts of `--set` whose key is no field, such as settings of the
    model that a stage trains."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        # Building every validator would take a third of the time that a command's help needs.
        defer_build=True,
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
    """Base for stages that work on a workspace."""

    workspace: Annotated[Path, Option(short="-w", metavar="DIR")] = Path()
    """The workspace folder; by default the current one."""


class ThreadSettings(Settings):
    """Mixin for stages that compute in threads."""

    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads; 0: one per core."""


class DeviceSettings(Settings):
    """Mixin for stages that run networks."""

    device: Annotated[str, Option(metavar="DEVICE")] = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1 … or mps."""


Output = Annotated[str, BeforeValidator(os.fspath), Option(short="-o", metavar="PATH")]
"""Where one file is written, as given: a folder if it ends in `/` (`core.paths.output_file`)."""


def option_of(field: FieldInfo) -> Option:
    """The `Option` in a field's annotation, or the default."""
    return next((one for one in metadata_of(field) if isinstance(one, Option)), Option())


def metadata_of(field: FieldInfo) -> list[Any]:
    """What `Annotated` adds to a field's type, including nested types such as `Output | None`."""
    return [*field.metadata, *_metadata(field.annotation)]


def _metadata(annotation: Any) -> Iterator[Any]:
    """The metadata of every `Annotated` in a type."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        for one in metadata:
            yield from one.metadata if isinstance(one, FieldInfo) else [one]
        yield from _metadata(inner)
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _metadata(part)


def flag_of(kind: type[Settings], name: str) -> str:
    """What a field is called on the command line: `--image-size`, or `SIDE` for a positional."""
    field = kind.model_fields.get(name)
    option = Option() if field is None else option_of(field)
    if option.positional and option.flag is None:
        return name.upper()
    return option.flag or f"--{name.replace('_', '-')}"


def choices(annotation: Any) -> Iterator[str]:
    """The words of every `Literal` in a type, including nested ones."""
    if get_origin(annotation) is Literal:
        yield from (word for word in get_args(annotation) if isinstance(word, str))
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from choices(part)


def _usual_case(value: Any, field: FieldInfo) -> Any:
    """A word of a `Literal` in the case of its declaration."""
    if not isinstance(value, str):
        return value
    return next(
        (word for word in choices(field.annotation) if word.lower() == value.lower()), value
    )


@dataclass(frozen=True, eq=False)
class Source:
    """Values for a configuration, and where they come from, for error messages."""

    values: Mapping[str, Any]
    where: str
    """Such as `cast/faceloom.toml, [extract]`."""
    error: type[InputError] = InputError
    """Raised if one of these values is wrong."""
    joint: str = ": "
    """Separates the place from the key."""
    label: Callable[[str], str] | None = None
    """What a field is called here, if not by place and key."""

    def name(self, *keys: str) -> str:
        """What to call `keys` in an error."""
        if self.label is None:
            return f"{self.where}{self.joint}{', '.join(keys)}"
        return " and ".join(map(self.label, keys))


def combine(kind: type[S], sources: Iterable[Source]) -> S:
    """Build `kind` from several sources, the weakest first.

    A wrong value raises its source's error, in one line that names the source and the key as given
    there. If values are wrong only in combination, all of them are named.
    """
    sources = list(sources)
    values: dict[str, Any] = {}
    origins: dict[str, tuple[Source, str]] = {}
    for source in sources:
        for key, value in source.values.items():
            field = kind.ALIASES.get(key, key)
            values[field] = value
            origins[field] = (source, key)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        path, reason = _reason(kind, error)
    blamed = path[:1] or [key for key in origins if re.search(rf"\b{key}\b", reason)]
    given = [origins[key] for key in blamed if key in origins]
    if not given and path and (flags := next((one for one in sources if one.label), None)):
        raise flags.error(f"{flags.name(path[0])} {reason}")
    if not given:
        # A setting is missing, or the reason names none.
        given = [(source, "") for source in sources[-1:]]
        reason = ": ".join([*path, reason])
    names = [
        source.where
        if reason.startswith("unknown setting") or not given[0][1]
        else source.name(*(".".join([key, *path[1:]]) for one, key in given if one is source))
        for source in dict.fromkeys(source for source, _ in given)
    ]
    errors = {source.error for source, _ in given}
    raise (UsageError if UsageError in errors else InputError)(f"{' and '.join(names)}: {reason}")


def validate(kind: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Build `kind` from plain values; a wrong value is an `InputError` in one line."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        path, reason = _reason(kind, error)
        if path and not reason.startswith("unknown setting"):
            reason = f"{'.'.join(path)}: {reason}"
        raise InputError(f"{where}: {reason}") from None


def override_values(overrides: Iterable[str]) -> dict[str, Any]:
    """Keys and values of `key=value` texts; `UsageError` for a text without `=`."""
    values: dict[str, Any] = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--set {_cut(text)!r}: expected key=value")
        # `none` is a word of several options; only `null` unsets.
        values[key.strip()] = None if value.strip().lower() == "null" else value.strip()
    return values


def override_source(kind: type[Settings], overrides: Iterable[str]) -> Source:
    """The `key=value` texts of `--set` as a source for `kind`."""
    texts = list(overrides)
    values = override_values(texts)
    if kind.FOREIGN is not None:
        known = {*kind.model_fields, *kind.ALIASES}
        foreign = tuple(text for text in texts if text.partition("=")[0].strip() not in known)
        values = {key: value for key, value in values.items() if key in known}
        values |= {kind.FOREIGN: foreign} if foreign else {}
    return Source(values, "--set", UsageError, joint=" ")


def validate_with(
    kind: type[S], values: Mapping[str, Any], overrides: Iterable[str], *, where: str
) -> S:
    """Build `kind` from plain values and `key=value` texts, which win.

    A wrong value raises `InputError` naming `where`, a wrong text `UsageError`.
    """
    return combine(kind, [Source(values, where), override_source(kind, overrides)])


def _reason(kind: type[Settings], error: ValidationError) -> tuple[list[str], str]:
    """The first wrong key, as a path (empty if no single key is wrong), and what is wrong.

    The reason is one line in plain words instead of pydantic's.
    """
    errors = error.errors(include_url=False)
    # A misspelt key before what is missing because of it.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    # For a value of several possible types pydantic adds the type to the path.
    path = [str(part) for part in first["loc"] if not _KIND.fullmatch(str(part))]
    path = path or [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        reason = f"unknown setting {_cut('.'.join(path))!r}"
        known = (*kind.model_fields, *kind.ALIASES)
        return path, reason if len(path) > 1 else f"{reason}; {suggestion(path[0], known)}"
    field = kind.model_fields.get(path[0]) if len(path) == 1 else None
    words = [] if field is None else list(choices(field.annotation))
    got = _shown(first["input"])
    if words and isinstance(first["input"], str) and first["type"] != "value_error":
        if close := closest(first["input"], words):
            return path, f"unknown value {got}; did you mean {close!r}?"
        kinds = (_message(one) for one in errors if one["type"] in {*_EXPECTED, *_BOUNDS})
        expected = [kind.removeprefix("must be ") for kind in kinds]
        return path, f"must be {_either([*expected, *words])} (got {got})"
    message = _message(first)
    shown = not path or first["type"] == "missing" or got in message
    return path, message if shown else f"{message} (got {got})"


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
    "missing": "given",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def _message(error: Mapping[str, Any]) -> str:
    """What is wrong, in plain words instead of pydantic's."""
    if error["type"] in _EXPECTED:
        return f"must be {_EXPECTED[error['type']]}"
    if error["type"] in _BOUNDS:
        name, words = _BOUNDS[error["type"]]
        bound = error["ctx"][name]
        return f"must be {words} {int(bound) if bound == int(bound) else bound}"
    return " ".join(error["msg"].removeprefix("Value error, ").split())


def _either(words: Iterable[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    names = sorted(known)
    close = closest(word, names)
    return f"did you mean {close!r}?" if close else f"known: {', '.join(names)}"


def _shown(value: Any) -> str:
    """A value in an error: text in quotes, but not the number that a text holds."""
    number = isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value)
    return _cut(str(value) if number else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
