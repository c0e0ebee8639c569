"""The reference pages say what the program says, and the guide names only what exists."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from faceloom.cli.main import OWN_COMMANDS as OWN
from faceloom.cli.main import build_app, command_words
from faceloom.stages.catalog import find_stage
from faceloom.stages.config import EncodeConfig, RunConfig
from faceloom.stages.extract.run import ExtractConfig
from faceloom.stages.merge.config import MergeConfig
from faceloom.stages.train.run import TrainConfig
from faceloom.training import first_settings, load_recipe
from faceloom.workspace.layout import create_workspace, stage_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def reference():
    path = ROOT / "scripts" / "docs_reference.py"
    spec = importlib.util.spec_from_file_location("docs_reference", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_in_step(reference):
    written = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert written == reference.settings_page(), "run python scripts/docs_reference.py"


def test_the_command_page_has_every_command_and_option(reference):
    # Not letter by letter: how help is laid out depends on the version of its library.
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for command in reference.command_names():
        options = set(re.findall(r"--[a-z][a-z-]+", reference.help_text(command.split())))
        heading = "#" * (command.count(" ") + 2)
        section = page.split(f"\n{heading} {command}\n", 1)[1].split("\n#", 1)[0]
        missing = {option for option in options if option not in section}
        assert not missing, "run python scripts/docs_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_command_lines_with_valid_settings(page, tmp_path, monkeypatch):
    """Every example up to the point where its stage would start."""
    configured = []
    for module in ("stage", *(place.split(":")[0].split(".")[-1] for place in OWN.values())):
        module = importlib.import_module(f"faceloom.cli.{module}")
        if hasattr(module, "run_stage"):
            monkeypatch.setattr(module, "run_stage", lambda run, *_, **__: configured.append(run))
    monkeypatch.chdir(tmp_path)
    for line in command_lines(page.read_text("utf-8")):
        words = shlex.split(line, comments=True)[1:]
        command = " ".join(command_words(words))
        assert command, line
        # Raises where an option, a value or a number of arguments is wrong.
        app = build_app(command.split())
        if (find_stage(command) is None or "--json" in words) or "--preview" in words:
            app.parse_args(words, print_error=False, exit_on_error=False)
        else:
            configured.clear()
            app(words)
            assert configured or "--help" in words, line


def command_lines(text):
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.S):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line for line in lines if line.split()[:1] == ["faceloom"])


def test_examples_of_the_settings_file_are_valid(tmp_path):
    stages = {"extract": ExtractConfig, "train": TrainConfig, "merge": MergeConfig}
    stages |= {"encode": EncodeConfig, "run": RunConfig}
    pages = "\n".join(page.read_text("utf-8") for page in PAGES)
    blocks = re.findall(r"```toml\n(.*?)```", pages, re.S)
    assert blocks
    for number, block in enumerate(blocks):
        if "[[stages]]" in block:
            recipe = tmp_path / f"recipe{number}.toml"
            recipe.write_text(block, "utf-8")
            assert load_recipe(str(recipe)).recipe.stages
            continue
        create_workspace(tmp_path).file.write_text(block, "utf-8")
        for stage, kind in stages.items():
            given = {"side": "src"} if stage == "extract" else {}
            config = stage_config(kind, stage, workspace=tmp_path, **given)
            if isinstance(config, TrainConfig):
                first_settings(config.model or "SAEHD", config.settings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), target
