"""`faceloom model` from outside: exit codes, one line a failure, JSON that can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faceloom.cli.main import COMMANDS, run_command
from small_models import save_small


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "model", ("faceloom.cli.model.app:app", "Models."))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("data_src", "data_dst", "model"):
        (tmp_path / name).mkdir()
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], workspace: Path, *arguments: str) -> Any:
    assert run_command(["model", *arguments, "-w", str(workspace), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_life(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_small(workspace / "model" / "main_SAEHD", 4)
    (listed,) = answer(capsys, workspace, "list")["models"]
    assert (listed["name"], listed["class_name"], listed["iteration"]) == ("main", "SAEHD", 4)
    assert answer(capsys, workspace, "summary")["settings"]["ae_dims"] == 32
    assert answer(capsys, workspace, "snapshot", "first")["iteration"] == 4
    assert answer(capsys, workspace, "rename", "main", "anna")["new"] == "anna_SAEHD"
    assert answer(capsys, workspace, "copy", "anna", "ben")["iteration"] == 4
    reset = answer(capsys, workspace, "reset", "inter", "decoder_src", "--name", "anna")
    assert reset["networks"] == ["inter", "decoder_src"]
    kept = answer(capsys, workspace, "snapshots", "--name", "anna")["kept"]
    assert [entry["name"] for entry in kept] == [reset["snapshot"], "first"]
    assert answer(capsys, workspace, "backup", "--name", "anna")["backup"] == "00000004"
    assert len(answer(capsys, workspace, "backups", "--name", "anna")["kept"]) == 1
    assert answer(capsys, workspace, "restore", "first", "--name", "anna")["kind"] == "snapshot"
    assert answer(capsys, workspace, "forget", "first", "--name", "anna")["deleted"] == "first"
    assert answer(capsys, workspace, "delete", "ben", "--yes")["deleted"] == "ben_SAEHD"
    assert run_command(["model", "summary", "anna_SAEHD", "-w", str(workspace)]) == 0
    shown = capsys.readouterr().out
    assert "= Model Summary =" in shown
    assert "went back to snapshot 'first'" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["summary", "nobody"], 1, "no trained model 'nobody' here"),
        (["delete", "main"], 2, "add --yes"),
        (["delete"], 2, "NAME"),
        (["rename", "main", "a/b"], 1, "model name 'a/b'"),
        (["restore", "7"], 1, "no snapshot or backup '7'"),
        (["reset", "inter_AB"], 1, "no network 'inter_AB', but encoder, inter"),
        (["reset"], 1, "name the networks"),
        (["snapshot", "a/b"], 1, "snapshot name 'a/b'"),
        (["summary", "main", "--class", "H64"], 1, "unknown model class 'H64'"),
        (["timelapse"], 1, "no rights record"),
        (["timelapse", "--masked", "--morph"], 2, "choose one"),
        (["timelapse", "--fps", "0"], 2, "fps"),
    ],
)
def test_failures_are_one_line(
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    save_small(workspace / "model" / "main_SAEHD")
    assert run_command(["model", *arguments, "-w", str(workspace)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert message in captured.err


def test_damage_is_one_line_and_listed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_small(workspace / "model" / "main_SAEHD")
    folder.state_file.write_text("{")
    assert run_command(["model", "summary", "-w", str(workspace)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert run_command(["model", "list", "-w", str(workspace)]) == 0
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        *("list", "summary", "rename", "copy", "delete", "snapshot", "snapshots", "backup"),
        *("backups", "restore", "forget", "reset", "timelapse"),
    ],
)
def test_every_subcommand_shows_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command(["model", name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"faceloom model {name}" in shown
