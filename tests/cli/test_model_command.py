"""`faceloom model` from outside: exit codes, one line a failure, JSON that can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faceloom.cli.main import run_command
from small_models import save_small


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
    assert answer(capsys, workspace, "snapshot", "main", "--label", "first")["iteration"] == 4
    assert answer(capsys, workspace, "rename", "main", "anna")["new"] == "anna_SAEHD"
    assert answer(capsys, workspace, "copy", "anna", "ben")["iteration"] == 4
    reset = answer(capsys, workspace, "reset", "anna", "inter", "decoder_src")
    assert reset["networks"] == ["inter", "decoder_src"]
    kept = answer(capsys, workspace, "snapshots", "anna")["kept"]
    assert kept == answer(capsys, workspace, "snapshots", "--name", "anna")["kept"]
    assert [entry["name"] for entry in kept] == [reset["snapshot"], "first"]
    assert answer(capsys, workspace, "backup", "--name", "anna")["backup"] == "00000004"
    assert len(answer(capsys, workspace, "backups", "--name", "anna")["kept"]) == 1
    assert answer(capsys, workspace, "restore", "anna", "first")["kind"] == "snapshot"
    assert answer(capsys, workspace, "forget", "first", "--name", "anna")["deleted"] == "first"
    assert answer(capsys, workspace, "delete", "ben", "--yes")["deleted"] == "ben_SAEHD"
    assert run_command(["model", "summary", "anna_SAEHD", "-w", str(workspace)]) == 0
    shown = capsys.readouterr().out
    assert "= Model Summary =" in shown
    assert "restored snapshot 'first'" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["summary", "nobody"], 1, "no trained model 'nobody' in"),
        (["delete", "main"], 2, "add --yes"),
        (["delete"], 2, "NAME is missing"),
        (["rename", "--name", "main"], 2, "NEW_NAME is missing"),
        (["restore"], 2, "STATE is missing"),
        (["snapshot", "main"], 2, "label"),
        (["backup", "main", "second"], 2, "second"),
        (["rename", "main", "a/b"], 1, "model name 'a/b'"),
        (["restore", "7"], 1, "no snapshot or backup '7'"),
        (["reset", "inter_AB"], 1, "no network 'inter_AB'; its networks: encoder, inter"),
        (["reset"], 1, "names of the networks"),
        (["snapshot", "--label", "a/b"], 1, "snapshot label 'a/b'"),
        (["summary", "main", "--class", "H64"], 2, "--class: must be SAEHD, AMP, Quick96 or XSeg"),
        (["timelapse"], 1, "no rights record"),
        (["timelapse", "--preview", "both"], 2, "--preview: must be plain, masked or morph"),
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


def test_the_model_is_named_by_its_place_or_by_a_flag(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every verb takes NAME and `--name NAME`; one word that must be something else is that."""
    for name in ("a_SAEHD", "b_SAEHD"):
        save_small(workspace / "model" / name, 2)
    for verb, *rest in (
        ["summary"],
        ["snapshot", "--label", "first"],
        ["snapshots"],
        ["backup"],
        ["backups"],
        ["restore", "first"],
        ["reset", "inter"],
        ["forget", "first"],
    ):
        for words in (["a", *rest], [*rest, "--name", "a_saehd"]):
            if words[0] == "a" or verb != "forget":
                made = answer(capsys, workspace, verb, *words)
                assert made.get("model", made.get("name", "")).removesuffix("_SAEHD") == "a"
    named = ("--class", "saehd", "--name", "b", "--state")
    answer(capsys, workspace, "snapshot", "b", "--label", "x")
    assert answer(capsys, workspace, "forget", *named, "x")["deleted"] == "x"
    assert answer(capsys, workspace, "rename", "--name", "b", "--as", "c")["new"] == "c_SAEHD"
    assert answer(capsys, workspace, "copy", "d", "--name", "c")["new"] == "d_SAEHD"
    assert answer(capsys, workspace, "delete", "--name", "d", "--yes")["deleted"] == "d_SAEHD"
    answer(capsys, workspace, "delete", "c", "--yes")
    # With one model a single word can only be the state, the name or the network.
    answer(capsys, workspace, "snapshot", "--label", "y")
    assert answer(capsys, workspace, "restore", "y")["restored"] == "y"
    assert answer(capsys, workspace, "reset", "inter", "encoder")["networks"] == [
        *("inter", "encoder"),
    ]
    assert answer(capsys, workspace, "rename", "z")["new"] == "z_SAEHD"
