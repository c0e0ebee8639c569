"""The `faceloom` command: finds the subcommand, and turns every ending into an exit code.

0 done; 1 failed, with the reason in one line on standard error; 2 wrong usage; 130 cancelled.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from faceloom.core.errors import CancelledError, FaceloomError, UsageError
from faceloom.core.threads import wait_briefly
from faceloom.stages.catalog import find_stage

if TYPE_CHECKING:
    from cyclopts import App

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("faceloom.cli.demo:demo", "The whole pipeline on two public-domain portraits."),
    "new": ("faceloom.cli.new:new", "Make a workspace with its rights record."),
    "run": ("faceloom.cli.run:run", "Every stage that is not yet done, in order."),
    "frames": ("faceloom.cli.frames:frames", "Write footage out as pictures."),
    "extract": ("", "Find, align and store the faces of src or dst."),
    "faceset": (
        "faceloom.cli.faceset.app:app",
        "List, pack, unpack, rename, resize, enhance, import and export facesets.",
    ),
    "sort": ("faceloom.cli.sort:sort", "Order a faceset by what its faces show; keep the best."),
    "dedupe": ("faceloom.cli.dedupe:dedupe", "Move near-duplicates out of a faceset."),
    "cluster": ("faceloom.cli.cluster:cluster", "Group faces by person; name, keep or move them."),
    "coverage": (
        "faceloom.cli.coverage:coverage",
        "What dst shows that src lacks, and what to film.",
    ),
    "train": ("faceloom.cli.train:train", "Train a model on the two facesets."),
    "plan": ("", "Estimate the memory and time of a training before it starts."),
    "merge": ("faceloom.cli.merge:merge", "Put the trained face on dst's footage."),
    "encode": ("faceloom.cli.encode:encode", "Make the result video: audio kept, signed."),
    "model": (
        "faceloom.cli.model.app:app",
        "List, copy, reset, import or export models; snapshots and backups.",
    ),
    "export": (
        "faceloom.cli.export:app",
        "Write trained models as files: DFM for DeepFaceLive, XSeg as ONNX.",
    ),
    "inspect": ("faceloom.cli.inspect:inspect", "Tell what a file says about itself."),
    "weights": ("faceloom.cli.weights:app", "List, fetch or add the face networks."),
    "doctor": ("faceloom.cli.doctor:doctor", "Check that this machine has all that is needed."),
}
"""Name → where the function (or sub-app) lives, and its line in `faceloom --help`."""

_KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "Path": "a path"}
ROOT_FLAGS = ("--help", "-h", "--version")


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal's encoding lacks must not end the program.
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
    """Run one command line and return its exit code; every failure is told in one line."""
    from cyclopts import CycloptsError

    chosen = arguments[0] if arguments else None
    if chosen is not None and chosen not in COMMANDS and chosen not in ROOT_FLAGS:
        return _fail(_unknown_command(chosen), 2)
    try:
        value = build_app(chosen)(list(arguments))
        sys.stdout.flush()
        return value if isinstance(value, int) and not isinstance(value, bool) else 0
    except CycloptsError as error:
        return _fail(f"{_plain_types(_one_line(str(error)))} See: {_help_hint(arguments)}", 2)
    except UsageError as error:
        reason = _one_line(str(error))
        end = "" if reason.endswith((".", "?")) else "."
        return _fail(f"{reason}{end} See: {_help_hint(arguments)}", 2)
    except (CancelledError, KeyboardInterrupt) as error:
        return _fail(_one_line(str(error)) or "cancelled", 130)
    except FaceloomError as error:
        return _fail(_one_line(str(error)), 1)
    except BrokenPipeError:
        # Whoever read our output has enough (`faceloom inspect F | head`): nothing failed.
        _silence(sys.stdout)
        return 0
    except Exception as error:
        verbose = bool({"-v", "--verbose"} & set(arguments))
        return _unexpected(error, arguments, verbose=verbose)


def build_app(chosen: str | None = None) -> App:
    """The command tree. Only `chosen`'s module will be imported, when cyclopts asks for it."""
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
    for order, (name, (path, summary)) in enumerate(COMMANDS.items()):
        # A registered help text would replace the docstring on the command's own help page.
        shown = None if name == chosen else summary
        stage = find_stage(name)
        if path or stage is None:
            app.command(path, name=name, help=shown, sort_key=order)
        elif name == chosen:
            from faceloom.cli.stage import stage_command

            app.command(stage_command(stage), name=name, sort_key=order)
        else:
            app.command(App(name=name, help=stage.summary, sort_key=order))
    return app


def _unknown_command(word: str) -> str:
    if word.startswith("-"):
        return f"unknown option {word}: a command comes first, its options after it"
    close = get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(COMMANDS)}"
    return f"there is no command {word!r}; {hint}"


def _help_hint(arguments: Sequence[str]) -> str:
    """How to ask for help on the command, or subcommand, that was meant."""
    chosen = arguments[0] if arguments else None
    words = build_app(chosen).parse_commands(list(arguments))[0]
    return " ".join(["faceloom", *words, "--help"])


def _plain_types(message: str) -> str:
    """`unable to convert "x" into int|Literal[a]|None.` as a user reads it."""

    def words(found: re.Match[str]) -> str:
        kinds = [kind for kind in found[1].split("|") if kind != "None"]
        named = [_KINDS.get(kind, kind.removeprefix("Literal[").rstrip("]")) for kind in kinds]
        return f" into {' or '.join(named)}."

    return re.sub(r" into (\S+(?:\|\S+)*)\.$", words, message)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"faceloom: {message}\n")
        sys.stderr.flush()
    return code


def _unexpected(error: Exception, arguments: Sequence[str], *, verbose: bool) -> int:
    """Tell trouble of the machine plainly; of a bug of ours, say so and keep the traceback."""
    text = "".join(traceback.format_exception(error))
    if verbose:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{_place(error)}{error.strerror}", 1)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _fail("out of memory; a smaller batch_size, resolution or --device cpu helps", 1)
    kept = _keep_traceback(text, arguments)
    what = _one_line(f"{type(error).__name__}: {error}")[:300]
    return _fail(f"this is a bug in Faceloom ({what}); the traceback is in {kept}", 1)


def _place(error: OSError) -> str:
    """`path: ` of what could not be used; the folder, where only a temporary file has a name."""
    if not isinstance(error.filename, str | bytes):
        return ""
    path = Path(os.fsdecode(error.filename))
    return f"{path.parent if path.name.startswith('.tmp-') else path}: "


def _keep_traceback(text: str, arguments: Sequence[str]) -> Path | str:
    """Write the traceback below the cache folder, or the temporary one; return where."""
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
    return "no file, since none could be written (-v shows it)"


def _silence(stream: TextIO) -> None:
    """Point a broken stream at nothing, so that the interpreter's own flush does not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
