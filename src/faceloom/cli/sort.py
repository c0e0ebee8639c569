"""`faceloom sort`: order a faceset by what its faces show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    emit,
    run_stage,
)
from faceloom.core.errors import UsageError

if TYPE_CHECKING:
    from faceloom.curate.orders.ordering import SortOption


def sort(
    faceset: Annotated[
        str | None, Parameter(help="Whose faces: src, dst or a folder of faces.")
    ] = None,
    /,
    *,
    by: Annotated[
        str | None,
        Parameter(help="A method, or several: --by yaw,blur sorts by blur in groups of yaw."),
    ] = None,
    list_: Annotated[
        bool,
        Parameter(
            name="--list", negative="", show_default=False, help="List the methods, do nothing."
        ),
    ] = False,
    reverse: Annotated[
        bool, Parameter(negative="", show_default=False, help="The other way round.")
    ] = False,
    count: Annotated[
        int | None, Parameter(help="How many faces best and final keep; 2000 unless given.")
    ] = None,
    towards: Annotated[
        str | None, Parameter(help="For best: cover what this faceset (dst) needs.")
    ] = None,
    reference: Annotated[
        str | None,
        Parameter(help="For identity, outliers, best: a named person, a picture or a folder."),
    ] = None,
    trash: Annotated[
        bool | None,
        Parameter(negative="--no-trash", help="Move what is dropped to aligned_trash (default)."),
    ] = None,
    keep_names: Annotated[
        bool, Parameter(negative="", show_default=False, help="Rename nothing, only drop.")
    ] = False,
    sheet: Annotated[
        Path | None, Parameter(help="Write a picture of the first and last faces.")
    ] = None,
    list_file: Annotated[
        Path | None, Parameter(help="Write the order as a table, with tabs between.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Move and rename nothing.")
    ] = False,
    workers: Annotated[int | None, Parameter(help="Threads; one a core unless given.")] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Sort a faceset: faces are renamed 00000, 00001 … in the order asked for.

    What a method drops moves to `aligned_trash`, and nothing is deleted. `faceloom faceset undo`
    takes a sort back. Measures are taken once and kept in the faceset's index.

    **Example**

        faceloom sort src --by yaw

        faceloom sort src --by identity --reference anna.jpg --sheet anna.png

        faceloom sort src --by best --count 1500 --towards dst
    """
    if list_:
        from faceloom.stages.curate.sort_list import list_methods

        emit(list_methods(), json)
        return
    if faceset is None:
        raise UsageError("sort needs a faceset: src, dst or a folder (--list shows the methods)")
    from faceloom.curate.orders.order import parse_keys, refuse_unused
    from faceloom.stages.curate.sort import SortConfig, run

    config = build_config(
        SortConfig,
        set_,
        stage="sort",
        workspace=workspace,
        faceset=faceset,
        by=by,
        reverse=reverse or None,
        count=count,
        towards=towards,
        reference=reference,
        trash=trash,
        keep_names=keep_names or None,
        sheet=sheet,
        list_file=list_file,
        dry_run=dry_run or None,
        workers=workers,
    )
    # Of what is given here only: faceloom.toml may hold a count for the sorts that take one.
    given: dict[SortOption, object] = {"count": count, "towards": towards, "reference": reference}
    refuse_unused(parse_keys(config.by), [name for name, value in given.items() if value])
    run_stage(run, config, json=json, verbose=verbose)
