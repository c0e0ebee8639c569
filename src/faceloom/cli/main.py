"""The `faceloom` command: finds the subcommand and turns every outcome into an exit code.

0 done; 1 failed, with the reason in one line on stderr; 2 wrong usage; 130 cancelled.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from faceloom.core.errors import CancelledError, FaceloomError, UsageError
from faceloom.core.threads import wait_briefly
from faceloom.core.words import closest
from faceloom.stages.catalog import GROUPS, commands_of, find_stage

if TYPE_CHECKING:
    from cyclopts import App

# Commands that do more than run their stage, and those that are no stage.
OWN_COMMANDS: dict[str, str] = {
    "completion": "faceloom.cli.completion:completion",
    "faceset list": "faceloom.cli.faceset:list_faces",
    "merge": "faceloom.cli.merge:merge",
    "new": "faceloom.cli.new:new",
    "run": "faceloom.cli.run:run",
    "train": "faceloom.cli.train:train",
}
_SUMMARIES = {"completion": "Set up completion of commands and options for your shell."}

ROOT_FLAGS = ("--help", "-h", "--version")


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot encode must not end the program.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    wait_briefly()
    try:
        code = run_command(sys.argv[1:])
    except KeyboardInterrupt:
        # Pressed while the parser was still loading.
        code = _fail("cancelled", 130)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    sys.exit(code)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every failure is one line on stderr."""
    from cyclopts import CycloptsError

    words = command_words(arguments)
    see = f"See: {' '.join(['faceloom', *words, '--help'])}"
    try:
        _check_command(arguments, words)
        value = build_app(words)(list(arguments))
        sys.stdout.flush()
        return value if isinstance(value, int) and not isinstance(value, bool) else 0
    except CycloptsError as error:
        from faceloom.cli.usage import explain

        return _fail(f"{explain(error, ' '.join(words))}. {see}".replace("?.", "?"), 2)
    except UsageError as error:
        reason = _one_line(str(error))
        end = "" if reason.endswith((".", "?")) else "."
        return _fail(f"{reason}{end} {see}", 2)
    except (CancelledError, KeyboardInterrupt) as error:
        return _fail(_one_line(str(error)) or "cancelled", 130)
    except FaceloomError as error:
        return _fail(_one_line(str(error)), 1)
    except BrokenPipeError:
        # The reader of our output closed it (`faceloom inspect F | head`): not a failure.
        _silence(sys.stdout)
        return 0
    except Exception as error:
        verbose = bool({"-v", "--verbose"} & set(arguments))
        return _unexpected(error, arguments, verbose=verbose)


def commands(group: str = "") -> dict[str, str]:
    """The commands and groups directly in a group, with their summaries; by default the root's."""
    found = commands_of(group)
    if group:
        return found
    ours = {**found, **_SUMMARIES}
    return {name: ours[name] for name in sorted(ours, key=_place_in_help)}


def command_words(arguments: Sequence[str]) -> list[str]:
    """The first arguments, as far as they are words of a command: `faceset`, `pack`."""
    words: list[str] = []
    for argument in arguments:
        if argument not in commands(" ".join(words)):
            break
        words.append(argument)
    return words


def build_app(words: Sequence[str] = (), *, whole: bool = False) -> App:
    """The command tree, of which only the command that `words` name is complete.

    Of the others there is no more than a line of help, since each would load a configuration;
    with `whole` all of them are complete.
    """
    from cyclopts import App

    from faceloom import __version__

    app = App(
        name="faceloom",
        help="Train a face swap for exactly one consenting pair, and label the result.\n\n"
        "**Example**\n\n"
        "    faceloom new cast --src anna.mp4 --dst ben.mp4 --src-rights consent "
        "--dst-rights own\n\n    faceloom run cast\n",
        version=__version__,
        help_format="markdown",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    _add_commands(app, "", words, whole)
    return app


def _add_commands(app: App, group: str, words: Sequence[str], whole: bool) -> None:
    from cyclopts import App

    for order, (word, summary) in enumerate(commands(group).items()):
        name = f"{group} {word}".strip()
        if not whole and word not in words[:1]:
            app.command(App(name=word, help=summary, sort_key=order))
        elif name in OWN_COMMANDS:
            module, _, function = OWN_COMMANDS[name].partition(":")
            command = getattr(import_module(module), function)
            if whole and hasattr(command, "completing"):
                command = command.completing()
            app.command(command, name=word, usage=_usage(name, command), sort_key=order)
        elif name in GROUPS:
            part = App(name=word, help=GROUPS[name].help, sort_key=order)
            _add_commands(part, name, words[1:], whole)
            app.command(part)
        elif stage := find_stage(name):
            from faceloom.cli.stage import stage_command

            command = stage_command(stage, completing=whole)
            app.command(command, name=word, usage=_usage(name, command), sort_key=order)


def _usage(name: str, command: Callable[..., Any]) -> str | None:
    """The usage line of a stage's command; None leaves it to cyclopts."""
    arguments = getattr(command, "arguments", None)
    if arguments is None:
        return None
    return " ".join(["Usage: faceloom", name, *arguments.split(), "[OPTIONS]"])


_ORDER = (
    *("demo", "new", "run", "frames", "extract", "faceset", "sort", "dedupe", "cluster"),
    *("coverage", "train", "plan", "merge", "encode", "model", "export"),
)


def _place_in_help(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def __getattr__(name: str) -> dict[str, str]:
    if name == "COMMANDS":
        return commands()
    raise AttributeError(name)


def _check_command(arguments: Sequence[str], words: Sequence[str]) -> None:
    """`UsageError` where the next argument should be a command's word and is not."""
    group = " ".join(words)
    known = commands(group)
    if not known or len(arguments) == len(words):
        return
    word = arguments[len(words)]
    if word in ROOT_FLAGS:
        return
    if word.startswith("-"):
        raise UsageError(f"unknown option {word}: give the command first, then its options")
    full = " ".join([*words, word])
    close = closest(word, known)
    hint = f"did you mean {' '.join([*words, close])!r}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"there is no command {full!r}; {hint}")


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"faceloom: {message}\n")
        sys.stderr.flush()
    return code


def _unexpected(error: Exception, arguments: Sequence[str], *, verbose: bool) -> int:
    """Report a failure of the machine in plain words; for a bug of ours keep the traceback."""
    text = "".join(traceback.format_exception(error))
    if verbose:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{_place(error)}{error.strerror}", 1)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _fail("out of memory; try a smaller batch_size or resolution, or --device cpu", 1)
    kept = _keep_traceback(text, arguments)
    what = _one_line(f"{type(error).__name__}: {error}")[:300]
    return _fail(f"this is a bug in Faceloom ({what}); the traceback is in {kept}", 1)


def _place(error: OSError) -> str:
    """`path: ` of what could not be used; of a temporary file, its folder."""
    if not isinstance(error.filename, str | bytes):
        return ""
    path = Path(os.fsdecode(error.filename))
    return f"{path.parent if path.name.startswith('.tmp-') else path}: "


def _keep_traceback(text: str, arguments: Sequence[str]) -> Path | str:
    """Write the traceback into the cache folder or the temporary one; return where."""
    import platform
    import tempfile

    from faceloom import __version__
    from faceloom.core.paths import cache_dir

    name = time.strftime("crash-%Y%m%d-%H%M%S") + f"-{os.getpid()}.log"
    head = f"faceloom {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    for folder in (cache_dir() / "crashes", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / name
            file.write_text(f"{head}faceloom {' '.join(arguments)}\n\n{text}", "utf-8", "replace")
            return file
    return "no file, since none could be written (use -v to see it)"


def _silence(stream: TextIO) -> None:
    """Redirect a closed stream to nothing, so that the interpreter's last flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
