"""What every command file shares: options, configuration, running a stage, showing its result.

A command file parses and hands on; nothing in this module or in a command's module may import a
heavy library at its top, so that help and mistakes answer at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json as jsonlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Protocol, TypeVar, cast

from cyclopts import Parameter

from faceloom.cli.progress import console_progress
from faceloom.core.config import Settings, apply_overrides, validate
from faceloom.core.errors import CancelledError, FaceloomError, InputError, UsageError
from faceloom.core.events import Cancel, Progress
from faceloom.core.result import Result as BaseResult

WorkspaceOption = Annotated[
    Path, Parameter(name=["--workspace", "-w"], help="The workspace folder.")
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
        help="Tell more on standard error.",
    ),
]
DeviceOption = Annotated[str, Parameter(name="--device", help="auto, cpu, cuda, cuda:1 … or mps.")]
SetOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="Any further setting, key=value; may be repeated.",
    ),
]

S = TypeVar("S", bound=Settings)
T = TypeVar("T")
C = TypeVar("C", contravariant=True)
R = TypeVar("R", bound="Result", covariant=True)


class Result(Protocol):
    """What a stage returns. An optional `lines()` gives the text shown to people."""

    def as_dict(self) -> dict[str, Any]: ...


class Stage(Protocol[C, R]):
    """A stage's `run`."""

    def __call__(self, config: C, *, progress: Progress, cancel: Cancel) -> R: ...


def build_config(
    kind: type[S], overrides: Iterable[str] = (), *, stage: str | None = None, **values: Any
) -> S:
    """A stage's configuration from, weakest first: defaults, `faceloom.toml`, options, `--set`.

    Options that are None were not given and are left out. With `stage`, and a `workspace` among
    the values, the table of that name in the workspace's `faceloom.toml` is read.
    Raises `UsageError` naming the first option that does not fit, plain `InputError` when it is
    the file that does not.
    """
    if stage is not None and "workspace" in kind.model_fields and values.get("workspace") is None:
        values["workspace"] = kind.model_fields["workspace"].default
    workspace = values.get("workspace")
    if stage is not None and workspace is not None:
        from faceloom.workspace.layout import stage_config

        with contextlib.suppress(UsageError):
            # Alone, the file may lack what only options give; anything else is its own fault.
            blame_options(lambda: stage_config(kind, stage, workspace=workspace), "Field required")
        return blame_options(lambda: stage_config(kind, stage, overrides, **values))
    given = {key: value for key, value in values.items() if value is not None}
    plain = blame_options(lambda: validate(kind, given, where="options"))
    return blame_options(lambda: apply_overrides(plain, overrides))


def blame_options(make: Callable[[], T], cause: str = "") -> T:
    """`make()`, with an `InputError` that has `cause` in it turned into wrong usage."""
    try:
        return make()
    except InputError as error:
        if cause in str(error):
            raise UsageError(str(error)) from None
        raise


def run_stage(
    run: Callable[..., Any],
    config: Settings,
    *,
    json: bool = False,
    verbose: bool = False,
) -> Any:
    """Run a stage with progress on standard error, show its result, and return it.

    The first Ctrl-C (or SIGTERM) asks the stage to save and stop, the second ends the process.
    Raises `CancelledError` after a stage that stopped for it, even when it returned a result.
    """
    set_up_logging(verbose)
    progress, cancel = console_progress(), Cancel()
    with cancel_on_interrupt(cancel, progress):
        try:
            result = run(config, progress=progress, cancel=cancel)
        finally:
            progress.finish()
    if first_process():
        emit(result, json)
    if cancel.is_set and getattr(result, "cancelled", True):
        raise CancelledError("stopped; what was done so far is kept, run again to resume")
    if isinstance(result, BaseResult) and (reason := result.failure()):
        raise FaceloomError(reason)
    return result


def first_process() -> bool:
    """Whether this process speaks: of several that torchrun has started, one does."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def cancel_on_interrupt(cancel: Cancel, progress: Progress) -> Generator[None]:
    """Turn the first Ctrl-C or SIGTERM into `cancel`; a second one ends the process at once.

    Ending at once is safe: files are written whole or not at all. Does nothing outside the main
    thread, where Python does not let signals be caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if cancel.is_set:
            os._exit(130)
        cancel.set()
        progress.note("stopping: saving what is done (press Ctrl-C again to abort)")

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def set_up_logging(verbose: bool) -> None:
    """With `-v`, show the library's log on standard error."""
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("faceloom").setLevel(logging.DEBUG)


def emit(result: Result, json: bool) -> None:
    """Print a result on standard output: JSON on one line, or lines for people."""
    if json:
        for item in result.json_lines() if isinstance(result, BaseResult) else [result.as_dict()]:
            write_line(to_json(item))
        return
    lines = getattr(result, "lines", None)
    if callable(lines):
        for line in cast("Iterable[str]", lines()):
            write_line(line)
        return
    for key, value in result.as_dict().items():
        if value is not None and value != [] and value != {}:
            write_line(f"{key.replace('_', ' ')}: {_plain(value)}")


def write_line(text: str) -> None:
    """One line on standard output: no wrapping, no markup, and no control characters.

    Names and claims out of foreign files reach this, and must not command the terminal.
    """
    sys.stdout.write("".join("�" if _is_control(sign) else sign for sign in text) + "\n")


def _is_control(sign: str) -> bool:
    return sign < " " or "\x7f" <= sign <= "\x9f"


def to_json(value: Any) -> str:
    """JSON of plain data, dataclasses, paths, fractions and arrays; NaN becomes null."""
    return jsonlib.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _jsonable({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, Settings):
        return _jsonable(value.model_dump())
    for converter in ("tolist", "isoformat"):
        if hasattr(value, converter):
            return _jsonable(getattr(value, converter)())
    if isinstance(value, Iterable):
        return [_jsonable(item) for item in value]
    return str(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return str(value)
