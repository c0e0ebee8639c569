"""Every stage keeps the contract that the command line, the API and the docs rely on."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections import Counter

import pytest

from faceloom.core.config import option_of
from faceloom.core.result import Result
from faceloom.stages.catalog import GROUPS, STAGES, Stage, commands_of, find_stage, stages_of

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def test_configurations_are_light() -> None:
    code = (
        "import sys; from faceloom.stages.catalog import STAGES\n"
        "assert 'pydantic' not in sys.modules\n"
        "for stage in STAGES:\n"
        "    stage.settings()\n"
        "    heavy = {'torch', 'cv2', 'av', 'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "    assert not heavy, (stage.name, heavy)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@every_stage
def test_every_setting_has_help(stage: Stage) -> None:
    kind = stage.settings()
    assert "**Example**" in (kind.__doc__ or ""), "a command's help shows an example"
    assert f"faceloom {stage.name}" in (kind.__doc__ or "")
    for name, field in kind.model_fields.items():
        assert field.description, name
        if field.is_required():
            assert not option_of(field).hidden, name


@every_stage
def test_the_stage_has_the_contract(stage: Stage) -> None:
    parameters = inspect.signature(stage.function()).parameters
    assert list(parameters) == ["config", "progress", "cancel"]
    for result in stage.results():
        assert issubclass(result, Result) and dataclasses.is_dataclass(result)
        assert result.__doc__


@every_stage
def test_the_configuration_is_named_after_the_stage(stage: Stage) -> None:
    words = stage.name.replace(" ", "-").split("-")
    assert stage.settings().__name__ == "".join(word.title() for word in words) + "Config"


@every_stage
def test_a_line_for_the_list_of_commands(stage: Stage) -> None:
    assert stage.summary.endswith(".") and stage.summary[0].isupper()
    assert "\n" not in stage.summary and len(stage.summary) < 80
    *outer, _ = stage.name.split(" ")
    for length in range(1, len(outer) + 1):
        assert " ".join(outer[:length]) in GROUPS


def test_names_are_unique() -> None:
    names = [stage.name for stage in STAGES]
    classes = {kind for one in STAGES for kind in (one.settings(), *one.results())}
    for listed in (names, [kind.__name__ for kind in classes]):
        assert [name for name, count in Counter(listed).items() if count > 1] == []


def test_lookups() -> None:
    assert find_stage("faceset pack") in stages_of("faceset")
    assert find_stage("faceset") is None
    assert {"extract", "faceset", "model"} <= set(commands_of())
    assert commands_of("faceset")["metadata"] == GROUPS["faceset metadata"].summary
    assert set(commands_of("faceset metadata")) == {"save", "restore"}
    assert commands_of("extract") == {}
