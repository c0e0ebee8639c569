"""`faceloom faceset metadata`: save what faces carry, and put it back after editing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)

app = App(name="metadata", help_format="markdown")
app.help = """Save the metadata of faces before you edit the pictures elsewhere, and restore it.

Most picture editors drop what they do not know, and a face without its metadata is only a picture.
"""


def save(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    format_: Annotated[
        Literal["both", "faceloom", "dfl"] | None,
        Parameter(
            name="--format",
            help="faceloom: faceloom_meta.jsonl; dfl: meta.dat; both unless given.",
        ),
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Save the metadata of every loose face, in the faceset's folder.

    **Example**

        faceloom faceset metadata save src
    """
    from faceloom.stages.faceset.metadata import SaveConfig, run_save

    config = build_config(SaveConfig, workspace=workspace, faceset=faceset, format=format_)
    run_stage(run_save, config, json=json, verbose=verbose)


def restore(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    file: Annotated[
        Path | None, Parameter(help="The saved metadata; else what lies in the folder.")
    ] = None,
    keep_size: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Leave resized pictures as they are; landmarks and polygons follow.",
        ),
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put saved metadata back into edited pictures, found by name, or by stem in another format.

    A picture that was resized is brought back to its size, unless you `--keep-size`.

    **Example**

        faceloom faceset metadata restore src --keep-size
    """
    from faceloom.stages.faceset.metadata import RestoreConfig, run_restore

    config = build_config(
        RestoreConfig, workspace=workspace, faceset=faceset, file=file, keep_size=keep_size
    )
    run_stage(run_restore, config, json=json, verbose=verbose)


app.command(save)
app.command(restore)
