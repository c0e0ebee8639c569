"""What `faceloom train` makes of its words, without a subprocess for each."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from faceloom.checkpoints import ModelState
from faceloom.cli.main import run_command
from faceloom.models import MODELS
from faceloom.settings.models import ModelClassName
from faceloom.stages.train.config import TrainConfig
from faceloom.stages.train.run import chosen_folder
from synthetic_faces import write_faceset

SMALL = ("resolution=64", "archi=df-ud", "ae_dims=32", "e_dims=16", "d_dims=16", "batch_size=1")
QUIET = ("--device", "cpu", "--precision", "fp32", "--threads", "1")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for side, hue in (("src", 12), ("dst", 99)):
        write_faceset(tmp_path / f"data_{side}" / "aligned", 4, size=64, hue=hue)
    return tmp_path


def train(workspace: Path, *words: str) -> int:
    small = [f"--set={text}" for text in SMALL]
    return run_command(["train", *words, "-w", str(workspace), *QUIET, *small])


def test_a_plan_for_no_card(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(workspace, "--plan", "--card", "Voodoo 2") == 1
    assert "Voodoo 2" in capsys.readouterr().err
    assert not (workspace / "model").exists()


def test_preview_faces_by_name(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("--set=preview_src=00001_0.png,00003_0", "--set", "preview_dst=00002_0.png")
    assert train(workspace, "--iterations", "1", *names) == 0
    capsys.readouterr()
    assert train(workspace, "--iterations", "2", "--set", "preview_src=00001_0,anna") == 1
    assert "'anna'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch", "lots"), "batch: must be a number of faces, or auto (got 'lots')"),
        (("--recipe-scale", "0.1"), "--recipe-scale needs --recipe"),
    ],
)
def test_wrong_words(
    workspace: Path, words: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(workspace, *words, "--iterations", "1") == 2
    assert message in capsys.readouterr().err
    assert not (workspace / "model").exists()


def test_the_model_that_is_there_needs_no_class(tmp_path: Path) -> None:
    def chosen(name: str | None = None, model: str | None = None) -> str:
        return chosen_folder(tmp_path, TrainConfig(name=name, model=model)).path.name

    def make(name: str) -> None:
        kind = name.partition("_")[2]
        state = ModelState(
            class_name=kind,
            settings={},
            iteration=1,
            seed=0,
            folder="state",
            files={},
            optimizers={},
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(state.model_dump_json())

    assert chosen() == "main_SAEHD"
    make("masks_XSeg")
    assert chosen() == "main_SAEHD"
    make("anna_AMP")
    assert chosen() == "anna_AMP"
    assert chosen(name="masks") == "masks_XSeg"
    assert chosen(name="anna") == "anna_AMP"
    assert chosen(name="ben") == "ben_SAEHD"
    assert chosen(name="anna", model="SAEHD") == "anna_SAEHD"
    make("first_Quick96")
    assert chosen() == "main_SAEHD"


def test_commands_know_every_class() -> None:
    assert set(get_args(ModelClassName)) == set(MODELS)


def test_model_classes_in_any_case(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [f"--set={text}" for text in SMALL]
    words = ["saehd", "-w", str(workspace), "--card", "24 GB", *small]
    assert run_command(["train", "--plan", *words]) == 0
    assert run_command(["plan", *words]) == 0
    both = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert both[: len(both) // 2] == both[len(both) // 2 :]
    assert both[0].startswith("SAEHD 64 px, batch_size 1")
    assert run_command(["plan", "sahed", "-w", str(workspace)]) == 2
    assert "did you mean 'SAEHD'" in capsys.readouterr().err


def test_a_plan_reads_the_table_of_train(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "faceloom.toml").write_text(
        "[train]\nsave_every_s = 60\niterations = 1000\n[train.settings]\nresolution = 96\n"
    )
    assert run_command(["plan", "-w", str(workspace), "--card", "rtx 4090"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SAEHD 96 px")
    assert any(line.startswith("1000 iterations: about") for line in lines)
