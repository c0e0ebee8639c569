"""What the parser of the command line reports, in a user's words."""

from __future__ import annotations

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from faceloom.core.config import flag_of, option_of
from faceloom.core.words import closest
from faceloom.stages.catalog import find_stage


def explain(error: CycloptsError, command: str) -> str:
    """One line for an error of the parser, about the arguments of `command`."""
    match error:
        case UnknownOptionError():
            return _unknown_option(error, command)
        case UnusedCliTokensError():
            extra = " ".join(error.unused_tokens or ())
            return f"unexpected argument {extra!r}"
        case MissingArgumentError(argument=argument) if argument is not None:
            name = argument.name
            return f"{name} needs a value" if name.startswith("-") else f"{name} is missing"
        case RepeatArgumentError():
            return f"{error.token.keyword} is given more than once"
        case _:
            error.verbose = False
            return " ".join(str(error).split()).rstrip(".")


def _unknown_option(error: UnknownOptionError, command: str) -> str:
    given = (error.token.keyword or error.token.value).partition("=")[0]
    stage = find_stage(command)
    if stage is not None and given.startswith("--"):
        kind = stage.settings()
        key = given.removeprefix("--").replace("-", "_")
        key = kind.ALIASES.get(key, key)
        if field := kind.model_fields.get(key):
            if option_of(field).hidden:
                return f"{given} is not an option; use --set {key}=…"
            return f"unknown option {given}; did you mean {flag_of(kind, key)}?"
    flags = [name for one in error.argument_collection for name in one.names if one.parse]
    close = closest(given, flags, cutoff=0.7)
    return f"unknown option {given}" + (f"; did you mean {close}?" if close else "")
