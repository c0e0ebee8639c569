"""`faceloom settings`: every setting can be found, with what its declaration says of it."""

from __future__ import annotations

import json

import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, NullProgress, UsageError
from faceloom.settings.models import MODEL_SETTINGS
from faceloom.stages.catalog import STAGES
from faceloom.stages.settings import SettingsConfig, SettingsResult, run


def ask(*words: str) -> SettingsResult:
    return run(SettingsConfig(words=words), progress=NullProgress(), cancel=Cancel())


def test_every_stage_and_model_with_every_field() -> None:
    shown = {section.name: section for section in ask().sections}
    for stage in STAGES:
        if fields := list(stage.settings().model_fields):
            assert [one.key for one in shown[stage.name].settings] == fields
    for name in MODEL_SETTINGS:
        assert shown[name].model
        fields = list(MODEL_SETTINGS[name].model_fields)
        assert [one.key for one in shown[name].settings] == fields


def test_one_setting_is_explained_in_full() -> None:
    text = "\n".join(ask("extract", "--image-size").lines())
    assert "whole number from 64 to 2048 or estimated" in text
    assert "--image-size" in text and "[extract] image_size in faceloom.toml" in text
    assert ask("EXTRACT", "image_size") == ask("extract", "image-size")
    # Without a stage: wherever it is.
    assert {one.name for one in ask("resolution").sections} >= {"SAEHD", "Quick96"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("exract", "did you mean 'extract'"),
        ("SAEDH", "did you mean 'SAEHD'"),
        ("extract face_typ", "did you mean 'face_type'"),
        ("extract face_type more", "no setting 'face_type more'"),
        ("qqq", "`faceloom settings` lists them"),
    ],
)
def test_what_was_probably_meant(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(*words.split())


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["settings", "extract", "smooth", "--json"]) == 0
    (section,) = json.loads(capsys.readouterr().out)["sections"]
    (setting,) = section["settings"]
    assert (setting["minimum"], setting["maximum"], setting["default"]) == (0, 1, 0.5)
    assert setting["flag"] == "--smooth"
