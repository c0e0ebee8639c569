"""The Python API: the stages as functions of the package, nothing heavy until one is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import faceloom
from faceloom.core import InputError
from tiny_clips import write_clip


def test_import_is_cheap() -> None:
    code = (
        "import sys, faceloom; dir(faceloom); faceloom.__version__\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode()


def test_stage_by_fields_or_by_configuration(tmp_path: Path) -> None:
    from faceloom import InspectConfig, Workspace, inspect, new

    clip = write_clip(tmp_path / "a.mp4")
    made = new(workspace=tmp_path / "cast", src=clip, dst=clip, src_rights="own", dst_rights="own")
    assert Workspace.open(made.workspace).footage("dst") == clip
    assert inspect(path=clip).credentials.state == "unsigned"
    assert inspect(InspectConfig(path=clip)).media["frames"] == 6
    assert "Look at one file" in inspect.__doc__
    with pytest.raises(InputError, match="pth"):
        inspect(pth=clip)
    with pytest.raises(TypeError, match="not both"):
        inspect(InspectConfig(path=clip), path=clip)


def test_merge_is_the_stage_and_the_package(tmp_path: Path) -> None:
    """`faceloom.compositing` names both; whichever was imported first, both uses work."""
    code = (
        "{first}\n"
        "from faceloom import FaceloomError, merge\n"
        "import faceloom.settings.merge as settings\n"
        "assert settings.MergeSettings is faceloom.compositing.MergeSettings\n"
        "try: merge(workspace='/nowhere')\n"
        "except FaceloomError as error: print(error)\n"
    )
    for first in ("import faceloom.compositing", "from faceloom import merge"):
        result = subprocess.run(
            [sys.executable, "-c", "import faceloom\n" + code.format(first=first)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        assert "/nowhere" in result.stdout


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = faceloom.nonsense
    assert {"extract", "train", "merge", "ExtractConfig", "Workspace"} <= set(dir(faceloom))
