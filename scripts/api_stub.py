"""Write src/faceloom/__init__.pyi, the types of the Python API, from the catalog of stages.

python scripts/api_stub.py          # writes the file
python scripts/api_stub.py --check  # exit code 1 when it is out of step
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import faceloom
from faceloom.core.config import Settings
from faceloom.stages.catalog import STAGES, Stage

STUB = Path(faceloom.__file__).with_suffix(".pyi")
HEAD = """\
# Written by scripts/api_stub.py from the catalog of stages; do not edit.
from pathlib import Path
from typing import Any, Literal, overload

"""
END = """
_Path = str | Path

__version__: str
"""


def stub() -> str:
    imports = {(home, name) for name, home in faceloom.HOMES.items()}
    for stage in STAGES:
        for kind in (stage.settings(), *stage.results()):
            imports.add((kind.__module__, kind.__name__))
    parts = [HEAD, *(f"from {home} import {name} as {name}\n" for home, name in sorted(imports))]
    for kind in sorted(nested(), key=lambda one: one.__name__):
        # Not part of the API: a field's own class.
        parts.append(f"from {kind.__module__} import {kind.__name__}\n")
    parts.append(END)
    parts += [function(stage) for stage in sorted(STAGES, key=lambda one: one.python_name)]
    return "".join(parts)


def nested() -> set[type[Settings]]:
    """Configurations that are the value of a field."""
    return {
        part
        for stage in STAGES
        for field in stage.settings().model_fields.values()
        for part in (field.annotation, *get_args(field.annotation))
        if isinstance(part, type) and issubclass(part, Settings)
    }


def function(stage: Stage) -> str:
    """Two signatures: the configuration, or its fields."""
    name, kind = stage.python_name, stage.settings()
    result = " | ".join(one.__name__ for one in stage.results())
    summary = " ".join((kind.__doc__ or stage.summary).split("\n\n")[0].split())
    control = "progress: Progress | None = None, cancel: Cancel | None = None"
    fields = "".join(f"    {field},\n" for field in keywords(kind))
    return (
        f"\n@overload\ndef {name}(\n    config: {kind.__name__}, *, {control}\n) -> {result}:\n"
        f'    """{summary}"""\n\n'
        f"@overload\ndef {name}(\n    *,\n{fields}    progress: Progress | None = None,\n"
        f"    cancel: Cancel | None = None,\n) -> {result}: ...\n"
    )


def keywords(kind: type[Settings]) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        default = "" if field.is_required() else " = ..."
        yield f"{name}: {written(field.annotation)}{default}"


def written(annotation: Any) -> str:
    """A field's type as a caller may give it: text for a path, a list for a tuple."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return written(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(written(one) for one in arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is tuple and arguments[-1] is Ellipsis:
        item = written(arguments[0])
        return f"tuple[{item}, ...] | list[{item}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(written, arguments))}]"
    if annotation is Path:
        return "_Path"
    return {NoneType: "None", Any: "Any"}.get(annotation) or annotation.__name__


def main() -> None:
    text = stub()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text, "utf-8")
    elif not STUB.is_file() or STUB.read_text("utf-8") != text:
        print(f"{STUB}: out of step; run python scripts/api_stub.py")
        sys.exit(1)


if __name__ == "__main__":
    main()
