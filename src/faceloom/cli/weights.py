"""`faceloom weights`: the stages that list, download and add network files."""

from __future__ import annotations

from cyclopts import App

from faceloom.cli.stage import add_stages

app = App(
    name="weights",
    help_format="markdown",
    help="""List, download or add the pretrained face networks.

Stages download them when they first need them. `fetch` downloads them in advance, and `add` takes
a file on a machine without network access. A file is identified by its hash.

**Example**

    faceloom weights fetch
""",
)
add_stages(app, "weights")
