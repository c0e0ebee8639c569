"""`faceloom faceset people`: whom a workspace knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    emit,
    run_stage,
)

app = App(name="people", help_format="markdown")
app.help = """List, add and forget the people whom a workspace knows by name.

`faceloom cluster --name` names them from a faceset; `add` from pictures.

**Example**

    faceloom faceset people list
"""


@app.command(name="list")
def list_(*, workspace: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """List the people, and what each is known by.

    **Example**

        faceloom faceset people list
    """
    from faceloom.stages.faceset.people import list_people

    emit(list_people(workspace), json)


@app.command
def add(
    name: Annotated[str, Parameter(help="What the person is called.")],
    pictures: Annotated[Path, Parameter(help="A picture, or a folder of pictures or faces.")],
    /,
    *,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Know a person by a picture or a folder of pictures; replaces what was known by that name.

    **Example**

        faceloom faceset people add anna portraits/anna
    """
    from faceloom.stages.faceset.people import PeopleAddConfig, run

    config = build_config(PeopleAddConfig, workspace=workspace, name=name, pictures=pictures)
    run_stage(run, config, json=json, verbose=verbose)


@app.command
def forget(
    name: Annotated[str, Parameter(help="Whom.")],
    /,
    *,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Delete what is known of a person. Their faces stay as they are.

    **Example**

        faceloom faceset people forget anna
    """
    from faceloom.stages.faceset.people import forget

    emit(forget(workspace, name), json)
