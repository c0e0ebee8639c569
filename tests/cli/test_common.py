"""What the commands share: progress, configuration, results."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from pydantic import Field, model_validator

from faceloom.cli.common import build_config, emit, run_stage
from faceloom.cli.progress import (
    BarProgress,
    PlainProgress,
    console_progress,
    format_duration,
    format_rate,
)
from faceloom.core import FaceloomError, InputError, Settings, UsageError
from faceloom.core.config import validate
from faceloom.core.result import Result


class Config(Settings):
    workspace: Path = Path()
    size: int = 1
    word: str = "none"


def test_config_sources_in_order(tmp_path: Path) -> None:
    (tmp_path / "faceloom.toml").write_text("[stage]\nsize = 2\nword = 'file'\n")
    read = build_config(Config, stage="stage", workspace=tmp_path, size=None)
    assert (read.size, read.word) == (2, "file")
    assert build_config(Config, stage="stage", workspace=tmp_path, size=3).size == 3
    both = build_config(Config, ["size=4"], stage="stage", workspace=tmp_path, size=3)
    assert both.size == 4
    assert build_config(Config, workspace=tmp_path).size == 1
    for overrides in (["size=x"], ["nope=1"], ["size"]):
        with pytest.raises(UsageError) as caught:
            build_config(Config, overrides, stage="stage", workspace=tmp_path)
        assert "\n" not in str(caught.value)
    (tmp_path / "faceloom.toml").write_text("[stage]\nsiez = 2\n")
    with pytest.raises(InputError, match="siez"):
        build_config(Config, stage="stage", workspace=tmp_path, size="x")


class Checked(Settings):
    size: int = 1
    table: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size == 7:
            raise ValueError("7 is unlucky;\n  take 8")
        return self


def test_a_wrong_value_is_reported_in_one_short_line() -> None:
    def reason(values: dict[str, Any]) -> str:
        with pytest.raises(InputError) as caught:
            validate(Checked, values, where="here")
        return str(caught.value)

    assert reason({"size": 7, "table": {"a": 1}}) == "here: 7 is unlucky; take 8"
    assert reason({"sise": 1}) == "here: unknown setting 'sise'; did you mean 'size'?"
    assert reason({"size": "x"}).endswith("size: must be a whole number (got 'x')")
    assert len(reason({"size": "x" * 10_000})) < 200
    assert len(reason({"x" * 10_000: 1})) < 200
    assert reason({"table": 3}).startswith("here: table: ")


@dataclass(frozen=True)
class Made(Result):
    values: dict[str, Any]


def test_json_is_always_valid(capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "path": Path("a/é.mp4"),
        "time": Fraction(3, 2),
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "array": np.arange(3, dtype=np.float32),
        "nested": [Config(), {"k": (1, None, True)}],
        "data": Made({"x": 1}),
    }
    emit(Made(values), json=True)
    assert json.loads(capsys.readouterr().out)["values"] == {
        "path": str(Path("a/é.mp4")),
        "time": "3/2",
        "nan": None,
        "inf": None,
        "array": [0.0, 1.0, 2.0],
        "nested": [{"workspace": ".", "size": 1, "word": "none"}, {"k": [1, None, True]}],
        "data": {"values": {"x": 1}},
    }


def test_json_of_a_list_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Listed(Result):
        def json_lines(self) -> list[dict[str, Any]]:
            return [{"n": 1}, {"n": 2}]

    emit(Listed(), json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"n": 1},
        {"n": 2},
    ]


def test_foreign_text_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    emit(Made({"title": "a\x1b[2Jb\r\nc\x9b"}), json=False)
    shown = capsys.readouterr().out
    assert shown == "values: title a�[2Jb��c�\n"


def test_a_result_that_is_a_failure_ends_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Lacking(Result):
        def as_dict(self) -> dict[str, Any]:
            return {"missing": "ffmpeg"}

        def failure(self) -> str | None:
            return "ffmpeg is missing"

    with pytest.raises(FaceloomError, match="ffmpeg is missing"):
        run_stage(lambda config, *, progress, cancel: Lacking(), Config())
    assert capsys.readouterr().out == "missing: ffmpeg\n"


def test_plain_progress_counts_from_threads() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, interval_s=0.0)
    progress.start("extract src", 400, "frames", done=100)
    threads = [
        threading.Thread(target=lambda: [progress.advance() for _ in range(100)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.metric(faces=2, loss=0.12345)
    progress.note("left out: x.png")
    progress.finish()
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "extract src: 400 frames, 100 already done"
    progress.start("moving", 1, "faces")
    assert stream.getvalue().splitlines()[-1] == "moving: 1 face"
    assert lines[-2] == "left out: x.png"
    assert lines[-1].startswith("extract src: 400/400 frames (100%)")
    assert "faces 2  loss 0.1235" in lines[-1] and "took" in lines[-1]


def test_progress_survives_a_closed_stream() -> None:
    stream = io.StringIO()
    stream.close()
    progress = PlainProgress(stream)
    progress.start("x", None, "items")
    progress.advance()
    progress.note("n")
    progress.finish()


def test_bar_shows_counts_notes_and_stages_in_turn() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = console_progress(stream)
    assert isinstance(progress, BarProgress)
    progress.advance()
    progress.start("extract", 10, "frames", done=4)
    progress.advance(6)
    progress.metric(loss=0.5)
    progress.note("a [bold]note[/]")
    progress.start("train", None, "iterations")
    progress.finish()
    progress.finish()
    shown = stream.getvalue()
    assert "10/10 frames" in shown and "a [bold]note[/]" in shown and "train" in shown
    assert isinstance(console_progress(io.StringIO()), PlainProgress)


def test_words_for_rates_and_times() -> None:
    assert format_rate(41.23, "frames") == "41.2 frames/s"
    assert format_rate(0.4, "iterations") == "2.5 s each"
    assert format_rate(None, "x") == format_rate(0, "x") == ""
    assert [format_duration(s) for s in (9.4, 187, 3765)] == ["9 s", "3:07", "1:02:45"]
