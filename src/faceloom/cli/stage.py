"""Commands made from stages: each field of the configuration becomes a flag."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Union, cast, get_args, get_origin

from cyclopts import App, Group, Parameter
from pydantic.fields import FieldInfo

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    build_config,
    run_stage,
)
from faceloom.core.config import Settings, choices, option_of
from faceloom.stages.catalog import Stage, stages_of

_SIMPLE = (bool, int, float, str, Path)
_COMMON = ("workspace", "device", "threads")
"""Options that many commands have, shown after those of their own."""
COMMON_GROUP = Group("Common options", sort_key=1)


def stage_command(stage: Stage) -> Callable[..., Any]:
    """The function that cyclopts turns into the command of `stage`.

    Its signature has a parameter per field, then `--set`, `--json` and `--verbose`. A flag that is
    not given leaves the setting to `faceloom.toml` or the default.
    """

    def command(**given: Any) -> Any:
        overrides = given.pop("set_", ())
        json, verbose = given.pop("json", False), given.pop("verbose", False)
        config = build_config(stage.settings(), overrides, stage=stage.table, **given)
        return run_stage(stage.function(), config, json=json, verbose=verbose)

    return with_signature(command, stage.settings())


def add_stages(app: App, group: str) -> None:
    """Register the stages of `group` as subcommands of `app`: `faceset pack` as `pack`."""
    for order, stage in enumerate(stages_of(group)):
        app.command(stage_command(stage), name=stage.name.removeprefix(f"{group} "), sort_key=order)


def with_signature(
    command: Callable[..., Any], kind: type[Settings], *, extra: tuple[inspect.Parameter, ...] = ()
) -> Callable[..., Any]:
    """Give `command`, which takes keywords, the signature and help that `kind` declares.

    `extra` are further keyword parameters. Positional ones reach `command` as keywords, too.
    """
    fields = kind.model_fields
    shown = [name for name in fields if not option_of(fields[name]).hidden]
    placed = [name for name in shown if option_of(fields[name]).positional]
    flags = [name for name in shown if name not in placed and name not in _COMMON]
    common = [name for name in _COMMON if name in shown]
    parameters = [
        *(_positional(name, fields[name]) for name in placed),
        *(_flag(name, fields[name]) for name in flags),
        *extra,
        *(_flag(name, fields[name], group=COMMON_GROUP) for name in common),
        *_surface_options(),
    ]

    def call(*places: Any, **given: Any) -> Any:
        return command(**dict(zip(placed, places, strict=False)), **given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__doc__ = kind.__doc__
    return call


def _surface_options() -> list[inspect.Parameter]:
    def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
        kind = inspect.Parameter.KEYWORD_ONLY
        grouped = Annotated[annotation, Parameter(group=COMMON_GROUP)]
        return inspect.Parameter(name, kind, default=default, annotation=grouped)

    return [
        keyword("set_", SetOption, ()),
        keyword("json", JsonOption, False),
        keyword("verbose", VerboseOption, False),
    ]


def _positional(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _on_the_command_line(field.annotation)
    annotation = Annotated[
        kind if field.is_required() else kind | None,
        Parameter(help=_help(field), show_default=False),
    ]
    default = inspect.Parameter.empty if field.is_required() else None
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_ONLY, default=default, annotation=annotation
    )


def _flag(name: str, field: FieldInfo, *, group: Group | None = None) -> inspect.Parameter:
    """A keyword parameter whose default is None, which means: not given."""
    option = option_of(field)
    flag = option.flag or f"--{name.replace('_', '-')}"
    parameter = Parameter(
        name=[flag, option.short] if option.short else flag,
        help=_help(field),
        show_default=False,
        # A switch that is off by default has no --no- form; a list is given item by item.
        negative=None if field.annotation is bool and field.default is True else "",
    )
    if group is not None:
        parameter = Parameter.combine(parameter, Parameter(group=group))
    kind = _on_the_command_line(field.annotation)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.is_required() else None,
        annotation=Annotated[kind if field.is_required() else kind | None, parameter],
    )


def _help(field: FieldInfo) -> str:
    """The docstring, the words that may be given, and the default."""
    parts = [" ".join((field.description or "").split())]
    if words := list(choices(field.annotation)):
        parts.append(f"[choices: {', '.join(words)}]")
    default = field.default
    if not field.is_required() and default not in (None, False, "", ()):
        parts.append(f"[default: {str(default).lower() if default is True else default}]")
    return " ".join(parts)


def _on_the_command_line(annotation: Any) -> Any:
    """A type that cyclopts parses; text where only the configuration knows how to read it."""
    origin = get_origin(annotation)
    if origin is not tuple and any(choices(annotation)):
        # The configuration knows its words in any case, and what was probably meant.
        return str
    if origin is Annotated:
        return _on_the_command_line(get_args(annotation)[0])
    if annotation in _SIMPLE:
        return annotation
    if origin in (Union, types.UnionType):
        parts = [_on_the_command_line(one) for one in get_args(annotation) if one is not type(None)]
        return parts[0] if len(parts) == 1 else cast(Any, Union[tuple(parts)])  # noqa: UP007
    if origin is tuple and get_args(annotation)[-1] is Ellipsis:
        return tuple[_on_the_command_line(get_args(annotation)[0]), ...]
    return str
