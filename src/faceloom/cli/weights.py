"""`faceloom weights`: list, fetch or add the face networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from faceloom.cli.common import JsonOption, VerboseOption, emit, set_up_logging, write_line
from faceloom.weights import WEIGHTS

app = App(name="weights", help_format="markdown")
app.help = """List, fetch or add the pretrained face networks.

They are fetched by themselves when a stage first needs them; `fetch` gets them ahead of time, and
`add` takes a file on a machine without a network. The hash decides what a file is.

**Example**

    faceloom weights fetch
"""


@app.command(name="list")
def list_(*, json: JsonOption = False) -> None:
    """Show every known file: its state, size, licence and what it is.

    **Example**

        faceloom weights list
    """
    from faceloom.weights import status

    states = status()
    if json:
        for state in states:
            emit(state, json=True)
        return
    name_width = max(len(state.weight.name) for state in states)
    for state in states:
        weight = state.weight
        needed = "needed" if weight.needed else ""
        write_line(
            f"{weight.name:{name_width}}  {state.state:7}  {needed:6}  "
            f"{weight.size_bytes / 1e6:6.1f} MB  {weight.licence}: {weight.what}"
        )


@app.command
def fetch(
    *names: Annotated[str, Parameter(help="Which; those that the stages need unless given.")],
    all_: Annotated[
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help=f"Every known file ({sum(w.size_bytes for w in WEIGHTS.values()) / 1e6:.0f} MB).",
        ),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Download files into the cache, so that everything works offline afterwards.

    **Example**

        faceloom weights fetch

        faceloom weights fetch yunet sface
    """
    from faceloom.cli.progress import console_progress
    from faceloom.weights import fetch, needed_weights

    set_up_logging(verbose)
    chosen: list[str] = list(names) or (list(WEIGHTS) if all_ else needed_weights())
    progress = console_progress()
    try:
        paths = [fetch(name, progress=progress) for name in chosen]
    finally:
        progress.finish()
    for name, path in zip(chosen, paths, strict=True):
        write_line(f"{name}: {path}")


@app.command
def add(
    file: Annotated[Path, Parameter(help="A file that you have, under any name.")],
    /,
    *,
    json: JsonOption = False,
) -> None:
    """Take a file into the cache; its SHA-256 tells which one it is.

    **Example**

        faceloom weights add Downloads/face_landmarker.task
    """
    from faceloom.weights import add

    emit(_Added(add(file)), json)


class _Added:
    """What `add` did, for `emit`."""

    def __init__(self, weight: Any) -> None:
        self._weight = weight

    def as_dict(self) -> dict[str, Any]:
        return {"name": self._weight.name, "file": self._weight.file_name}

    def lines(self) -> list[str]:
        return [f"added {self._weight.file_name} as {self._weight.name}"]
