"""Faceloom: train a face swap for exactly one consenting pair, and label the result.

The stages of the command line as functions:

    from faceloom import Workspace, extract, train, merge
    workspace = Workspace.open("cast")
    extract(ExtractConfig(workspace=workspace.folder, side="src"))

Every name is loaded when first used, so that `import faceloom` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
