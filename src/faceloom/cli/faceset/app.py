"""`faceloom faceset`: what is in a faceset, and its files: packs, metadata, names, pictures."""

from __future__ import annotations

from importlib import import_module

from cyclopts import App

app = App(name="faceset", help_format="markdown")
app.help = """What is in a faceset, and what can be done with its files.

A faceset is called `src` or `dst`, or by the path of any folder of faces.

**Example**

    faceloom faceset list src

    faceloom faceset undo src
"""

SUBCOMMANDS: dict[str, str] = {
    "list": "faceloom.cli.faceset.list:list_",
    "rename": "faceloom.cli.faceset.names:rename",
    "undo": "faceloom.cli.faceset.names:undo",
    "masks": "faceloom.cli.faceset.masks:masks",
    "debug": "faceloom.cli.faceset.masks:debug",
    "pack": "faceloom.cli.faceset.pack:pack",
    "unpack": "faceloom.cli.faceset.pack:unpack",
    "metadata": "faceloom.cli.faceset.metadata:app",
    "import": "faceloom.cli.faceset.transfer:import_",
    "export": "faceloom.cli.faceset.transfer:export",
    "resize": "faceloom.cli.faceset.resize:resize",
    "tracks": "faceloom.cli.faceset.tracks:tracks",
    "enhance": "faceloom.cli.faceset.enhance:enhance",
    "people": "faceloom.cli.faceset.people:app",
}
"""Name → where its function lives."""

for _name, _place in SUBCOMMANDS.items():
    # Loaded at once, and light: only so does the overview say what each is for.
    _module, _, _attribute = _place.partition(":")
    app.command(getattr(import_module(_module), _attribute), name=_name)
