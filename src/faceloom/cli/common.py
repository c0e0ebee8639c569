"""What every command shares: its configuration, running its stage, showing the result.

Nothing here may import a heavy library at its top, so that help and mistakes answer at once.
"""

from __future__ import annotations

import contextlib
import json as jsonlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from faceloom.cli.progress import console_progress
from faceloom.core.config import Settings, Source, combine, flag_of, override_source
from faceloom.core.errors import CancelledError, FaceloomError, UsageError
from faceloom.core.events import Cancel, Progress
from faceloom.core.result import Result

S = TypeVar("S", bound=Settings)


def build_config(
    kind: type[S], overrides: Iterable[str] = (), *, stage: str | None = None, **values: Any
) -> S:
    """A stage's configuration from, weakest first: defaults, `faceloom.toml`, flags, `--set`.

    Flags that are None were not given. With `stage`, and a `workspace` among the values, the
    tables of that name in the workspace's `faceloom.toml` are read. Raises `UsageError` when a flag
    or `--set` does not fit, `InputError` when it is the file.
    """
    given = {key: value for key, value in values.items() if value is not None}
    flags = Source(given, "options", UsageError, label=lambda key: flag_of(kind, key))
    sources = [flags, override_source(kind, overrides)]
    if stage is not None and (field := kind.model_fields.get("workspace")):
        from faceloom.workspace import table_sources

        workspace = Path(given.get("workspace", field.default))
        sources = [*table_sources(kind, stage, workspace, given), *sources]
    return combine(kind, sources)


def run_stage(
    run: Callable[..., Any],
    config: Settings,
    *,
    json: bool = False,
    verbose: bool = False,
) -> Any:
    """Run a stage with progress on stderr, print its result, and return it.

    The first Ctrl-C (or SIGTERM) asks the stage to save and stop, the second ends the process.
    Raises `CancelledError` after a stage that stopped for it, even when it returned a result, and
    `FaceloomError` when the result is a failure.
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
        raise CancelledError("stopped; finished work is kept, run the same command to resume")
    if reason := result.failure():
        raise FaceloomError(reason)
    return result


def first_process() -> bool:
    """Whether this process reports: of several that torchrun has started, one does."""
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
        progress.note("stopping: saving what is done (press Ctrl-C again to quit at once)")

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def set_up_logging(verbose: bool) -> None:
    """With `-v`, show the library's log on stderr."""
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("faceloom").setLevel(logging.DEBUG)


def emit(result: Result, json: bool) -> None:
    """Print a result on stdout: JSON, an object a line, or lines for people."""
    if json:
        for record in result.json_lines():
            write_json(record)
        return
    for line in result.lines():
        write_line(line)


def write_json(value: dict[str, Any]) -> None:
    """One object on one line of stdout."""
    write_line(jsonlib.dumps(value, ensure_ascii=False, allow_nan=False))


def write_line(text: str) -> None:
    """One line on stdout: no wrapping, no markup, and no control characters.

    Names and claims from foreign files reach this, and must not control the terminal.
    """
    sys.stdout.write("".join("�" if _is_control(sign) else sign for sign in text) + "\n")


def _is_control(sign: str) -> bool:
    return sign < " " or "\x7f" <= sign <= "\x9f"
