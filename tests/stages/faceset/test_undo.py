"""The command that a tool names for taking its work back, typed as it stands, does that."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from faceloom.cli.main import run_command
from synthetic_faces import write_faceset

pytestmark = pytest.mark.skipif("os.name == 'nt'", reason="the words are split as a POSIX shell")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.png")
        if "resized" not in path.parent.name  # the new pictures stay beside
    }


@pytest.mark.parametrize(
    "tool",
    [
        ["sort", "--by", "yaw"],
        ["faceset", "rename", "--prefix", "new_"],
        ["faceset", "resize", "--size", "64"],
        ["faceset", "tracks", "--drop", "none"],
    ],
)
@pytest.mark.parametrize("faceset", ["src", "it's all here/aligned"])
def test_what_is_told_to_type_takes_it_back(
    tool: list[str],
    faceset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = tmp_path / "my cast"
    (workspace / "data_dst").mkdir(parents=True)
    folder = workspace / "data_src" / "aligned" if faceset == "src" else tmp_path / faceset
    write_faceset(folder, 4, size=96)
    before = contents(folder.parent)
    words = [*tool, faceset, *(["-w", "my cast"] if faceset == "src" else [])]
    assert run_command(words) == 0
    assert contents(folder.parent) != before
    told = [line for line in capsys.readouterr().out.splitlines() if "undo" in line]
    (command,) = [line.split("`")[1] for line in told]
    assert command.startswith("faceloom ")
    assert run_command(shlex.split(command)[1:]) == 0
    assert contents(folder.parent) == before
