"""`faceloom faceset pack` and `unpack`: a faceset in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def pack(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    format_: Annotated[
        Literal["pak", "zip"] | None,
        Parameter(
            name="--format",
            help="pak (the default): faceset.pak; zip: a zip file beside the folder.",
        ),
    ] = None,
    persons: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Pack sub-folders too, each as one person."
        ),
    ] = False,
    remove: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Delete the loose files, once the pack holds each byte for byte.",
        ),
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put the faces of a faceset into one file: DeepFaceLab's `faceset.pak`, or a plain zip file.

    Training and merging open a packed faceset as it is. Loose files stay unless you `--remove`
    them, and stand before packed ones of the same name; packing again adds what is new.

    **Example**

        faceloom faceset pack src --remove
    """
    from faceloom.stages.faceset.pack import PackConfig, run

    config = build_config(
        PackConfig,
        workspace=workspace,
        faceset=faceset,
        format=format_,
        persons=persons,
        remove=remove,
    )
    run_stage(run, config, json=json, verbose=verbose)


def unpack(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    archive: Annotated[
        Path | None, Parameter(help="A pack or zip file from elsewhere; else faceset.pak there.")
    ] = None,
    keep: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Leave the folder's faceset.pak there."),
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the faces of a packed faceset files again.

    Nothing is overwritten. The folder's pack is deleted when every face has been written and
    compared, unless you `--keep` it; an archive from elsewhere always stays.

    **Example**

        faceloom faceset unpack src

        faceloom faceset unpack dst --archive downloads/faces.zip
    """
    from faceloom.stages.faceset.pack import UnpackConfig, run_unpack

    config = build_config(
        UnpackConfig, workspace=workspace, faceset=faceset, archive=archive, keep=keep
    )
    run_stage(run_unpack, config, json=json, verbose=verbose)
