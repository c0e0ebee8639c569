"""Commands made from stages: each field of the configuration becomes a flag."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter, Token
from pydantic.fields import FieldInfo

from faceloom.cli.common import build_config, run_stage
from faceloom.core.config import Settings, choices, flag_of, option_of
from faceloom.core.describe import kinds_of
from faceloom.core.errors import UsageError
from faceloom.stages.catalog import Stage

# The name in a signature for the flag of a field that can also be an argument.
_BY_FLAG = "{}_by_flag"
# Options that many commands have, shown after those of their own.
_COMMON = ("workspace", "device", "threads")
_OWN_GROUP = Group("Options", sort_key=1)
_COMMON_GROUP = Group("Common options", sort_key=2)

SetOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        metavar="KEY=VALUE",
        show_default=False,
        help="Any setting by its key; may be repeated. `faceloom settings` lists the keys.",
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print the result as JSON."),
]
VerboseOption = Annotated[
    bool,
    Parameter(
        name=["--verbose", "-v"],
        negative="",
        show_default=False,
        help="Show more detail on stderr.",
    ),
]


def stage_command(stage: Stage, *, completing: bool = False) -> Callable[..., Any]:
    """The function that cyclopts turns into the command of `stage`.

    Its signature has a parameter per field, then `--set`, `--json` and `--verbose`. A flag that is
    not given leaves the setting to `faceloom.toml` or the default. `completing` is for a shell's
    completion: its words are then known to cyclopts, which would otherwise reject them itself, in
    words of its own.
    """

    def command(**given: Any) -> Any:
        overrides = given.pop("set_", ())
        json, verbose = given.pop("json", False), given.pop("verbose", False)
        config = build_config(stage.settings(), overrides, stage=stage.table, **given)
        return run_stage(stage.function(), config, json=json, verbose=verbose)

    return with_signature(command, stage.settings(), completing=completing)


def with_signature(
    command: Callable[..., Any],
    kind: type[Settings],
    *,
    extra: tuple[inspect.Parameter, ...] = (),
    completing: bool = False,
) -> Callable[..., Any]:
    """Give `command`, which takes keywords, the signature and help that `kind` declares.

    `extra` are further keyword parameters. Positional ones reach `command` as keywords, too.
    `completing` is for a shell's completion; its `completing()` makes that of a finished command.
    """
    fields = {
        name: field for name, field in kind.model_fields.items() if not option_of(field).hidden
    }
    placed = [name for name in fields if option_of(fields[name]).positional]
    flags = [name for name in fields if name not in placed and name not in _COMMON]
    common = [name for name in _COMMON if name in fields and name not in placed]

    def parameter(name: str, group: Group | None = None) -> inspect.Parameter:
        return _parameter(kind, name, fields[name], group, completing=completing)

    either = [name for name in placed if option_of(fields[name]).flag]
    parameters = [
        *(parameter(name) for name in placed),
        *(_second_way(kind, name, parameter(name)) for name in either),
        *(parameter(name, _OWN_GROUP) for name in flags),
        *(
            one.replace(annotation=Annotated[one.annotation, Parameter(group=_OWN_GROUP)])
            for one in extra
        ),
        *(parameter(name, _COMMON_GROUP) for name in common),
        *_surface_options(),
    ]

    def call(*places: Any, **given: Any) -> Any:
        by_flag = {name: given.pop(_BY_FLAG.format(name), None) for name in either}
        by_flag = {name: value for name, value in by_flag.items() if value is not None}
        by_place = _by_place(kind, [name for name in placed if name not in by_flag], places)
        return command(**by_place, **by_flag, **given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__doc__ = kind.__doc__
    call.arguments = " ".join(  # type: ignore[attr-defined]
        _argument(name, fields[name]) for name in placed
    )
    if not completing:
        call.completing = lambda: with_signature(  # type: ignore[attr-defined]
            command, kind, extra=extra, completing=True
        )
    return call


def _argument(name: str, field: FieldInfo) -> str:
    """How the usage line shows an argument: `SIDE`, `[NAME]`, `[NETWORKS...]`."""
    metavar = option_of(field).metavar
    if metavar is not None:
        return metavar
    shown = f"{name.upper()}..." if _is_list(field.annotation) else name.upper()
    return shown if field.is_required() else f"[{shown}]"


def _by_place(kind: type[Settings], names: list[str], places: Sequence[Any]) -> dict[str, Any]:
    """The words of a command line by the fields that they are for.

    Optional fields that come before required ones are left out when there are too few words.
    """
    words: list[str] = []
    for place in places:
        words += place if isinstance(place, list) else [] if place is None else [place]
    required = [name for name in names if kind.model_fields[name].is_required()]
    if len(words) < len(required):
        raise UsageError(f"{required[len(words)].upper()} is missing")
    while required and len(words) < len(names) and names[0] not in required:
        names = names[1:]
    if names and _is_list(kind.model_fields[names[-1]].annotation):
        before = len(names) - 1
        rest = {names[-1]: words[before:]} if words[before:] else {}
        return {**dict(zip(names[:-1], words, strict=False)), **rest}
    if len(words) > len(names):
        raise UsageError(f"unexpected argument {words[len(names)]!r}")
    return dict(zip(names, words, strict=False))


def _second_way(kind: type[Settings], name: str, placed: inspect.Parameter) -> inspect.Parameter:
    """The flag of a field that may also be given by its place; the help shows it there."""
    option = option_of(kind.model_fields[name])
    flags = [flag for flag in (flag_of(kind, name), option.short) if flag]
    hint, parameter = get_args(placed.annotation)
    return placed.replace(
        name=_BY_FLAG.format(name),
        kind=inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[hint, Parameter.combine(parameter, Parameter(name=flags, show=False))],
    )


def _surface_options() -> list[inspect.Parameter]:
    def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
        grouped = Annotated[annotation, Parameter(group=_COMMON_GROUP)]
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=grouped
        )

    return [
        keyword("set_", SetOption, ()),
        keyword("json", JsonOption, False),
        keyword("verbose", VerboseOption, False),
    ]


def _parameter(
    kind: type[Settings], name: str, field: FieldInfo, group: Group | None, *, completing: bool
) -> inspect.Parameter:
    """The parameter of a field. Its default is None, which means: not given.

    A required setting without a place may still come from `faceloom.toml`, `--set` or a question;
    the configuration reports it when it does not.
    """
    option = option_of(field)
    switch = kinds_of(field.annotation) == [bool]
    parameter = Parameter(
        help=_help(field, either=flag_of(kind, name) if option.positional and option.flag else ""),
        show_default=False,
        show_choices=False,
        # The configuration reads the text and knows how to reject it.
        converter=None if switch else _as_given,
        metavar=None if switch else option.metavar or _metavar(field.annotation),
        # A switch that is off by default has no --no- form; a list is given item by item.
        negative=None if field.annotation is bool and field.default is True else "",
    )
    if not option.positional:
        flag = flag_of(kind, name)
        parameter = Parameter.combine(
            parameter, Parameter(name=[flag, option.short] if option.short else flag, group=group)
        )
    hint = bool if switch else _hint(field.annotation, completing)
    required = option.positional and field.is_required() and not _has_either(kind)
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_ONLY if option.positional else inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[hint if required else hint | None, parameter],
    )


def _has_either(kind: type[Settings]) -> bool:
    options = [option_of(field) for field in kind.model_fields.values()]
    return any(option.positional and option.flag for option in options)


def _is_list(annotation: Any) -> bool:
    kinds = kinds_of(annotation)
    return len(kinds) == 1 and get_origin(kinds[0]) is tuple


def _as_given(hint: Any, tokens: Sequence[Token]) -> Any:
    texts = [token.value for token in tokens]
    return texts if get_origin(hint) is tuple else texts[0]


def _help(field: FieldInfo, *, either: str = "") -> str:
    """The docstring, then the alternative flag, the words that may be given unless the docstring
    has them all, and the default."""
    text = " ".join((field.description or "").split())
    parts = [text, f"[or {either}]"] if either else [text]
    words = list(choices(field.annotation))
    if any(not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words):
        parts.append(_literally(f"[choices: {', '.join(words)}]"))
    default = field.default
    if not field.is_required() and default not in (None, False, "", (), Path()):
        shown = str(default).lower() if default is True else default
        parts.append(_literally(f"[default: {shown}]"))
    return " ".join(parts)


def _literally(text: str) -> str:
    """`text` for Markdown, to which the `*` of `learned-prd*learned-dst` would be emphasis."""
    return text.replace("*", r"\*")


def _hint(annotation: Any, completing: bool) -> Any:
    """The type that cyclopts sees: by it values are counted, and words and paths completed."""
    kinds = kinds_of(annotation)
    if _is_list(annotation):
        return tuple[_hint(get_args(kinds[0])[0], completing), ...]
    if completing and (words := tuple(choices(annotation))):
        return Literal[words]
    return Path if Path in kinds else str


def _metavar(annotation: Any) -> str:
    kinds = kinds_of(annotation)
    if _is_list(annotation):
        return _metavar(get_args(kinds[0])[0])
    names = {int: "NUMBER", float: "NUMBER", Path: "PATH", str: "TEXT"}
    words = ["WORD" for kind in kinds if get_origin(kind) is Literal]
    return (
        "|".join(dict.fromkeys([names[kind] for kind in kinds if kind in names] + words)) or "TEXT"
    )
