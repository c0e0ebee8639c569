"""Settings described for people: values, range, default, flag and help of every field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from faceloom.core.config import Settings, choices, flag_of, metadata_of, option_of

_TYPES = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    str: "text",
    tuple: "list",
    dict: "table",
}


@dataclass(frozen=True)
class Setting:
    """One field of a configuration."""

    key: str
    type: str
    """Such as `whole number` or `text`; empty when only `words` may be given."""
    words: tuple[str, ...]
    """Words that may be given."""
    minimum: float | None
    maximum: float | None
    default: Any
    """None: unset, or none when `required`."""
    required: bool
    flag: str | None
    """Its flag, or its name as an argument; None: given with `--set` only."""
    aliases: tuple[str, ...]
    """Other keys that are accepted, such as DeepFaceLab's."""
    help: str

    @property
    def values(self) -> str:
        """What may be given, in words."""
        bounds = ""
        if self.minimum is not None and self.maximum is not None:
            bounds = f" from {_number(self.minimum)} to {_number(self.maximum)}"
        elif self.minimum is not None:
            bounds = f" from {_number(self.minimum)}"
        elif self.maximum is not None:
            bounds = f" up to {_number(self.maximum)}"
        parts = [self.type + bounds] if self.type else []
        if self.words:
            parts.append(", ".join(self.words))
        return " or ".join(parts)

    @property
    def default_text(self) -> str:
        """The default as it would be given."""
        if self.required:
            return "required"
        if self.default is None:
            return "unset"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple | list | dict) or self.default == "":
            return ", ".join(map(str, self.default)) or "empty"
        return str(self.default)


def describe(kind: type[Settings]) -> list[Setting]:
    """The settings of a configuration in the order of their declaration."""
    return [_describe(kind, name, field) for name, field in kind.model_fields.items()]


def _describe(kind: type[Settings], name: str, field: FieldInfo) -> Setting:
    types = {
        _TYPES.get(get_origin(part) or part, "text")
        for part in kinds_of(field.annotation)
        if get_origin(part) is not Literal
    }
    if option_of(field).metavar == "PATH":
        types = {"path"}
    item = next((part for part in kinds_of(field.annotation) if get_origin(part) is tuple), None)
    words = [*choices(field.annotation), *(choices(get_args(item)[0]) if item else ())]
    bounds = metadata_of(field)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return Setting(
        key=name,
        type=" or ".join(sorted(types)),
        words=tuple(words),
        minimum=_bound(bounds, "ge", "gt"),
        maximum=_bound(bounds, "le", "lt"),
        default=default,
        required=field.is_required(),
        flag=None if option_of(field).hidden else flag_of(kind, name),
        aliases=tuple(alias for alias, own in kind.ALIASES.items() if own == name),
        help=" ".join((field.description or "").split()),
    )


def kinds_of(annotation: Any) -> list[Any]:
    """The types of a union, without None and without metadata."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in kinds_of(part)]
    return [] if annotation is type(None) else [annotation]


def _bound(metadata: list[Any], *names: str) -> float | None:
    found = (getattr(one, name, None) for one in metadata for name in names)
    return next((bound for bound in found if isinstance(bound, int | float)), None)


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(value)
