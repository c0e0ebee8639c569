"""`faceloom weights`: list, fetch or add the face networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from faceloom.cli.common import JsonOption, VerboseOption, emit, set_up_logging, write_line
from faceloom.core.errors import UsageError
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
    from faceloom.weights import owned_status, status

    states, owned = status(), owned_status()
    if json:
        for state in (*states, *owned):
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
    for own in owned:
        file = own.file_name or f"your {' or '.join(own.weight.files)}"
        write_line(
            f"{own.weight.name:{name_width}}  {own.state:7}  {'own':6}  "
            f"{own.size_bytes / 1e6:6.1f} MB  {own.weight.licence}: {own.weight.what}, {file}"
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
    file: Annotated[
        str,
        Parameter(help="A file that you have, under any name; with --as also an https address."),
    ],
    /,
    *,
    as_: Annotated[
        Literal["s3fd", "2dfan", "3dfan"] | None,
        Parameter(name="--as", help="Which network your own file is; its hash may be any."),
    ] = None,
    sha256: Annotated[
        str | None, Parameter(help="With --as: refuse the file unless it has this SHA-256.")
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take a file into the cache; its SHA-256 tells which one it is, or you do.

    S3FD and FAN cannot be fetched: add them from DFL's folder or from the face-alignment project.

    **Example**

        faceloom weights add Downloads/face_landmarker.task

        faceloom weights add DeepFaceLab/facelib/S3FD.npy --as s3fd
    """
    set_up_logging(verbose)
    if as_ is None:
        if sha256 is not None:
            raise UsageError("--sha256 goes with --as; other files are known by their hash")
        from faceloom.weights import add

        weight = add(Path(file))
        emit(_Added(weight.name, weight.file_name), json)
        return
    emit(_add_owned(file, as_, sha256), json)


def _add_owned(file: str, name: str, sha256: str | None) -> _Added:
    """Look at the user's file, fetched if it is an address, and take it into the cache."""
    from faceloom.cli.progress import console_progress
    from faceloom.detect.networks.fan import load_fan
    from faceloom.detect.networks.s3fd import load_s3fd
    from faceloom.weights import add_owned

    progress = console_progress()
    source = file if "://" in file else Path(file)
    check = load_s3fd if name == "s3fd" else load_fan
    try:
        added = add_owned(source, name, sha256=sha256, check=check, progress=progress)
    finally:
        progress.finish()
    return _Added(name, added.file_name, added.sha256)


class _Added:
    """What `add` did, for `emit`."""

    def __init__(self, name: str, file: str, sha256: str = "") -> None:
        self._name, self._file, self._sha256 = name, file, sha256

    def as_dict(self) -> dict[str, str]:
        known = {"name": self._name, "file": self._file}
        return {**known, "sha256": self._sha256} if self._sha256 else known

    def lines(self) -> list[str]:
        digest = f" (sha256 {self._sha256})" if self._sha256 else ""
        return [f"added {self._file} as {self._name}{digest}"]
