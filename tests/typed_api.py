"""What a type checker must know of the Python API; checked by basedpyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from pathlib import Path
from typing import assert_type

import faceloom
from faceloom import (
    Cancel,
    ExtractConfig,
    ExtractResult,
    FaceloomError,
    FacesetPackResult,
    Workspace,
    extract,
    faceset_pack,
    train,
)

try:
    found = extract(workspace="cast", side="src", face_type="head", cancel=Cancel())
    assert_type(found, ExtractResult)
    assert_type(found.faces, int)
    assert_type(extract(ExtractConfig(workspace=Path("cast"), side="dst")), ExtractResult)
    assert_type(train(workspace="cast", settings={"resolution": 96}).iteration, int)
    assert_type(faceset_pack(faceset="src"), FacesetPackResult)
    assert_type(Workspace.open("cast").folder, Path)
except FaceloomError as error:
    assert_type(str(error), str)

extract(workspace="cast", side="left")  # pyright: ignore[reportArgumentType]
extract(workspace="cast", side="src", siez=3)  # pyright: ignore[reportCallIssue]
extract(workspace="cast")  # pyright: ignore[reportCallIssue]
print(faceloom.extrct)  # pyright: ignore[reportAttributeAccessIssue]
