"""The Python API: the stages as functions of the package, nothing heavy until one is used."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

import faceloom
from faceloom.core import InputError
from faceloom.stages.catalog import STAGES
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
    assert inspect.__doc__ == InspectConfig.__doc__
    with pytest.raises(InputError, match="pth"):
        inspect(pth=clip)
    with pytest.raises(TypeError, match="not both"):
        inspect(InspectConfig(path=clip), path=clip)


@pytest.fixture(scope="module")
def api_stub():
    path = Path(__file__).resolve().parent.parent / "scripts" / "api_stub.py"
    spec = importlib.util.spec_from_file_location("api_stub", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_types_are_in_step_with_the_catalog(api_stub) -> None:
    written = api_stub.STUB.read_text("utf-8")
    assert written == api_stub.stub(), "run python scripts/api_stub.py"
    assert api_stub.STUB.with_name("py.typed").is_file()


def test_every_typed_name_is_there(api_stub) -> None:
    tree = ast.parse(api_stub.STUB.read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert set(dir(faceloom)) - {"__version__"} <= names
    for name in names:
        assert getattr(faceloom, name).__name__ == name


def test_the_page_names_all_functions_and_what_is_no_configuration_or_result(api_stub) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text("utf-8")
    made = {kind.__name__ for stage in STAGES for kind in (stage.settings(), *stage.results())}
    shown = set(dir(faceloom)) - made - {"__version__"}
    assert not {name for name in shown if f"`{name}`" not in page and f" {name}" not in page}


def test_signatures_say_what_may_be_given() -> None:
    """The same fields, in the same order, with the same defaults as the configuration."""
    for stage in STAGES:
        kind = stage.settings()
        parameters = dict(signature(getattr(faceloom, stage.python_name)).parameters)
        assert list(parameters) == ["config", *kind.model_fields, "progress", "cancel"]
        required = {name for name, field in kind.model_fields.items() if field.is_required()}
        assert {n for n, one in parameters.items() if one.default is one.empty} == required


def test_names_do_not_hide_packages(tmp_path: Path) -> None:
    """A function of the API must not have the name of a package, which would replace it."""
    packages = {one.name for one in pkgutil.iter_modules(faceloom.__path__)}
    assert not packages & set(dir(faceloom))


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = faceloom.nonsense
    assert {"extract", "merge", "ExtractConfig", "Workspace"} <= set(dir(faceloom))
