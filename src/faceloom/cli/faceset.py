"""`faceloom faceset`: the commands for whole facesets."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from faceloom.cli.common import (
    build_config,
    cancel_on_interrupt,
    run_stage,
    set_up_logging,
    to_json,
    write_line,
)
from faceloom.cli.progress import console_progress
from faceloom.cli.stage import add_stages, with_signature
from faceloom.core.events import Cancel
from faceloom.stages.faceset.config import ListConfig

app = App(name="faceset", help_format="markdown")
app.help = """Show what is in a faceset, and work on its files.

A faceset is `src`, `dst`, or the path of any folder of faces.

**Example**

    faceloom faceset list src

    faceloom faceset undo src
"""

_METADATA = """Save the metadata of faces before you edit the pictures elsewhere, and restore it.

Most picture editors drop metadata they do not know, and a face without it is only a picture.
"""

_PEOPLE = """List, add and forget the people a workspace knows by name.

`faceloom cluster --name` learns them from a faceset, `add` from pictures.

**Example**

    faceloom faceset people list
"""


def _list(
    *, json: bool = False, verbose: bool = False, set_: tuple[str, ...] = (), **given: Any
) -> Any:
    from faceloom.stages.faceset.list import list_faces, run

    config = build_config(ListConfig, set_, **given)
    if not json:
        return run_stage(run, config, verbose=verbose)
    # One object per face and line, as they are read, rather than the totals.
    set_up_logging(verbose)
    progress, cancel = console_progress(), Cancel()
    with cancel_on_interrupt(cancel, progress):
        try:
            for face in list_faces(config, progress=progress, cancel=cancel):
                write_line(to_json(face))
        finally:
            progress.finish()
    return None


add_stages(
    app,
    "faceset",
    help={"metadata": _METADATA, "people": _PEOPLE},
    commands={"list": with_signature(_list, ListConfig)},
)
